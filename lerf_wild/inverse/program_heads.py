"""Heads that turn a hidden state into the values of a scene program, and their losses.

Symbols: D width of a hidden state, A length of an appearance embedding, R a rotation matrix (3, 3).
`[CLIP]` is an appearance vector, `[ROT]` a rotation; RAW (CVPR 2025) reads both from the state that
predicts the token: Tanh, Linear, GELU, Linear.
"""

from __future__ import annotations

import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

ROTATION_WEIGHT, APPEARANCE_WEIGHT, NORM_WEIGHT = 1.0, 10.0, 0.001
"""Weights of RAW's losses beside the cross entropy of its text."""


class ValueHead(nn.Sequential):
    """Tanh, Linear, GELU, Linear; or one Linear, which is the baseline."""

    def __init__(self, width: int, outputs: int, linear: bool = False) -> None:
        if linear:
            super().__init__(nn.Linear(width, outputs))
        else:
            super().__init__(
                nn.Tanh(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, outputs)
            )


def to_rotation(values_N9: Float[Tensor, "*N 9"]) -> Float[Tensor, "*N 3 3"]:
    """The rotation nearest to each nine numbers in the Frobenius norm (SVD)."""
    return roma.special_procrustes(values_N9.unflatten(-1, (3, 3)))


def rotation_loss(
    values_N9: Float[Tensor, "N 9"], goal_N33: Float[Tensor, "N 3 3"]
) -> Float[Tensor, ""]:
    """Mean squared error of the nine entries after orthogonalisation."""
    return functional.mse_loss(to_rotation(values_N9), goal_N33)


def appearance_loss(
    values_NA: Float[Tensor, "N A"], goal_NA: Float[Tensor, "N A"]
) -> Float[Tensor, ""]:
    """1 - cosine, plus a weak pull of the length towards 1; weighted as a whole by RAW's 10."""
    cosine = functional.cosine_similarity(values_NA, goal_NA, dim=-1)
    return (1.0 - cosine).mean() + NORM_WEIGHT / APPEARANCE_WEIGHT * norm_penalty(values_NA)


def norm_penalty(values_NA: Float[Tensor, "N A"]) -> Float[Tensor, ""]:
    """Mean squared distance of the lengths from 1."""
    return (1.0 - values_NA.norm(dim=-1)).square().mean()


def yaw_rotation(yaw_N: Float[Tensor, "*N"]) -> Float[Tensor, "*N 3 3"]:
    """Rotations about z by angles in radians."""
    axis = torch.zeros(*yaw_N.shape, 3, dtype=yaw_N.dtype, device=yaw_N.device)
    axis[..., 2] = yaw_N
    return roma.rotvec_to_rotmat(axis)


def rotation_yaw(R_N33: Float[Tensor, "*N 3 3"]) -> Float[Tensor, "*N"]:
    """Angle (radians) of the turned x axis in the plane of x and y."""
    return torch.atan2(R_N33[..., 1, 0], R_N33[..., 0, 0])
