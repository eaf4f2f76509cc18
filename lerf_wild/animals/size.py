"""Metric size of a body, and its place on the ground.

Symbols: V vertices. Bodies are in model units; a height at the withers makes them metric.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lerf_wild.animals.body import BodyModel
from lerf_wild.errors import InputError

WITHERS_JOINT = 6
"""spine3, from which the front legs and the neck hang."""


def withers_height(model: BodyModel, rest: Tensor) -> Tensor:
    """Height (...) of the back above the shoulders over the feet, in model units, of rest vertices
    (..., V, 3)."""
    own = model.weights_VJ.argmax(1) == WITHERS_JOINT
    return rest[..., own, 2].max(-1).values - rest[..., 2].min(-1).values


def metres_per_unit(model: BodyModel, betas: Tensor | None, height_m: float) -> Tensor:
    """Factor (...) that makes animals of shapes ``betas`` (..., K) as high as ``height_m`` at the
    withers.

    Raises:
        InputError: the height isn't between 1 cm and 100 m.
    """
    if not 0.01 <= height_m <= 100.0:
        raise InputError(f"A withers height of {height_m} m is not an animal's; give metres.")
    return height_m / withers_height(model, model.rest(betas))


def ground_shift(vertices: Tensor) -> Tensor:
    """Translation (..., 3) that puts the lowest of the posed vertices (..., V, 3) on z = 0."""
    lowest = vertices[..., 2].min(-1).values
    return torch.stack([torch.zeros_like(lowest), torch.zeros_like(lowest), -lowest], -1)
