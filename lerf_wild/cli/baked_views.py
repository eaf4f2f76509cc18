"""What a baked scene says in the views of the run that it was baked from.

H, W pixels, N points, V voxels, P phrases, R pixels that show a place, M nearest
voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from lerf_wild.baked.scene import open_baked
from lerf_wild.cli.runs import Run, ViewAnswer
from lerf_wild.cli.sampling import MIN_ACCUMULATION

if TYPE_CHECKING:
    from nerfstudio.cameras.cameras import Cameras

MEAN_VOXELS = 8
"""Nearest voxels whose scores are averaged."""

MOST_GAPS = 4.0
"""A place this many times as far from any voxel as the view's places usually are is none that was
baked: at the edge of a thing the depth of a pixel lies in mid-air before what is behind."""


class BakedViews:
    """A baked scene, looked at from cameras: each pixel has the mean score of the nearest voxels.

    Single voxels are off now and then, and a phrase is looked for at the highest of all.
    """

    def __init__(self, path: Path) -> None:
        self.scene = open_baked(path)

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.scene.baked.middles_V3)

    def maps(
        self, run: Run, cameras: Cameras, index: int, answer: ViewAnswer, phrases: Sequence[str]
    ) -> Float[np.ndarray, "H W P"]:
        """Returns the relevancy of the places that a rendered view shows, 0 where it shows none.

        Each phrase is looked for at the size at which it peaks in the view, as the field is.
        """
        rays = cameras.generate_rays(index, keep_shape=True)
        depth_HW1 = answer.outputs["depth"].cpu()
        places_HW3 = rays.origins.cpu() + rays.directions.cpu() * depth_HW1
        is_there_HW = answer.outputs["accumulation"][..., 0].cpu().numpy() >= MIN_ACCUMULATION
        maps_HWP = np.zeros((*is_there_HW.shape, len(phrases)), np.float32)
        if not is_there_HW.any():
            return maps_HWP
        places_R3 = run.to_world(places_HW3[is_there_HW].numpy())
        first_V = self.scene.baked.first_V
        count = min(MEAN_VOXELS, len(first_V))
        gaps_RM, near_RM = self._tree.query(places_R3, k=np.arange(1, count + 1), workers=-1)
        near_RM = first_V[near_RM]
        found = self.scene.ask(phrases, among=near_RM[:, 0])
        is_near_R = gaps_RM[:, 0] <= MOST_GAPS * np.median(gaps_RM[:, 0])
        for column, relevancy_N in enumerate(found.relevancy_PN):
            maps_HWP[is_there_HW, column] = relevancy_N[near_RM].mean(axis=1) * is_near_R
        return maps_HWP
