"""Tiles read at points of the scene, against reading one tile at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lerf_wild.language.lookup import is_centred, lookup
from lerf_wild.language.pyramid import Pyramid
from lerf_wild.language.pyramid_layout import DEFAULT_SPEC, pyramid_layout
from lerf_wild.language.relevancy import Query, relevancy
from lerf_wild.language.tile_scan import (
    LEAST_VIEWS,
    SLACK,
    VIEWS,
    nearest_views,
    tile_weights,
    told,
)

PHOTOS, POINTS = 12, 40


@pytest.fixture(params=[0.0, 0.4], ids=["whole", "masked"])
def entries(request):
    """Pyramids of photos of two sizes whose tiles say a number each."""
    draw = torch.Generator().manual_seed(5)
    pyramids = []
    for photo in range(PHOTOS):
        layout = pyramid_layout(DEFAULT_SPEC, *((96, 140) if photo % 2 else (60, 60)))
        tiles_N1 = torch.rand(layout.num_tiles, 1, generator=draw)
        valid_N = torch.rand(layout.num_tiles, generator=draw) >= request.param
        pyramids.append(Pyramid(tiles_N1, valid_N, layout))
    return pyramids


@pytest.fixture()
def projected():
    """Points in cameras whose pictures are larger than what was encoded."""
    draw = torch.Generator().manual_seed(6)
    sizes = [(280.0, 192.0) if photo % 2 else (120.0, 120.0) for photo in range(PHOTOS)]
    camera_C6 = torch.tensor([[100.0, 110.0, 0.0, 0.0, *size] for size in sizes])
    pixels_CM2 = torch.rand(PHOTOS, POINTS, 2, generator=draw) * camera_C6[:, None, 4:]
    depth_CM = 0.5 + torch.rand(PHOTOS, POINTS, generator=draw)
    seen_CM = torch.rand(PHOTOS, POINTS, generator=draw) < 0.5
    seen_CM[:, 0] = torch.arange(PHOTOS) < LEAST_VIEWS - 1
    pixels_CM2[~seen_CM] = torch.nan
    return pixels_CM2, depth_CM, seen_CM, camera_C6


def told_naive(entries, projected, size, point):
    """Mean over the nearest photos, each read by itself."""
    pixels_CM2, depth_CM, seen_CM, camera_C6 = projected
    smallest, largest = DEFAULT_SPEC.tile_range
    seeing = [photo for photo in range(PHOTOS) if seen_CM[photo, point]]
    said = []
    for photo in sorted(seeing, key=lambda one: float(depth_CM[one, point]))[:VIEWS]:
        layout, camera = entries[photo].layout, camera_C6[photo]
        ratio = size * camera[1] / depth_CM[photo, point] / camera[5]
        inside = torch.tensor([[layout.width, layout.height]])
        pixel = pixels_CM2[photo, point][None] / camera[4:] * inside
        if not smallest * SLACK <= ratio <= largest / SLACK:
            continue
        if not is_centred(pixel, inside, ratio[None]):
            continue
        level = ((ratio - smallest) / (largest - smallest)).clamp(0, 1)
        entry = entries[photo]
        value, is_there = lookup(entry.tiles, entry.valid, layout, level[None], pixel)
        said += [float(value)] if is_there else []
    return float(np.mean(said)) if len(said) >= LEAST_VIEWS else 0.0


@pytest.mark.parametrize("size", [0.05, 0.2, 0.4])
def test_points_are_told_the_mean_of_their_nearest_photos(entries, projected, size):
    weights_MN = tile_weights(nearest_views(*projected), entries, size)
    tiles_N = torch.cat([entry.tiles for entry in entries])[:, 0].numpy()
    expected = [told_naive(entries, projected, size, point) for point in range(POINTS)]
    np.testing.assert_allclose(weights_MN @ tiles_N, expected, atol=1e-5)
    assert expected[0] == 0 and np.mean(np.array(expected) > 0) > 0.3
    sums_M = weights_MN.sum(axis=1)
    np.testing.assert_allclose(sums_M, np.round(sums_M), atol=1e-5)


def test_fewer_photos_than_views_are_enough(entries, projected):
    few = [one[:4] for one in projected]
    weights_MN = tile_weights(nearest_views(*few), entries[:4], 0.2)
    assert weights_MN.shape == (POINTS, sum(len(one.tiles) for one in entries[:4]))


def test_tiles_say_their_relevancy(entries):
    draw = torch.Generator().manual_seed(7)
    made = [Pyramid(torch.randn(n, 6, generator=draw).half(), None, None) for n in (3, 5)]
    unit = torch.nn.functional.normalize(torch.randn(4, 6, generator=draw), dim=1)
    query = Query(("a", "b"), unit[:2], ("c", "d"), unit[2:])
    expected = relevancy(torch.cat([one.tiles for one in made]).float(), query)
    np.testing.assert_allclose(told(made, query), expected, atol=1e-6)
