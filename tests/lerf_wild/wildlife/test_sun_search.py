"""The sun's direction from shade on made-up ground."""

from __future__ import annotations

import numpy as np
import pytest

from lerf_wild.wildlife.sun_search import VOXEL_M, Voxels, best_sun, direction, voxels_of


def posts(draw) -> np.ndarray:
    """Nine posts of 1.2 m, 0.3 m wide."""
    middles = np.stack(np.meshgrid([-3.0, 0.0, 3.0], [-3.0, 0.0, 3.0]), axis=-1).reshape(-1, 2)
    xy = np.repeat(middles + draw.uniform(-0.4, 0.4, middles.shape), 3000, axis=0)
    return np.column_stack([xy, np.zeros(len(xy))]) + draw.uniform(
        [-0.15, -0.15, 0.0], [0.15, 0.15, 1.2], (len(xy), 3)
    )


@pytest.mark.parametrize(("elevation", "azimuth"), [(35.0, 20.0), (58.0, 200.0)])
def test_the_sun_is_found_by_the_shade_of_posts(elevation, azimuth):
    draw = np.random.default_rng(0)
    standing, sun = posts(draw), direction(elevation, azimuth)
    floor = np.column_stack([draw.uniform(-5, 5, (12_000, 2)), np.zeros(12_000)])
    voxels = voxels_of(standing, standing[:, 2])
    # Shade by a march of its own through the posts themselves, a fine step at a time.
    dark = np.zeros(len(floor), bool)
    middles = standing[::3000, :2]
    for t in np.arange(0.0, 3.0, 0.02):
        at = floor + t * sun
        inside = (np.abs(at[:, None, :2] - middles) < 0.15).all(axis=-1).any(axis=1)
        dark |= inside & (at[:, 2] < 1.2)
    tone = np.where(dark, 0.1, 0.4)[:, None] * draw.uniform(0.8, 1.2, (len(floor), 1)) * np.ones(3)
    found, agreement = best_sun(voxels, floor, tone)
    assert np.degrees(np.arccos(np.clip(found @ sun, -1, 1))) < 4.0
    assert agreement > 0.5


def test_shade_is_that_of_a_loop_over_points_and_steps():
    draw = np.random.default_rng(1)
    voxels = Voxels(np.array([-1.0, -1.0, 0.1]), draw.uniform(size=(20, 20, 6)) < 0.1)
    floor = np.column_stack([draw.uniform(-1.5, 1.5, (80, 2)), np.zeros(80)])
    sun = direction(40.0, 75.0)
    found = voxels.shade(floor, sun)
    for point, is_shaded in zip(floor, found):
        hit = False
        for t in np.arange(0.1, 9.0, 0.08):
            at = point + t * sun.astype(float) + [0.0, 0.0, 0.5 * VOXEL_M]
            cell = np.floor((at - voxels.low_3) / VOXEL_M).astype(int)
            if (cell >= 0).all() and (cell < voxels.is_full_XYZ.shape).all():
                hit |= bool(voxels.is_full_XYZ[tuple(cell)])
        assert hit == is_shaded
    assert 0.1 < found.mean() < 0.8


def test_too_little_ground_and_nothing_that_stands_say_nothing():
    floor = np.random.default_rng(2).uniform(-1, 1, (600, 3))
    empty = voxels_of(floor, np.zeros(600))
    assert best_sun(empty, floor[:100], np.ones((100, 3))) == (None, 0.0)
    assert best_sun(empty, floor, np.ones((600, 3)))[1] == 0.0
