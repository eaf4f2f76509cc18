"""Poses to draw from: gaits at any moment, postures, and variation within joint limits.

Symbols: T frames, J joints (35). Rotations leave here as matrices (..., J, 3, 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import roma
import torch
from numpy.typing import NDArray
from torch import Tensor

from lerf_wild.animals import schema
from lerf_wild.animals.body import BodyModel
from lerf_wild.animals.poses.gaits import GAITS, cycle
from lerf_wild.animals.poses.postures import POSTURES
from lerf_wild.animals.size import ground_shift
from lerf_wild.errors import InputError

Floats = NDArray[np.float64]
ACTIONS: tuple[str, ...] = (*GAITS, *POSTURES)
TAIL_DROOP = -0.55
"""How far the tail hangs by itself, radians; at rest in the model it points straight back."""

TAIL_TRIES = 4
"""Times that a tail below the feet is lifted a little; one or two do."""


@dataclass(frozen=True)
class Pose:
    """Rotations and the translation that stands the animal on z = 0, in model units."""

    rotations: Tensor
    """(..., J, 3, 3)."""
    translation: Tensor
    """(..., 3)."""


def joint_limits() -> Floats:
    """Bounds (J, 3, 2) in radians of each joint's rotation vector.

    Set by eye for four-legged mammals in general; legs bend mostly about the y axis, necks and
    tails about all.
    """
    limits = np.zeros((schema.JOINT_COUNT, 3, 2))

    def allow(joints: tuple[int, ...], roll: float, pitch: tuple[float, float], yaw: float) -> None:
        limits[list(joints)] = [(-roll, roll), pitch, (-yaw, yaw)]

    allow((0,), 0.5, (-1.3, 0.6), np.pi)
    allow((1,), 0.15, (-0.2, 0.2), 0.15)
    allow(schema.SPINE[1:], 0.12, (-0.3, 0.3), 0.2)
    for chain in (schema.FRONT_LEFT, schema.FRONT_RIGHT):
        allow(chain[:1], 0.35, (-1.7, 1.4), 0.3)
        allow(chain[1:2], 0.1, (-2.6, 1.4), 0.1)
        allow(chain[2:3], 0.1, (-1.0, 3.14), 0.1)
        allow(chain[3:], 0.15, (-2.2, 2.2), 0.15)
    for chain in (schema.HIND_LEFT, schema.HIND_RIGHT):
        allow(chain[:1], 0.4, (-1.9, 1.4), 0.3)
        allow(chain[1:2], 0.1, (-1.2, 2.6), 0.1)
        allow(chain[2:3], 0.1, (-2.9, 1.5), 0.1)
        allow(chain[3:], 0.15, (-1.8, 2.2), 0.15)
    allow((schema.NECK,), 0.4, (-0.9, 1.9), 0.8)
    allow((schema.HEAD,), 0.5, (-0.7, 0.8), 0.7)
    allow(schema.TAIL, 0.2, (-1.4, 1.2), 0.6)
    allow((schema.MOUTH,), 0.05, (0.0, 0.35), 0.05)
    allow((schema.LEFT_EAR, schema.RIGHT_EAR), 0.6, (-0.5, 0.6), 0.6)
    return limits


def within_limits(rotvecs_J3: Floats) -> Floats:
    """Rotation vectors (..., J, 3) brought into the limits."""
    limits = joint_limits()
    return np.clip(rotvecs_J3, limits[..., 0], limits[..., 1])


def gait_cycle(model: BodyModel, betas: Tensor | None, gait: str, frames: int) -> Pose:
    """One cycle of a gait in equal steps, on the ground.

    Raises:
        InputError: the gait is not in `GAITS`, or there are no frames.
    """
    if gait not in GAITS or frames < 1:
        known = ", ".join(GAITS)
        raise InputError(f"No gait is {gait[:40]!r} of {frames} frames; gaits are {known}.")
    times = np.arange(frames) / frames
    vectors, shift = cycle(GAITS[gait], _rest_joints(model, betas), times)
    vectors[:, schema.TAIL[0], 1] += TAIL_DROOP
    pose = _pose(within_limits(vectors))
    lowest = model.pose(betas, pose.rotations.to(model.template_V3)).vertices[..., 2].amin(-1)
    height = -lowest.double()
    if gait == "gallop":
        # Feet leave the ground together; the trunk's own path says how high it flies.
        height = (height - torch.from_numpy(shift[:, 2])).max() + torch.from_numpy(shift[:, 2])
    translation = torch.zeros(frames, 3, dtype=torch.float64)
    translation[:, 2] = height
    return Pose(pose.rotations, translation)


def draw_pose(
    model: BodyModel,
    betas: Tensor | None,
    rng: np.random.Generator,
    action: str | None = None,
    spread: float = 1.0,
) -> tuple[str, Pose]:
    """A pose on the ground, at a moment of a gait or in a posture, with an individual's variation.

    Args:
        model: The body model.
        betas: Its shape (K,).
        rng: What decides everything that ``action`` leaves open.
        action: One of `ACTIONS`; drawn when None.
        spread: Size of the variation; 0 for none.

    Raises:
        InputError: the action is unknown.
    """
    action = str(rng.choice(ACTIONS)) if action is None else action
    rest = _rest_joints(model, betas)
    if action in GAITS:
        vectors, _ = cycle(GAITS[action], rest, rng.random(1))
        vectors = vectors[0]
    elif action in POSTURES:
        vectors = POSTURES[action](rest, rng)
    else:
        raise InputError(f"No action is {action[:40]!r}; actions are {', '.join(ACTIONS)}.")
    vectors[schema.TAIL[0], 1] += TAIL_DROOP
    vectors = within_limits(vectors + spread * _variation(rng))
    for _ in range(TAIL_TRIES):
        pose = _pose(vectors)
        vertices = model.pose(betas, pose.rotations.to(model.template_V3)).vertices
        rise = _tail_rise(model, vertices)
        if rise == 0.0:
            break
        # Else a sitting animal would stand on the tip of its tail, its feet in the air.
        vectors[schema.TAIL[0], 1] += rise
        vectors = within_limits(vectors)
    return action, Pose(pose.rotations, ground_shift(vertices).double())


def _tail_rise(model: BodyModel, vertices_V3: Tensor) -> float:
    """Pitch in radians by which the tail has to be lifted to be no lower than all the rest."""
    owner = model.weights_VJ.argmax(1)
    tail = (owner >= schema.TAIL[0]) & (owner <= schema.TAIL[-1])
    if not tail.any():
        return 0.0
    points = vertices_V3[tail]
    deepest, root = points[points[:, 2].argmin()], points[points[:, 0].argmax()]
    gap = float(vertices_V3[~tail, 2].min() - deepest[2])
    reach = float((root - deepest)[[0, 2]].norm())
    return 0.0 if gap <= 0.0 else gap / max(reach, 1e-6) + 0.02


def _variation(rng: np.random.Generator) -> Floats:
    """Small turns of neck, head, tail, ears, spine and jaw, (J, 3)."""
    vectors = np.zeros((schema.JOINT_COUNT, 3))
    vectors[list(schema.LEGS)] = rng.normal(0.0, [0.02, 0.03, 0.015], (16, 3))
    vectors[list(schema.SPINE)] = rng.normal(0.0, [0.01, 0.015, 0.04], (6, 3))
    vectors[schema.NECK] = rng.normal(0.0, [0.06, 0.14, 0.25])
    vectors[schema.HEAD] = rng.normal(0.0, [0.1, 0.12, 0.2])
    vectors[list(schema.TAIL)] = rng.normal(0.0, [0.02, 0.08, 0.08], (7, 3))
    vectors[schema.TAIL[0], 1] += rng.normal(0.0, 0.3)
    vectors[list(schema.TAIL), 2] += rng.normal(0.0, 0.1)
    vectors[schema.MOUTH, 1] = max(0.0, rng.normal(-0.05, 0.15))
    vectors[[schema.LEFT_EAR, schema.RIGHT_EAR]] = rng.normal(0.0, 0.15, (2, 3))
    return vectors


def _pose(vectors: Floats) -> Pose:
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(vectors))
    return Pose(rotations, torch.zeros(*rotations.shape[:-3], 3, dtype=torch.float64))


def _rest_joints(model: BodyModel, betas: Tensor | None) -> Floats:
    return model.rest_joints(betas).detach().cpu().double().numpy()
