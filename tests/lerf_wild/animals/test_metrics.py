"""Metrics against loops over animals and points, and against what they must not see."""

from __future__ import annotations

import math

import numpy as np
import pytest
import roma
import torch
from scipy.optimize import minimize

from lerf_wild.animals import metrics
from lerf_wild.errors import InputError


def points(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def loop_similarity(found, true, valid, turn):
    """Umeyama's closed form for one animal, by numpy's own SVD; the mean distance x 1000."""
    found, true = found[valid], true[valid]
    a, b = found - found.mean(0), true - true.mean(0)
    rotation = np.eye(3)
    if turn:
        u, _, vt = np.linalg.svd(b.T @ a)
        rotation = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    turned = np.array([rotation @ row for row in a])
    scale = max(sum(t @ g for t, g in zip(turned, b)) / sum(r @ r for r in a), 0.0)
    return 1000 * np.mean([math.dist(scale * t, g) for t, g in zip(turned, b)])


@pytest.mark.parametrize(
    ("function", "turn"), [(metrics.scaled_error, False), (metrics.procrustes_error, True)]
)
def test_batched_alignment_is_the_loops(function, turn):
    true, found = points(5, 12, 3), points(5, 12, 3, seed=1)
    found[:3] = (
        0.6 * true[:3] @ roma.random_rotmat(1, dtype=torch.float64)[0] + 0.1 * found[:3] + 4.0
    )
    valid = torch.from_numpy(np.random.default_rng(2).random((5, 12)) < 0.8)
    want = [
        loop_similarity(f.numpy(), t.numpy(), v.numpy(), turn)
        for f, t, v in zip(found, true, valid)
    ]
    np.testing.assert_allclose(function(found, true, valid), want, rtol=1e-9)


def test_alignments_see_only_what_they_should():
    true = points(4, 20, 3)
    turn = roma.random_rotmat(4, dtype=torch.float64)
    moved = 3.0 * true @ turn.transpose(-1, -2) + 7.0
    assert metrics.procrustes_error(moved, true).max() < 1e-9
    assert metrics.scaled_error(3.0 * true + 7.0, true).max() < 1e-9
    assert metrics.scaled_error(moved, true).min() > 50
    # A mirrored animal is wrong however it is turned.
    assert metrics.procrustes_error(true * torch.tensor([1.0, -1.0, 1.0]), true).min() > 50


def test_scale_is_the_best_one():
    true, found = points(1, 9, 3), points(1, 9, 3, seed=3) + 2 * points(1, 9, 3)
    aligned = metrics.scale_aligned(found, true)

    def cost(parameters):
        return float((parameters[0] * found + torch.tensor(parameters[1:]) - true).square().sum())

    best = minimize(cost, [1.0, 0.0, 0.0, 0.0]).fun
    assert float((aligned - true).square().sum()) == pytest.approx(best, abs=1e-6)


def test_a_collapsed_prediction_is_its_centre():
    true = points(2, 6, 3)
    spread = 1000 * (true - true.mean(1, keepdim=True)).norm(dim=-1).mean(-1)
    for function in (metrics.scaled_error, metrics.procrustes_error):
        torch.testing.assert_close(function(torch.zeros(2, 6, 3).double(), true), spread)


def test_an_animal_without_points_is_nan():
    valid = torch.ones(2, 6, dtype=torch.bool)
    valid[1] = False
    errors = metrics.scaled_error(points(2, 6, 3), points(2, 6, 3, seed=1), valid)
    assert torch.isfinite(errors[0]) and torch.isnan(errors[1])
    assert metrics.interval(errors).mean == pytest.approx(float(errors[0]))


def test_pck_counts_as_a_loop_does():
    true, found = 50 * points(6, 26, 2), 50 * points(6, 26, 2, seed=1)
    found[::2] = true[::2] + 4 * found[::2] / 50
    valid = torch.from_numpy(np.random.default_rng(4).random((6, 26)) < 0.7)
    size = metrics.head_tail_px(true, valid)
    for threshold in (0.1, 0.5):
        right = counted = 0
        for animal in range(6):
            if not (valid[animal, metrics.NOSE] and valid[animal, metrics.TAIL_BASE]):
                continue
            length = math.dist(true[animal, metrics.NOSE], true[animal, metrics.TAIL_BASE])
            for point in range(26):
                if valid[animal, point]:
                    counted += 1
                    right += math.dist(found[animal, point], true[animal, point]) <= (
                        threshold * length
                    )
        assert metrics.pck(found, true, size, threshold, valid) == pytest.approx(right / counted)


def test_lost_keypoints_are_wrong():
    true = points(1, 26, 2)
    found = true.clone()
    found[0, :13] = torch.nan
    assert metrics.pck(found, true, torch.ones(1), 0.5) == 0.5
    assert metrics.pck_area(true, true, torch.ones(1)) == 1.0


def test_sizes():
    mask = torch.zeros(2, 8, 8)
    mask[0, 2:5, 1:4] = 1
    assert metrics.area_px(mask).tolist() == [3.0, 0.0]
    spots = torch.tensor([[[0.0, 0.0], [4.0, 1.0], [90.0, 90.0]]])
    valid = torch.tensor([[True, True, False]])
    assert metrics.box_px(spots, valid).tolist() == [4.0]
    assert metrics.box_px(spots).tolist() == [90.0]
    named = points(1, 26, 2)
    gap = (named[0, metrics.NOSE] - named[0, metrics.TAIL_BASE]).norm()
    assert metrics.head_tail_px(named)[0] == gap


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    covered = 0
    for trial in range(100):
        sample = torch.from_numpy(rng.normal(2.0, 1.0, 60))
        found = metrics.interval(sample, draws=200, seed=trial)
        assert found.low <= found.mean <= found.high
        covered += found.low <= 2.0 <= found.high
    assert 85 <= covered <= 99


def test_interval_of_shares_weighs_by_count():
    right, counted = torch.tensor([1, 9, 0]), torch.tensor([1, 10, 0])
    assert metrics.interval(right, counted).mean == pytest.approx(10 / 11)
    with pytest.raises(InputError, match="No animal"):
        metrics.interval(torch.tensor([torch.nan]))
