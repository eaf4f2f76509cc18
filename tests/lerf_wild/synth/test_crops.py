"""Labelled crops, against slow loops over the pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lerf_wild.synth import crops
from lerf_wild.synth.terrain import FIRST_INSTANCE_ID, WATER_ID


def random_ids(rng, count=3):
    ids = rng.integers(0, 3, (count, crops.GRID, crops.GRID))
    return (ids * (FIRST_INSTANCE_ID - 1)).astype(np.uint8)


def random_table(rng, phrases=5):
    return (rng.random((256, phrases)) < 0.4).astype(np.float32)


def slow_target(ids_GG, table, phrase, middle, sigma):
    """The ramp of the covers of things and of stuff, summed cell by cell."""
    total, things, stuff = 0.0, 0.0, 0.0
    for row in range(crops.GRID):
        for column in range(crops.GRID):
            y, x = (row + 0.5) / crops.GRID - middle[0], (column + 0.5) / crops.GRID - middle[1]
            weight = np.exp(-(x * x + y * y) / (2 * sigma * sigma))
            total += weight
            found = ids_GG[row, column]
            if not table[found, phrase]:
                continue
            if found >= FIRST_INSTANCE_ID or found == WATER_ID:
                things += weight
            else:
                stuff += weight
    ramps = []
    for cover, (low, high) in ((things, crops.THING_COVER), (stuff, crops.STUFF_COVER)):
        ramps.append(min(max((cover / total - low) / (high - low), 0.0), 1.0))
    return max(ramps)


@pytest.mark.parametrize("places", [1, 3])
def test_targets_equal_the_slow_loop(places):
    rng = np.random.default_rng(0)
    ids, table = random_ids(rng), random_table(rng)
    fast = crops.targets(ids, table, places, 0.13)
    assert fast.shape == (3, places * places, 5)
    for crop in range(3):
        for place in range(places * places):
            middle = ((place // places + 0.5) / places, (place % places + 0.5) / places)
            for phrase in range(5):
                slow = slow_target(ids[crop], table, phrase, middle, 0.13)
                assert fast[crop, place, phrase] == pytest.approx(slow, abs=1e-5)


def test_the_middle_of_nine_places_is_the_whole_crop():
    rng = np.random.default_rng(1)
    ids, table = random_ids(rng), random_table(rng)
    nine, one = (crops.targets(ids, table, places, 0.13) for places in (3, 1))
    np.testing.assert_allclose(nine[:, 4], one[:, 0], atol=1e-6)


def test_mirrored_crops_keep_their_ids():
    rng = np.random.default_rng(2)
    ids = random_ids(rng, 16)
    pixels = torch.from_numpy(ids).float()[:, None].repeat(1, 3, 1, 1)
    turned, turned_ids = crops.mirror(pixels, ids, rng)
    np.testing.assert_array_equal(turned[:, 0].numpy(), turned_ids.astype(np.float32))
    changed = (turned_ids != ids).any(axis=(1, 2))
    assert 0 < changed.sum() < 16


def test_tiles_lie_inside_and_crops_show_them():
    rng = np.random.default_rng(3)
    height, width = 40, 60
    shade = np.arange(width, dtype=np.uint8)[None, :, None] * 4
    rgb = np.broadcast_to(shade, (height, width, 3)).copy()
    instances = np.full((height, width), FIRST_INSTANCE_ID, np.uint8)
    view = crops.LabelledView(rgb, instances, {FIRST_INSTANCE_ID: ("rock",)})
    tiles = crops.draw_tiles(view, 50, rng)
    assert (tiles[:, :2] >= 0).all()
    assert (tiles[:, 0] + tiles[:, 2] <= width + 1e-3).all()
    assert (tiles[:, 1] + tiles[:, 2] <= height + 1e-3).all()
    pixels, ids = crops.cut(view, tiles)
    assert pixels.shape == (50, 3, crops.CROP_PX, crops.CROP_PX)
    assert (ids == FIRST_INSTANCE_ID).all()
    middle = tiles[:, 0] + tiles[:, 2] / 2
    # Corner and side are rounded to whole pixels.
    np.testing.assert_allclose(pixels.mean(dim=(1, 2, 3)) * 255 / 4, middle - 0.5, atol=0.76)


def test_changed_light_keeps_crops_in_range_and_differs():
    generator = torch.Generator().manual_seed(0)
    before = torch.rand(4, 3, 16, 16, generator=generator)
    after = crops.augment(before, generator)
    assert after.shape == before.shape
    assert 0 <= after.min() <= after.max() <= 1
    assert not torch.allclose(after, before, atol=0.02)
