"""Ground whose height the photos know better than the field: a made-up lawn seen by ten cameras."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from lerf_wild.wildlife.ground import find_ground, laid_on
from lerf_wild.wildlife.ground_views import (
    GroundView,
    coarser,
    colours_at,
    distorted,
    of_ground,
    seen,
)
from lerf_wild.wildlife.levelling import (
    OUTLIER,
    SIGMA,
    agreed_sheet,
    evidence,
    mean_colours,
    spread,
)

SIZE, FOCAL = (120, 160), 150.0


def terrain(xy):
    return 0.05 * np.sin(1.3 * xy[..., 0]) + 0.05 * np.cos(0.9 * xy[..., 1])


def colour(xy):
    """Blotches of half a metre, one set for each channel."""
    waves = [
        np.sin(4 * xy[..., 0] + k) * np.cos(5 * xy[..., 1] - k) + np.sin(3 * xy.sum(-1))
        for k in range(3)
    ]
    return 0.5 + 0.08 * np.stack(waves, axis=-1)


def pose(angle: float, radius: float = 4.0, height: float = 2.0) -> np.ndarray:
    place = np.array([radius * np.cos(angle), radius * np.sin(angle), height])
    back = place / np.linalg.norm(place)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    return np.column_stack([right, np.cross(back, right), back, place])


def view(angle: float, gain: float = 1.0) -> GroundView:
    rows, columns = np.indices(SIZE) + 0.5
    pose_34 = pose(angle)
    local = np.stack(
        [(columns - SIZE[1] / 2) / FOCAL, -(rows - SIZE[0] / 2) / FOCAL, -np.ones(SIZE)], axis=-1
    )
    towards = local @ pose_34[:, :3].T
    t = np.full(SIZE, 4.0)
    for _ in range(40):
        points = pose_34[:, 3] + t[..., None] * towards
        t = t + (points[..., 2] - terrain(points)) / np.maximum(-towards[..., 2], 0.05) * 0.8
    points = pose_34[:, 3] + t[..., None] * towards
    reach = np.where(towards[..., 2] < -0.05, t * np.linalg.norm(towards, axis=-1), np.inf)
    return GroundView(
        torch.from_numpy(gain * colour(points)).float().permute(2, 0, 1),
        torch.from_numpy(reach[2::4, 2::4].copy()).float(),
        torch.nn.functional.normalize(torch.from_numpy(towards[2::4, 2::4]).float(), dim=-1),
        torch.from_numpy(pose_34).float(),
        torch.tensor([FOCAL, FOCAL]),
        torch.tensor([SIZE[1] / 2, SIZE[0] / 2]),
    )


@pytest.fixture(scope="module")
def lawn() -> np.ndarray:
    xy = np.random.default_rng(0).uniform(-2.5, 2.5, (20_000, 2))
    wrong = 0.04 * np.sin(2.0 * xy[:, 0] + 1) * np.cos(1.7 * xy[:, 1])
    return np.column_stack([xy, terrain(xy) + wrong])


@pytest.fixture(scope="module")
def views() -> list[GroundView]:
    gains = np.random.default_rng(1).uniform(0.85, 1.15, 10)
    return [view(2 * np.pi * k / 10, gain) for k, gain in enumerate(gains)]


def off(ground, points: np.ndarray) -> np.ndarray:
    middle = points[np.linalg.norm(points[:, :2], axis=1) < 1.6, :2]
    return np.abs(ground.height(middle) - terrain(middle))


def test_ground_goes_where_photos_of_unequal_exposure_agree(lawn, views):
    ground = find_ground(lawn)
    found = agreed_sheet(ground, lawn, views)
    assert np.median(off(ground, lawn)) > 0.010
    assert np.median(off(found, lawn)) < 0.003
    assert np.quantile(off(found, lawn), 0.95) < 0.012


def test_what_stands_on_the_ground_is_found_over_its_new_height(lawn, views):
    log = np.random.default_rng(2).uniform([0, 0, 0.15], [0.4, 0.4, 0.5], (800, 3))
    points = np.concatenate([lawn, log])
    ground = find_ground(points)
    laid = laid_on(ground, agreed_sheet(ground, points, views), points)
    assert np.quantile(off(laid, lawn), 0.9) < 0.012
    assert laid.is_taken(np.array([[0.2, 0.2]])).all()
    assert not laid.is_taken(np.array([[1.2, 0.2]])).any()
    assert 700 < len(laid.obstacles_N3) <= 800


def test_photos_of_one_colour_hardly_move_the_ground_and_are_sure_of_nothing(lawn, views):
    grey = [replace(one, colours_3HW=torch.full_like(one.colours_3HW, 0.4)) for one in views]
    ground = find_ground(lawn)
    sheet = agreed_sheet(ground, lawn, grey)
    xy = lawn[np.linalg.norm(lawn[:, :2], axis=1) < 2, :2]
    assert np.median(np.abs(sheet.height(xy) - ground.height(xy))) < 0.015
    assert not sheet.is_sure_XY.any()
    assert agreed_sheet(ground, lawn, views).is_sure_XY.mean() > 0.3


def test_the_spread_is_the_root_of_the_diagonal_of_the_inverse():
    draw = np.random.default_rng(3)
    roots = sparse.csc_array(np.diff(np.eye(40), n=2, axis=0) * 5.0)
    matrix = sparse.csc_array(roots.T @ roots + sparse.diags_array(draw.uniform(0.5, 9.0, 40)))
    true = np.sqrt(np.linalg.inv(matrix.toarray()).diagonal())
    found = spread(roots, matrix)
    assert np.abs(found / true - 1).max() < 0.35 and abs((found / true).mean() - 1) < 0.05


def test_points_behind_a_thing_are_not_seen(views):
    points = torch.tensor([[0.0, 0.0, 0.05], [0.0, 0.0, -1.0], [0.0, 0.0, 9.0]])
    weight = seen(views[0], points)[1]
    assert weight[0] > 0 and weight[1] == 0 and weight[2] == 0


def test_a_photo_says_nothing_of_the_ground_beside_the_outline_of_a_thing(lawn, views):
    """A post of 0.4 m hides ground behind it; what is seen past its side, within a cell, is left
    out too, and ground a little further off is not."""
    one, ground = views[0], find_ground(lawn)
    column = one.reach_hw.shape[1] // 2
    before = one.reach_hw[:, column].clone()
    reach_hw = one.reach_hw.clone()
    ends_h3 = one.pose_34[:, 3] + before[:, None] * one.towards_hw3[:, column]
    is_post = (ends_h3[:, :2].norm(dim=-1) < 0.8) & before.isfinite()
    reach_hw[is_post, column] = 0.8 * before[is_post]
    shown = of_ground(replace(one, reach_hw=reach_hw), ground)
    assert (shown.reach_hw[is_post, column] == 0).all() and is_post.any()
    assert (shown.reach_hw[is_post, column + 3] == one.reach_hw[is_post, column + 3]).all()
    row = int(is_post.nonzero()[0])
    beside = [
        one.pose_34[:, 3] + one.reach_hw[row, k] * one.towards_hw3[row, k]
        for k in (column + 1, column + 3)
    ]
    weight = seen(shown, torch.stack(beside))[1]
    assert weight[0] == 0 and weight[1] > 0


@pytest.mark.parametrize("factor", [2, 3])
def test_a_coarser_photo_shows_the_same_places_in_the_same_colours(lawn, views, factor):
    """A third of 160 columns are 53, which show all of them."""
    points = torch.from_numpy(lawn[np.linalg.norm(lawn[:, :2], axis=1) < 1.0][:200]).float()
    coarse = coarser(views[0], factor)
    assert coarse.colours_3HW.shape[1:] == (SIZE[0] // factor, SIZE[1] // factor)
    torch.testing.assert_close(seen(coarse, points)[0], seen(views[0], points)[0])
    off = (colours_at(coarse, points) - colours_at(views[0], points)).abs()
    # What a pixel's width blurs grows with its square.
    assert float(off.median()) < 0.005 * (factor / 2) ** 2


def test_far_off_ground_is_found_by_coarse_photos(lawn, views):
    """All of the field's ground is 12 cm too high, several times what the finest photos tell."""
    lifted = lawn + [0.0, 0.0, 0.12]
    sheet = agreed_sheet(find_ground(lifted), lifted, views)
    assert np.median(off(sheet, lawn)) < 0.02


def test_the_edge_of_what_photos_show_is_not_sure(lawn, views):
    sheet = agreed_sheet(find_ground(lawn), lawn, views)
    inner = np.argwhere(sheet.is_sure_XY)
    low, high = inner.min(axis=0), inner.max(axis=0)
    assert (low >= 1).all() and (high <= np.array(sheet.is_sure_XY.shape) - 2).all()


def test_a_lens_shifts_points_as_the_formula_says():
    found = distorted(torch.tensor([[0.1, -0.2]]), torch.tensor([0.1, 0.2, 0.0, 0.0, 0.01, -0.02]))
    square = 0.05
    radial = 1 + 0.1 * square + 0.2 * square**2
    x = 0.1 * radial + 2 * 0.01 * 0.1 * -0.2 - 0.02 * (square + 2 * 0.01)
    y = -0.2 * radial + 0.01 * (square + 2 * 0.04) + 2 * -0.02 * 0.1 * -0.2
    torch.testing.assert_close(found, torch.tensor([[x, y]]))


def test_evidence_is_that_of_a_loop_over_points_and_views(lawn, views):
    points = torch.from_numpy(lawn[:40]).float()
    mean, gains = mean_colours(views, points, torch.ones(len(views), 3))
    found = evidence(views, points, mean, gains, 0.01)
    for n in range(len(points)):
        weights, changes, rests = [], [], []
        for one, gain in zip(views, gains):
            weight = float(seen(one, points[n : n + 1])[1])
            here, high, low = (
                gain * colours_at(one, points[n : n + 1] + torch.tensor([0.0, 0.0, rise]))[0]
                for rise in (0.0, 0.01, -0.01)
            )
            rest = (here - mean[n]).double()
            weights.append(weight / (1 + float(rest.square().sum()) / (OUTLIER * SIGMA) ** 2))
            rests.append(rest)
            changes.append((high - low).double() / 0.02)
        w = torch.tensor(weights, dtype=torch.float64)[:, None]
        rest, change = torch.stack(rests), torch.stack(changes)
        total = w.sum().clamp(min=1e-9)
        rest = rest - (w * rest).sum(0) / total
        change = change - (w * change).sum(0) / total
        push = -(w * change * rest).sum() / SIGMA**2
        curvature = (w * change * change).sum() / SIGMA**2
        if int((w > 0).sum()) < 3:
            push, curvature = torch.zeros(()), torch.zeros(())
        assert float(found.push_N[n]) == pytest.approx(float(push), rel=1e-3, abs=1e-2)
        assert float(found.curvature_N[n]) == pytest.approx(float(curvature), rel=1e-3, abs=1e-2)


def test_where_photos_do_not_agree_the_ground_is_not_sure(lawn, views):
    pond = np.linalg.norm(lawn[:, :2], axis=1) < 0.5
    mirrored = []
    for k, one in enumerate(views):
        local = (torch.from_numpy(lawn[pond]).float() - one.pose_34[:, 3]) @ one.pose_34[:, :3]
        columns = (-FOCAL * local[:, 0] / local[:, 2] + SIZE[1] / 2).long().clamp(0, SIZE[1] - 1)
        rows = (FOCAL * local[:, 1] / local[:, 2] + SIZE[0] / 2).long().clamp(0, SIZE[0] - 1)
        colours = one.colours_3HW.clone()
        colours[:, rows, columns] = 0.2 + 0.06 * k
        mirrored.append(replace(one, colours_3HW=colours))
    sheet = agreed_sheet(find_ground(lawn), lawn, mirrored)
    ground = laid_on(find_ground(lawn), sheet, lawn)
    around = 1.2 * np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    assert ground.is_sure(around).all()
    assert not ground.is_sure(0.2 * around).any()
