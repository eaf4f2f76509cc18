from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerf_wild.language.metrics import (
    existence_ap,
    iou,
    is_in_boxes,
    localisation_accuracy,
    miou,
    peak_pixel,
    relevancy_mask,
)


def existence_ap_slowly(scores, present) -> float:
    """Walks down all thresholds and sums precision over the steps of recall."""
    total, last_recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = [p for s, p in zip(scores, present) if s >= threshold]
        recall = sum(taken) / sum(present)
        total += (recall - last_recall) * sum(taken) / len(taken)
        last_recall = recall
    return total


def test_peak_is_x_then_y():
    relevancy = np.zeros((4, 6))
    relevancy[1, 5] = 2.0
    assert peak_pixel(relevancy) == (5, 1)
    relevancy[0, 0] = np.nan
    relevancy[3, 2] = np.inf
    assert peak_pixel(relevancy) == (5, 1)
    assert peak_pixel(np.full((2, 2), np.nan)) == (0, 0)


def test_margin_of_a_box():
    boxes = np.array([[10, 20, 30, 40], [0, 0, 1, 1]])
    assert is_in_boxes(30, 40, boxes)
    assert is_in_boxes(30.5, 19.5, boxes)
    assert not is_in_boxes(30.5, 19.5, boxes, margin_px=0.0)
    assert not is_in_boxes(31, 30, boxes)
    assert is_in_boxes(1, 0, boxes)
    assert not is_in_boxes(0, 0, np.zeros((0, 4)))


def test_localisation_accuracy():
    hit, miss = np.zeros((8, 8)), np.zeros((8, 8))
    hit[3, 4], miss[7, 7] = 1, 1
    boxes = np.array([[3, 2, 5, 4]])
    assert localisation_accuracy([hit, miss, hit, hit], [boxes] * 4) == 0.75
    assert math.isnan(localisation_accuracy([], []))
    with pytest.raises(ValueError):
        localisation_accuracy([hit], [])


def test_iou():
    one, two = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert iou(one, two) == 1.0
    one[:2] = True
    two[1:3] = True
    assert iou(one, two) == pytest.approx(1 / 3)
    assert miou([one, one], [two, one]) == pytest.approx(2 / 3)
    assert math.isnan(miou([], []))


def test_mask_is_strictly_above_the_threshold():
    relevancy = np.array([[0.5, 0.51, np.nan]])
    assert relevancy_mask(relevancy).tolist() == [[False, True, False]]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=20))
def test_average_precision_agrees_with_loops(pairs):
    scores, present = zip(*pairs)
    got = existence_ap([s / 5 for s in scores], present)
    if any(present):
        assert got == pytest.approx(existence_ap_slowly(scores, present))
    else:
        assert math.isnan(got)


def test_average_precision_of_simple_cases():
    assert existence_ap([0.9, 0.8, 0.1], [True, True, False]) == 1.0
    assert existence_ap([0.5, 0.5], [True, False]) == 0.5
    assert existence_ap([float("nan"), 0.1], [False, True]) == 1.0
    with pytest.raises(ValueError):
        existence_ap([0.5], [True, False])
