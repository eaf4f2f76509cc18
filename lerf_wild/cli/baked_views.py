"""What a baked scene says in the views of the run that it was baked from.

H, W pixels, N points, V voxels, P phrases, R pixels that show a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from scipy.ndimage import uniform_filter
from scipy.spatial import cKDTree

from lerf_wild.baked.scene import open_baked
from lerf_wild.cli.runs import Run, ViewAnswer
from lerf_wild.cli.sampling import MIN_ACCUMULATION

if TYPE_CHECKING:
    from nerfstudio.cameras.cameras import Cameras

MOST_GAPS, NEIGHBOURS = 1.5, 8
"""A place further from the nearest voxel than so many times the distance of that one to its eighth
neighbour is none that was baked: at the edge of a thing the depth of a pixel lies in mid-air."""

SMOOTHED = 0.014
"""Side of the square of pixels, in image heights, whose scores are averaged: single rays that end
beside a surface show places that have nothing to do with those around them."""


class BakedViews:
    """A baked scene, looked at from cameras: a pixel has the score of the voxel that it shows."""

    def __init__(self, path: Path) -> None:
        self.scene = open_baked(path)

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.scene.baked.middles_V3)

    @cached_property
    def _reach_V(self) -> Float[np.ndarray, "V"]:
        """How far around each voxel places are its own."""
        count = min(NEIGHBOURS + 1, self._tree.n)
        gaps_VM, _ = self._tree.query(self._tree.data, k=[count], workers=-1)
        return MOST_GAPS * gaps_VM[:, 0]

    def maps(
        self, run: Run, cameras: Cameras, index: int, answer: ViewAnswer, phrases: Sequence[str]
    ) -> Float[np.ndarray, "H W P"]:
        """Returns the relevancy of the places that a rendered view shows, 0 where it shows none."""
        rays = cameras.generate_rays(index, keep_shape=True)
        depth_HW1 = answer.outputs["depth"].cpu()
        places_HW3 = rays.origins.cpu() + rays.directions.cpu() * depth_HW1
        is_there_HW = answer.outputs["accumulation"][..., 0].cpu().numpy() >= MIN_ACCUMULATION
        maps_HWP = np.zeros((*is_there_HW.shape, len(phrases)), np.float32)
        if not is_there_HW.any():
            return maps_HWP
        places_R3 = run.to_world(places_HW3[is_there_HW].numpy())
        gaps_R, near_R = self._tree.query(places_R3, workers=-1)
        point_R = self.scene.baked.first_V[near_R]
        found_PR = self.scene.ask(phrases).relevancy_PN[:, point_R]
        maps_HWP[is_there_HW] = (found_PR * (gaps_R <= self._reach_V[near_R])).T
        side = max(1, round(SMOOTHED * len(maps_HWP)))
        return uniform_filter(maps_HWP, (side, side, 1))
