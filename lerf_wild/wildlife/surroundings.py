"""What placing and lighting need to know of a captured place: surface points, ground and light.

Symbols: N points. Frame: the stage (metres, z up).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from lerf_wild.errors import WildlifeError
from lerf_wild.storage.cache import FeatureCache, content_key, default_cache_root
from lerf_wild.wildlife.ground import Ground, find_ground, laid_on
from lerf_wild.wildlife.scene_light import SceneLight, estimate_light, usual_light
from lerf_wild.wildlife.sheet import Sheet

POINTS = 60_000
VERSION = 9


@dataclass(frozen=True)
class Surroundings:
    """Surface points of a place on its stage, with their colours, and what follows from them."""

    points_N3: Float[np.ndarray, "N 3"]
    colours_N3: NDArray[np.uint8]
    """sRGB."""
    sheet: Sheet | None = None
    """Where the ground is by the photos, if they say more of it than the points."""

    @cached_property
    def ground(self) -> Ground:
        """The ground under the points; raises WildlifeError where there is none."""
        return self._laid(self.field_ground, self.points_N3)

    @cached_property
    def field_ground(self) -> Ground:
        """The ground where the field has it, for what is compared with the field's own depths.

        Raises WildlifeError where there is none.
        """
        return find_ground(self.points_N3)

    def ground_under(self, is_left_N: Bool[np.ndarray, "N"]) -> Ground:
        """The ground as if there were only some of the points.

        Raises WildlifeError when they are too few.
        """
        left_N3 = self.points_N3[is_left_N]
        return self._laid(find_ground(left_N3), left_N3)

    def _laid(self, ground: Ground, points_N3: NDArray) -> Ground:
        return ground if self.sheet is None else laid_on(ground, self.sheet, points_N3)

    @cached_property
    def light(self) -> SceneLight:
        """The light that the points are in; that of a usual day where there is no ground."""
        if self.known_ground is None:
            return usual_light()
        linear = (self.colours_N3.astype(np.float64) / 255.0) ** 2.2
        return estimate_light(self.points_N3, linear, self.ground)

    def ground_normals(self, xy_N2: NDArray) -> Float[np.ndarray, "N 3"]:
        """Unit normals of the ground; straight up where there is none."""
        if self.known_ground is None:
            return np.tile([0.0, 0.0, 1.0], (len(xy_N2), 1))
        return self.known_ground.normal(xy_N2)

    @cached_property
    def known_ground(self) -> Ground | None:
        """The ground, or None where there is none."""
        try:
            return self.ground
        except WildlifeError:
            return None


def kept_surroundings(
    described: Mapping[str, object], make: Callable[[], Surroundings]
) -> Surroundings:
    """Surroundings from the cache folder, else made and kept; `described` tells places apart."""
    kept = FeatureCache(default_cache_root())
    key = content_key({"surroundings": VERSION, "points": POINTS, **described})
    like = {
        "points": ((None, 3), torch.float32),
        "colours": ((None, 3), torch.uint8),
        "sheet": ((None, None), torch.float64),
        "is_sure": ((None, None), torch.bool),
        "sheet_low_and_cell": ((3,), torch.float64),
    }
    found = kept.get(key, like)
    if found is not None:
        points, colours, heights, is_sure, (*low_2, cell_m) = (
            found[name].numpy().copy() for name in like
        )
        sheet = Sheet(np.array(low_2), float(cell_m), heights, is_sure) if heights.size else None
        return Surroundings(points.astype(np.float64), colours, sheet)
    made = make()
    sheet = made.sheet or Sheet(np.zeros(2), 1.0, np.zeros((0, 0)))
    is_sure = np.ones_like(sheet.height_XY, bool) if sheet.is_sure_XY is None else sheet.is_sure_XY
    tensors: dict[str, Tensor] = {
        "points": torch.from_numpy(made.points_N3.astype(np.float32)),
        "colours": torch.from_numpy(np.ascontiguousarray(made.colours_N3)),
        "sheet": torch.from_numpy(np.ascontiguousarray(sheet.height_XY)),
        "is_sure": torch.from_numpy(is_sure),
        "sheet_low_and_cell": torch.tensor([*sheet.low_2, sheet.cell_m], dtype=torch.float64),
    }
    kept.put(key, tensors, {"kind": "surroundings"})
    return made
