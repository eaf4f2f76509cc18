"""Which gaussians a few rays meet, without a rasteriser.

Symbols: G gaussians, R rays, K gaussians kept a ray.

With S^-1 R^T turning a gaussian into the unit ball, the ray o + t d becomes o' + t d', its density
is highest at t = -o'.d' / d'.d', and is exp(-|o' + t d'|^2 / 2) there. Gaussians are sorted by that
t and blended like samples of a volume. Rasterisers project first instead, which differs a little
for gaussians that are large in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lerf_wild.methods.lerf_wild_splat.rasterising import NEAR, Gaussians

KEPT = 32
"""Gaussians of a ray that are kept, the heaviest ones."""

MIN_ALPHA = 1 / 255
"""Gaussians that cover less are left out, as gsplat does."""

MAX_ALPHA = 0.999
MIN_SCALE = 1e-7


@dataclass(frozen=True)
class Met:
    """What rays meet; positions and depths in nerf units."""

    positions_RK3: Float[Tensor, "r k 3"]
    """Centres of the heaviest gaussians."""
    weights_RK: Float[Tensor, "r k"]
    depth_R1: Float[Tensor, "r 1"]
    """Distance at which half of what the ray meets has been met."""
    covered_R1: Float[Tensor, "r 1"]


def rotations(quats_G4: Float[Tensor, "g 4"]) -> Float[Tensor, "g 3 3"]:
    """Rotation matrices of quaternions wxyz of any length but 0."""
    w, x, y, z = torch.nn.functional.normalize(quats_G4, dim=-1).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def gaussians_along(
    gaussians: Gaussians,
    origins_R3: Float[Tensor, "r 3"],
    directions_R3: Float[Tensor, "r 3"],
) -> Met:
    """Blends the gaussians along rays; memory is that of rays times gaussians."""
    to_ball_G33 = rotations(gaussians.quats_G4).transpose(1, 2)
    to_ball_G33 = to_ball_G33 / gaussians.scales_G3.clamp(min=MIN_SCALE)[..., None]
    offsets_RG3 = origins_R3[:, None] - gaussians.means_G3
    starts_RG3 = torch.einsum("gij,rgj->rgi", to_ball_G33, offsets_RG3)
    steps_RG3 = torch.einsum("gij,rj->rgi", to_ball_G33, directions_R3)
    squares_RG = steps_RG3.square().sum(-1).clamp(min=1e-12)
    distance_RG = -(starts_RG3 * steps_RG3).sum(-1) / squares_RG
    misses_RG = (starts_RG3 + distance_RG[..., None] * steps_RG3).square().sum(-1)
    alpha_RG = (gaussians.opacities_G * torch.exp(-misses_RG / 2)).clamp(max=MAX_ALPHA)
    alpha_RG = alpha_RG * ((alpha_RG >= MIN_ALPHA) & (distance_RG > NEAR))
    return _blended(gaussians, distance_RG, alpha_RG)


def _blended(gaussians: Gaussians, distance_RG: Tensor, alpha_RG: Tensor) -> Met:
    distance_RG, order_RG = distance_RG.sort(dim=1)
    alpha_RG = alpha_RG.gather(1, order_RG)
    through_RG = torch.cumprod(1 - alpha_RG, dim=1)
    before_RG = torch.cat([torch.ones_like(through_RG[:, :1]), through_RG[:, :-1]], dim=1)
    weights_RG = alpha_RG * before_RG
    covered_R1 = weights_RG.sum(dim=1, keepdim=True)
    half_R1 = (weights_RG.cumsum(dim=1) < covered_R1 / 2).sum(dim=1, keepdim=True)
    depth_R1 = distance_RG.gather(1, half_R1.clamp(max=distance_RG.shape[1] - 1))
    weights_RK, index_RK = weights_RG.topk(min(KEPT, weights_RG.shape[1]), dim=1)
    positions_RK3 = gaussians.means_G3[order_RG.gather(1, index_RK)]
    return Met(positions_RK3, weights_RK, depth_R1, covered_R1)
