"""Drawing pixels of what fills little of the pictures as often as of what fills most of them.

A small animal covers a hundred pixels of a few views. Pixels drawn evenly, as LERF draws them,
hardly ever meet it, and the language field answers for the ground around it. Here the smallest
tiles of all pictures are parted into kinds that look alike to the encoder, and every kind is drawn
equally often.

Symbols: N smallest tiles of all images, D embedding dimensions, K kinds, R rays.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.cluster.vq import kmeans2
from torch import Tensor
from torch.nn import functional

from lerf_wild.language.lookup import PyramidEntry

KINDS = 64
SAMPLE = 20_000
"""Tiles, at most, that the kinds are found in; all others only look for their nearest kind."""


class RareTiles:
    """The smallest tiles of all images and how often each is drawn."""

    def __init__(self, entries: Sequence[PyramidEntry], kinds: int = KINDS, seed: int = 0) -> None:
        tiles_ND = torch.cat([_smallest(entry.tiles, entry) for entry in entries])
        valid_N = torch.cat([_smallest(entry.valid, entry) for entry in entries])
        counts = [entry.layout.grids[0].count for entry in entries]
        self._image_N = torch.repeat_interleave(torch.arange(len(entries)), torch.tensor(counts))
        self._boxes_N3 = torch.cat(
            [entry.layout.boxes()[: counts[i]] for i, entry in enumerate(entries)]
        )
        grids = [entry.layout.grids[0] for entry in entries]
        self._steps_I = torch.tensor([grid.stride_px for grid in grids])
        self._sizes_I = torch.tensor([grid.size_px for grid in grids])
        self._shape_I2 = torch.tensor([(grid.rows, grid.cols) for grid in grids])
        self._starts_I = torch.tensor([0, *counts[:-1]]).cumsum(0)
        chance_N = chances(tiles_ND, valid_N, kinds, seed)
        self._reach_N = chance_N.cumsum(0)
        cell_N = self._steps_I[self._image_N].double() ** 2
        pixels = sum(grid.height * grid.width for grid in grids)
        self._favour_N = (chance_N / self._reach_N[-1] * pixels / cell_N).float()

    def draw(
        self, count: int, generator: torch.Generator | None = None
    ) -> tuple[Int[Tensor, "R"], Float[Tensor, "R 2"]]:
        """Images and places (x, y in pixels of what was encoded) at the middles of drawn tiles."""
        shot_R = torch.rand(count, generator=generator, dtype=torch.float64) * self._reach_N[-1]
        tile_R = torch.searchsorted(self._reach_N, shot_R, right=True).clamp(
            max=len(self._reach_N) - 1
        )
        image_R = self._image_N[tile_R]
        top_left_R2, side_R1 = self._boxes_N3[tile_R].split([2, 1], dim=1)
        shift_R2 = (torch.rand(count, 2, generator=generator) - 0.5) * self._steps_I[image_R, None]
        return image_R, top_left_R2.flip(-1) + side_R1 / 2 + shift_R2

    def favour(
        self, image_R: Int[Tensor, "R"], pixel_R2: Float[Tensor, "R 2"]
    ) -> Float[Tensor, "R"]:
        """How many times as likely as by an even draw `draw` meets each pixel (x, y).

        The tiles of the last row and column overlap those before them; a pixel in both counts as
        one of the tile that begins first.
        """
        step_R1, half_R1 = self._steps_I[image_R, None], self._sizes_I[image_R, None] / 2
        nearest_R2 = ((pixel_R2.flip(-1) - half_R1) / step_R1).round().long().clamp(min=0)
        row_R, column_R = nearest_R2.minimum(self._shape_I2[image_R] - 1).unbind(-1)
        return self._favour_N[
            self._starts_I[image_R] + row_R * self._shape_I2[image_R, 1] + column_R
        ]


def chances(
    tiles_ND: Float[Tensor, "N D"], valid_N: Tensor, kinds: int = KINDS, seed: int = 0
) -> Float[Tensor, "N"]:
    """Chance of each tile (float64, not normalised): kinds are equally likely, and so are the valid
    tiles of one kind. With no valid tile all are alike."""
    if not bool(valid_N.any()):
        return torch.ones(len(tiles_ND), dtype=torch.float64)
    kind_N = kinds_of(tiles_ND, valid_N, kinds, seed)
    size_K = torch.bincount(kind_N[valid_N], minlength=kinds).double()
    return torch.where(valid_N, 1.0 / size_K[kind_N].clamp(min=1.0), 0.0)


def kinds_of(
    tiles_ND: Float[Tensor, "N D"], valid_N: Tensor, kinds: int, seed: int = 0
) -> Int[Tensor, "N"]:
    """Index of the nearest of ``kinds`` directions, found by k-means on some of the valid tiles."""
    rng = np.random.default_rng(seed)
    rows = valid_N.nonzero().flatten().numpy()
    some = torch.from_numpy(rng.permutation(rows)[:SAMPLE])
    sample = np.unique(functional.normalize(tiles_ND[some].float(), dim=-1).numpy(), axis=0)
    with warnings.catch_warnings():
        # Kinds that nothing belongs to are no trouble: they are never the nearest.
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        middles, _ = kmeans2(sample, min(kinds, len(sample)), minit="++", seed=rng)
    middles_KD = functional.normalize(torch.from_numpy(middles).float(), dim=-1)
    parts = tiles_ND.split(1 << 16)
    return torch.cat(
        [(functional.normalize(p.float(), dim=-1) @ middles_KD.T).argmax(1) for p in parts]
    )


def _smallest(rows: Tensor, entry: PyramidEntry) -> Tensor:
    return rows[: entry.layout.grids[0].count]
