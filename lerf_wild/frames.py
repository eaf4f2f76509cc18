"""Between the frame of the training and that of the capture.

x_nerf = scale * (R @ x_world + t), with [R t] = transform_34 of the dataparser.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


class Placed:
    """Gives anything with a transform, a scale and a metric scale its changes of frame."""

    transform_34: Float[np.ndarray, "3 4"]
    scale: float
    meters_per_unit: float | None
    """Metres per world unit, None where the capture has no metric scale."""

    @property
    def title(self) -> str:
        """What the place is called, for people."""
        return "scene"

    @property
    def unit(self) -> str:
        """What lengths are in, for people: "m" or "scene units"."""
        return "scene units" if self.meters_per_unit is None else "m"

    @property
    def length_per_nerf(self) -> float:
        """Metres, or world units where there is no metric scale, in one nerf unit."""
        return (self.meters_per_unit or 1.0) / self.scale

    def to_world(self, points_N3: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Positions in the nerf frame to the world frame, float64."""
        rotation_33, offset_3 = self.transform_34[:, :3], self.transform_34[:, 3]
        return (np.asarray(points_N3, np.float64) / self.scale - offset_3) @ rotation_33

    def to_nerf(self, points_N3: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Positions in the world frame to the nerf frame, float64."""
        rotation_33, offset_3 = self.transform_34[:, :3], self.transform_34[:, 3]
        return self.scale * (np.asarray(points_N3, np.float64) @ rotation_33.T + offset_3)

    def directions_to_world(self, vectors_N3: Float[np.ndarray, "N 3"]) -> np.ndarray:
        """Unit vectors in the nerf frame to the world frame, float64."""
        return np.asarray(vectors_N3, np.float64) @ self.transform_34[:, :3]
