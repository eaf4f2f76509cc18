"""What placing and lighting need to know of a captured place: surface points, ground and light.

Symbols: N points. Frame: the stage (metres, z up).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from lerf_wild.errors import WildlifeError
from lerf_wild.storage.cache import FeatureCache, content_key, default_cache_root
from lerf_wild.wildlife.ground import Ground, find_ground
from lerf_wild.wildlife.scene_light import SceneLight, estimate_light, usual_light

POINTS = 60_000
VERSION = 1


@dataclass(frozen=True)
class Surroundings:
    """Surface points of a place on its stage, with their colours, and what follows from them."""

    points_N3: Float[np.ndarray, "N 3"]
    colours_N3: NDArray[np.uint8]
    """sRGB."""

    @cached_property
    def ground(self) -> Ground:
        """The ground under the points; raises WildlifeError where there is none."""
        return find_ground(self.points_N3)

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
    like = {"points": ((None, 3), torch.float32), "colours": ((None, 3), torch.uint8)}
    found = kept.get(key, like)
    if found is not None:
        points, colours = (found[name].numpy().copy() for name in like)
        return Surroundings(points.astype(np.float64), colours)
    made = make()
    tensors: dict[str, Tensor] = {
        "points": torch.from_numpy(made.points_N3.astype(np.float32)),
        "colours": torch.from_numpy(np.ascontiguousarray(made.colours_N3)),
    }
    kept.put(key, tensors, {"kind": "surroundings"})
    return made
