from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lerf_wild.language.pyramid_layout import (
    DEFAULT_SPEC,
    PyramidSpec,
    pyramid_layout,
    tile_grid,
    tile_ratio,
)


def test_ratios_of_the_paper():
    ratios = [tile_ratio(level / 6) for level in range(7)]
    assert ratios == pytest.approx([0.05, 0.125, 0.2, 0.275, 0.35, 0.425, 0.5])


def test_sizes_and_strides_follow_the_paper():
    grids = pyramid_layout(DEFAULT_SPEC, 1000, 1500).grids
    assert [grid.size_px for grid in grids] == [50, 125, 200, 275, 350, 425, 500]
    # The stride falls from one tile to half a tile between ratios 0.05 and 0.15.
    assert [grid.stride_px for grid in grids][:3] == [50, 78, 100]


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 300), st.integers(8, 300))
def test_tiles_cover_the_image_and_stay_inside(height, width):
    layout = pyramid_layout(DEFAULT_SPEC, height, width)
    top, left, size = layout.boxes().unbind(-1)
    assert len(top) == layout.num_tiles
    assert min(top.min(), left.min()) >= 0
    assert (top + size).max() == height
    assert (left + size).max() == width
    for grid in layout.grids:
        assert (grid.tops().diff() <= grid.stride_px).all()
        assert (grid.lefts().diff() > 0).all()
        assert grid.stride_px <= grid.size_px
    assert min(grid.size_px for grid in layout.grids) >= 4


def test_layout_order_is_level_row_column():
    layout = pyramid_layout(PyramidSpec(levels=2), 40, 60)
    first, second = layout.grids
    assert layout.offsets == (0, first.count)
    expected = [
        [top, left, grid.size_px]
        for grid in (first, second)
        for top in grid.tops().tolist()
        for left in grid.lefts().tolist()
    ]
    assert layout.boxes().tolist() == expected


def test_small_and_narrow_images():
    assert tile_grid(DEFAULT_SPEC, 0, 20, 20).size_px == 4
    narrow = tile_grid(DEFAULT_SPEC, 6, 400, 30)
    assert (narrow.size_px, narrow.cols) == (30, 1)
    single = pyramid_layout(PyramidSpec(levels=1), 50, 50)
    assert len(single.grids) == 1


def test_a_256_pixel_image_has_749_tiles():
    assert pyramid_layout(DEFAULT_SPEC, 256, 256).num_tiles == 749


def test_ratio_works_on_tensors():
    torch.testing.assert_close(tile_ratio(torch.tensor([0.0, 1.0])), torch.tensor([0.05, 0.5]))


def test_log_even_positions_give_log_even_sides():
    spec = PyramidSpec()
    sides = spec.tile_ratio(spec.level_position(torch.linspace(0, 1, 11)))
    expected = torch.logspace(math.log10(0.05), math.log10(0.5), 11)
    torch.testing.assert_close(sides, expected)
    assert PyramidSpec(tile_range=(0.2, 0.2)).level_position(0.7) == 0.0
