"""Which boxes count: signs by a loop over pairs, labels, and a fit whose truth is known."""

import numpy as np
import pytest
import torch

from lerf_wild.inverse.program_candidates import kept
from lerf_wild.inverse.program_counting import (
    EDGE,
    SIGNS,
    SURE,
    Counting,
    Seen,
    counted,
    fit_counting,
    shares,
    signs,
)
from lerf_wild.inverse.program_weights_training import cross_validated

torch.set_num_threads(1)
SIDE = 256


def drawn_boxes(seed, count):
    generator = torch.Generator().manual_seed(seed)
    low = 200 * torch.rand(count, 2, generator=generator)
    size = 5 + 90 * torch.rand(count, 2, generator=generator)
    boxes = torch.cat([low, low + size], dim=1).clamp(0, SIDE)
    return boxes, torch.rand(count, generator=generator)


def overlap(a, b):
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


@pytest.mark.parametrize("seed", range(5))
def test_signs_are_those_of_a_loop_over_pairs(seed):
    boxes, score = drawn_boxes(seed, 9)
    said = signs(boxes, score, SIDE)
    rows = boxes.double().tolist()
    for i, box in enumerate(rows):
        surer = [j for j in range(9) if score[j] > score[i] and score[j] > SURE]
        common = {j: overlap(box, rows[j]) for j in surer}
        naive = [
            float(torch.logit(score[i])),
            np.log(area(box) / SIDE**2) / 2,
            np.log((box[2] - box[0]) / (box[3] - box[1])),
            sum(side < EDGE for side in box[:2]) + sum(side > SIDE - EDGE for side in box[2:]),
            max([common[j] / (area(box) + area(rows[j]) - common[j]) for j in surer] + [0.0]),
            max([common[j] / area(box) for j in surer] + [0.0]),
            max([common[j] / area(rows[j]) for j in surer] + [0.0]),
        ]
        np.testing.assert_allclose(said[i], naive, atol=1e-4)


def test_shares_are_of_the_row_in_the_column():
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 20.0, 10.0]])
    torch.testing.assert_close(shares(boxes), torch.tensor([[1.0, 1.0], [0.5, 1.0]]))


def test_before_a_fit_the_score_alone_counts():
    boxes, score = drawn_boxes(3, 40)
    chance = Counting()(boxes, score, SIDE)
    assert ((chance > 0.5) == (score > 0.35)).all()
    assert Counting()(boxes[:0], score[:0], SIDE).shape == (0,)
    assert signs(boxes[:0], score[:0], SIDE).shape == (0, SIGNS)


def test_an_object_counts_once_and_for_the_surest_box():
    true = torch.tensor([[0.0, 0.0, 40.0, 40.0], [100.0, 100.0, 140.0, 140.0]])
    boxes = torch.tensor(
        [[1.0, 0.0, 40.0, 40.0], [0.0, 0.0, 40.0, 40.0], [200.0, 0.0, 220.0, 20.0]]
    )
    score = torch.tensor([0.9, 0.5, 0.7])
    assert counted(boxes, score, true).tolist() == [1.0, 0.0, 0.0]
    # Without it the next box takes the object.
    assert counted(boxes[1:], score[1:], true).tolist() == [1.0, 0.0]
    assert counted(boxes, score, true[:0]).tolist() == [0.0, 0.0, 0.0]


def pictures_of_wholes_and_halves(count):
    """Boxes of three objects, and about as sure ones of a quarter of each."""
    generator = torch.Generator().manual_seed(0)
    pictures = []
    for _ in range(count):
        low = 130 * torch.rand(3, 2, generator=generator)
        whole = torch.cat([low, low + 40 + 60 * torch.rand(3, 2, generator=generator)], dim=1)
        half = whole.clone()
        half[:, 2:] = (whole[:, :2] + whole[:, 2:]) / 2
        score = 0.3 + 0.6 * torch.rand(3, generator=generator)
        pictures.append(Seen(torch.cat([whole, half]), torch.cat([score, score - 0.01]), whole))
    return pictures


def test_pictures_are_counted_by_fits_to_others():
    pictures = pictures_of_wholes_and_halves(80)
    right = cross_validated({"first": pictures[:40], "second": pictures[40:]}, 0.5)
    assert min(right.values()) > 0.8
    # No fit knows the fourth of the pictures that is counted by another rule.
    odd = [p._replace(true_M4=p.true_M4[:1]) if i % 4 == 0 else p for i, p in enumerate(pictures)]
    assert 0.5 < cross_validated({"odd": odd}, 0.5)["odd"] < 0.8


def test_a_fit_finds_the_rule_by_which_boxes_count():
    """Parts of surer boxes don't count here, however high their score is."""
    pictures = pictures_of_wholes_and_halves(120)
    counting = Counting()
    plain = [len(kept(p.boxes_N4, p.score_N, 0.35)) == 3 for p in pictures]
    fit_counting(counting, pictures[:80], SIDE)
    with torch.no_grad():
        right = [
            len(kept(p.boxes_N4, counting(p.boxes_N4, p.score_N, SIDE), 0.5)) == 3
            for p in pictures[80:]
        ]
    assert np.mean(right) > 0.8 > 0.3 > np.mean(plain)


def test_nothing_is_fitted_where_no_box_is_an_object():
    counting, boxes = Counting(), drawn_boxes(1, 6)
    before = counting.weigh.weight.clone()
    fit_counting(counting, [Seen(*boxes, torch.zeros(0, 4))], SIDE)
    torch.testing.assert_close(counting.weigh.weight, before)
