from __future__ import annotations

import numpy as np
import pytest
import trimesh

from lerf_wild.language.regions import find_regions, group_points, upright_box


def box_of_points(rng, centre, size, yaw, count=2000):
    local = (rng.random((count, 3)) - 0.5) * size
    # The corners belong to it, so that its extent is exact.
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8).T
    local = np.concatenate([local, signs * np.asarray(size) / 2])
    cos, sin = np.cos(yaw), np.sin(yaw)
    return local @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) + centre


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("yaw", [0.0, 0.4, 1.5, -1.2, np.pi / 2])
def test_upright_box_finds_a_turned_box(rng, yaw):
    points = box_of_points(rng, (1.0, -2.0, 0.5), (2.0, 0.7, 0.9), yaw)
    box = upright_box(points, trim=0.0)
    assert box.centre == pytest.approx((1.0, -2.0, 0.5), abs=1e-6)
    assert box.size == pytest.approx((2.0, 0.7, 0.9), abs=1e-6)
    assert np.sin(box.yaw_rad - yaw) == pytest.approx(0.0, abs=1e-6)
    assert box.volume == pytest.approx(2.0 * 0.7 * 0.9)
    assert -np.pi / 2 < box.yaw_rad <= np.pi / 2 + 1e-9


def test_floor_area_is_that_of_trimesh(rng):
    for _ in range(20):
        points = rng.normal(size=(30, 3)) * rng.random(3)
        box = upright_box(points, trim=0.0)
        _, extents = trimesh.bounds.oriented_bounds_2D(points[:, :2])
        assert box.size[0] * box.size[1] == pytest.approx(np.prod(extents), rel=1e-6)


def test_corners_enclose_the_points(rng):
    points = rng.normal(size=(100, 3))
    box = upright_box(points, trim=0.0)
    hull = trimesh.convex.convex_hull(box.corners())
    assert hull.volume == pytest.approx(box.volume)
    assert trimesh.proximity.signed_distance(hull, points).min() > -1e-6


def test_strays_are_left_out(rng):
    points = box_of_points(rng, (0, 0, 0), (1.0, 1.0, 1.0), 0.3)
    points = np.concatenate([points, [[50.0, 0, 0], [0, 0, -80.0]]])
    assert upright_box(points).volume < 1.5


@pytest.mark.parametrize(
    "points",
    [[[1, 2, 3]], [[1, 2, 3]] * 5, [[0, 0, 0], [1, 1, 1]], [[i, 2 * i, 0] for i in range(9)]],
)
def test_degenerate_points_have_a_box(points):
    box = upright_box(np.array(points, dtype=float), trim=0.0)
    assert np.isfinite([*box.centre, *box.size, box.yaw_rad]).all()
    assert box.centre == pytest.approx(np.mean([np.min(points, 0), np.max(points, 0)], axis=0))


def group_slowly(points, distance):
    cells = np.floor((points - points.min(0)) / distance).astype(int)
    groups = list(range(len(points)))
    for i in range(len(points)):
        for j in range(i):
            if np.abs(cells[i] - cells[j]).max() <= 1:
                old, new = groups[i], groups[j]
                groups = [new if g == old else g for g in groups]
    order = {g: n for n, g in enumerate(dict.fromkeys(groups))}
    return [order[g] for g in groups]


def test_grouping_agrees_with_loops(rng):
    points = rng.random((60, 3)) * 5
    assert group_points(points, 0.5).tolist() == group_slowly(points, 0.5)


def test_two_things_are_two_regions(rng):
    fox = box_of_points(rng, (0, 0, 0.2), (0.8, 0.3, 0.4), 0.5)
    wolf = box_of_points(rng, (5, 1, 0.4), (1.2, 0.4, 0.8), -0.3)
    ground = rng.random((3000, 3)) * [10, 10, 0.01] - [3, 5, 0]
    points = np.concatenate([fox, wolf, ground])
    scores = np.concatenate(
        [
            rng.uniform(0.6, 0.8, len(fox)),
            rng.uniform(0.55, 0.7, len(wolf)),
            rng.uniform(0.1, 0.4, len(ground)),
        ]
    )
    scores[7], scores[len(fox) + 3] = 0.95, 0.75
    points[-1] = np.nan
    first, second = find_regions(points, scores, size=0.8)
    assert first.score == 0.95
    assert first.peak == pytest.approx(tuple(points[7]))
    assert first.centroid == pytest.approx((0, 0, 0.2), abs=0.05)
    assert first.point_count == len(fox)
    assert second.box.centre == pytest.approx((5, 1, 0.4), abs=0.05)
    assert second.box.size[2] == pytest.approx(0.8, abs=0.05)


def test_what_is_too_weak_is_not_there(rng):
    points = rng.random((100, 3))
    assert find_regions(points, np.full(100, 0.4), size=1.0) == []
    assert find_regions(points, np.full(100, 0.55), size=1.0) == []
    assert len(find_regions(points, np.full(100, 0.65), size=1.0)) == 1
    assert find_regions(np.zeros((0, 3)), np.zeros(0), size=1.0) == []
    assert find_regions(points, np.full(100, np.nan), size=1.0) == []


def test_most_relevant_regions_come_first(rng):
    points = np.concatenate([rng.random((50, 3)) + [10 * i, 0, 0] for i in range(5)])
    scores = np.repeat([0.7, 0.9, 0.62, 0.8, 0.3], 50)
    found = find_regions(points, scores, size=2.0, max_regions=3)
    assert [region.score for region in found] == [0.9, 0.8, 0.7]


def test_support_is_the_mean_of_the_best_neighbours():
    from lerf_wild.language.regions import SUPPORT, supported

    draw = np.random.default_rng(3)
    points, scores = draw.uniform(0, 1, (1500, 3)), draw.uniform(0, 1, 1500)
    found = supported(points, scores, 0.12, threshold=0.5)
    for row in np.flatnonzero(scores >= 0.5)[::40]:
        near = np.linalg.norm(points - points[row], axis=1) < 0.12
        best = np.sort(scores[near])[::-1][:SUPPORT]
        assert found[row] == pytest.approx(best.sum() / SUPPORT)
    assert (found[scores < 0.5] == 0).all()
    assert supported(points, 0.1 * scores, 0.12, threshold=0.5).max() > 0
    assert supported(points[:0], scores[:0], 0.12).shape == (0,)
