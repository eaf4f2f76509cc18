"""What a baked scene says in the views of the run that it was baked from.

H, W pixels, N points, P phrases.
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


class BakedViews:
    """A baked scene, looked at from cameras: each pixel has the score of the nearest point."""

    def __init__(self, path: Path) -> None:
        self.scene = open_baked(path)

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.scene.baked.positions_N3)

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
        _, nearest_N = self._tree.query(run.to_world(places_HW3[is_there_HW].numpy()), workers=-1)
        found = self.scene.ask(phrases, among=nearest_N)
        maps_HWP[is_there_HW] = found.relevancy_PN[:, nearest_N].T
        return maps_HWP
