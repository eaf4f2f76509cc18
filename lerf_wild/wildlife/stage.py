"""The stage: an upright frame in metres in which items are traced, and the ways to and from it.

Symbols: N points. Frames: "nerf" is what the field was trained in, "world" the capture's, and
"stage" has z up and is in metres (in the capture's units where it has no metric scale):
x_stage = m Q x_world, with m metres per unit and Q the turn that makes the capture upright.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from lerf_wild.frames import Placed
from lerf_wild.wildlife.items import level_to

UPRIGHT_DEG = 15.0
"""A capture whose z axis is within this of the training's up is taken for upright as it is."""


@dataclass(frozen=True)
class Stage:
    """Changes of frame of one run."""

    place: Placed

    @property
    def metres(self) -> float:
        """Metres in one unit of the capture."""
        return self.place.meters_per_unit or 1.0

    @property
    def metres_per_nerf(self) -> float:
        """Metres in one unit of the training's frame."""
        return self.place.length_per_nerf

    @property
    def up_3(self) -> Float[np.ndarray, "3"]:
        """Which way is up in the capture's coordinates, a unit vector.

        nerfstudio turns captures upright for training; one that is upright already keeps its own z
        axis, which is exact where nerfstudio's is an average over cameras.
        """
        trained = np.asarray(self.place.transform_34, np.float64)[2, :3]
        trained = trained / np.linalg.norm(trained)
        is_upright = trained[2] > np.cos(np.radians(UPRIGHT_DEG))
        return np.array([0.0, 0.0, 1.0]) if is_upright else trained

    @property
    def turn_33(self) -> Float[np.ndarray, "3 3"]:
        """Q, from the capture's axes to the stage's."""
        return level_to(self.up_3).T

    def from_world(self, points_N3: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Positions in the capture's coordinates to the stage."""
        return self.metres * np.asarray(points_N3, np.float64) @ self.turn_33.T

    def to_world(self, points_N3: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Positions on the stage to the capture's coordinates."""
        return np.asarray(points_N3, np.float64) @ self.turn_33 / self.metres

    def from_nerf(self, points_N3: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Positions in the training's frame to the stage."""
        return self.from_world(self.place.to_world(points_N3))

    def to_nerf(self, points_N3: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Positions on the stage to the training's frame."""
        return self.place.to_nerf(self.to_world(points_N3))

    def directions_from_nerf(self, vectors_N3: Float[np.ndarray, "N 3"]) -> np.ndarray:
        """Unit vectors of the training's frame on the stage."""
        return self.place.directions_to_world(vectors_N3) @ self.turn_33.T

    def directions_to_nerf(self, vectors_N3: Float[np.ndarray, "N 3"]) -> np.ndarray:
        """Unit vectors of the stage in the training's frame."""
        rotation_33 = np.asarray(self.place.transform_34, np.float64)[:, :3]
        return np.asarray(vectors_N3, np.float64) @ self.turn_33 @ rotation_33.T
