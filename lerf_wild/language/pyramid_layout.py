"""Where the tiles of a multiscale image pyramid lie (LERF, section 3.2).

Level l = 0..L-1 has square tiles whose side is tile_ratio(l / (L - 1)) of the image height; they
overlap by half, the smallest ones less. Every tile lies inside the image: the last one of a row or
column is moved in rather than padded, so no feature is computed from invented pixels.

H, W image height and width in pixels, N tiles of all levels, ordered by level, row and column.
Positions are continuous pixel coordinates: x right, y down, the first pixel spans 0 to 1.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class PyramidSpec:
    """The choice of tiles. The defaults are those of the LERF paper."""

    tile_range: tuple[float, float] = (0.05, 0.5)
    """Side of the smallest and of the largest tile as a fraction of the image height."""
    levels: int = 7
    """L, the number of tile sizes, evenly spaced over `tile_range`."""
    stride_at: tuple[float, float] = (0.05, 0.15)
    """Tile ratios between which the stride changes linearly from one `strides` to the other."""
    strides: tuple[float, float] = (1.0, 0.5)
    """Stride as a fraction of the tile below and above `stride_at`."""
    min_tile_px: int = 4
    """Tiles are never smaller than this many pixels, however small the image is."""

    def tile_ratio(self, level_position: float | Tensor) -> float | Tensor:
        """Returns the tile side as a fraction of image height at a position 0-1 of the pyramid."""
        low, high = self.tile_range
        return low + (high - low) * level_position

    def level_position(self, share: float | Tensor) -> float | Tensor:
        """Returns the position 0-1 of the tile side that lies a share of the way from the smallest
        to the largest on a logarithmic scale."""
        low, high = self.tile_range
        return low * ((high / low) ** share - 1) / max(high - low, 1e-9)


DEFAULT_SPEC = PyramidSpec()


@dataclass(frozen=True)
class TileGrid:
    """The tiles of one level in one image size."""

    rows: int
    cols: int
    size_px: int
    """Side of the tiles."""
    stride_px: int
    """Distance between neighbours; the last row and column may be nearer to their neighbours."""
    height: int
    width: int

    @property
    def count(self) -> int:
        """Number of tiles of this level."""
        return self.rows * self.cols

    def tops(self) -> Int[Tensor, "rows"]:
        """Returns the upper edge of every row of tiles in pixels."""
        return _starts(self.rows, self.stride_px, self.height - self.size_px)

    def lefts(self) -> Int[Tensor, "cols"]:
        """Returns the left edge of every column of tiles in pixels."""
        return _starts(self.cols, self.stride_px, self.width - self.size_px)


@dataclass(frozen=True)
class PyramidLayout:
    """All tiles of one image size."""

    spec: PyramidSpec
    height: int
    width: int
    grids: tuple[TileGrid, ...]

    @property
    def offsets(self) -> tuple[int, ...]:
        """Index of the first tile of every level."""
        return tuple(int(n) for n in np.cumsum([0, *(grid.count for grid in self.grids[:-1])]))

    @property
    def num_tiles(self) -> int:
        """N, tiles of all levels."""
        return sum(grid.count for grid in self.grids)

    def boxes(self) -> Int[Tensor, "N 3"]:
        """Returns top, left and side of every tile in pixels."""
        return torch.cat([_grid_boxes(grid) for grid in self.grids])


def tile_ratio(level_position: float | Tensor) -> float | Tensor:
    """Returns the tile side as a fraction of image height in the default pyramid: 0.05 to 0.5."""
    return DEFAULT_SPEC.tile_ratio(level_position)


def tile_grid(spec: PyramidSpec, level: int, height: int, width: int) -> TileGrid:
    """Returns the tiles of one level in an image of the given size in pixels.

    Tiles are capped at the shorter side of the image.
    """
    ratio = spec.tile_ratio(level / max(spec.levels - 1, 1))
    size = min(max(round(ratio * height), spec.min_tile_px), height, width)
    stride = max(round(size * float(np.interp(ratio, spec.stride_at, spec.strides))), 1)
    rows, cols = (-(-(side - size) // stride) + 1 for side in (height, width))
    return TileGrid(rows, cols, size, stride, height, width)


@functools.lru_cache(maxsize=256)
def pyramid_layout(spec: PyramidSpec, height: int, width: int) -> PyramidLayout:
    """Returns the layout of all levels for an image of the given size in pixels."""
    grids = tuple(tile_grid(spec, level, height, width) for level in range(spec.levels))
    return PyramidLayout(spec, height, width, grids)


def _starts(count: int, stride: int, last: int) -> Int[Tensor, "n"]:
    return (torch.arange(count) * stride).clamp_max(last)


def _grid_boxes(grid: TileGrid) -> Int[Tensor, "n 3"]:
    top, left = torch.meshgrid(grid.tops(), grid.lefts(), indexing="ij")
    return torch.stack([top, left, torch.full_like(top, grid.size_px)], dim=-1).reshape(-1, 3)
