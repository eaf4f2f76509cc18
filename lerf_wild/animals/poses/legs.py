"""Legs of a quadruped in the side plane: pitches of their segments, and inverse kinematics.

Symbols: T frames, S segments of a leg (upper, lower, cannon, foot). A pitch is a rotation about +y
(left) in radians: positive turns the nose down and swings a foot back. A direction angle is
atan2(z, x) in the side plane; turning by a pitch lowers it by as much.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lerf_wild.animals import schema

Floats = NDArray[np.float64]
LEG_CHAINS: tuple[tuple[int, ...], ...] = (
    schema.FRONT_LEFT,
    schema.FRONT_RIGHT,
    schema.HIND_LEFT,
    schema.HIND_RIGHT,
)
"""Joints of the four legs in the order of all tables here."""
REACH = 0.985
"""Share of a leg's full length to which it may stretch, so that it never snaps straight."""


def direction(vector: Floats) -> Floats:
    """Angle (...) of a vector (..., 3) in the side plane."""
    return np.arctan2(vector[..., 2], vector[..., 0])


def turned(vector_3: Floats, pitch: Floats) -> Floats:
    """A vector (3,) turned by pitches (...), giving (..., 3)."""
    x, y, z = vector_3
    cos, sin = np.cos(pitch), np.sin(pitch)
    return np.stack([x * cos + z * sin, np.broadcast_to(y, np.shape(pitch)), z * cos - x * sin], -1)


def reach(root: Floats, wrist: Floats, upper_3: Floats, lower_3: Floats) -> tuple[Floats, Floats]:
    """Pitches (T,), (T,) of the two upper segments that bring the leg's root (T, 3) to the wrist.

    The leg bends to the side to which it bends at rest. A wrist out of reach is approached.
    """
    first, second = np.linalg.norm(upper_3), np.linalg.norm(lower_3)
    span = wrist - root
    far = np.hypot(span[..., 0], span[..., 2])
    far = np.clip(far, 1.05 * abs(first - second) + 1e-6, REACH * (first + second))
    cosine = (first**2 + far**2 - second**2) / (2 * first * far)
    inner = np.arccos(np.clip(cosine, -1.0, 1.0))
    bend = np.sign(_wrapped(direction(upper_3) - direction(upper_3 + lower_3))) or 1.0
    toward = direction(span)
    upper_angle = toward + bend * inner
    elbow = first * np.stack([np.cos(upper_angle), np.sin(upper_angle)], -1)
    end = far[..., None] * np.stack([np.cos(toward), np.sin(toward)], -1)
    rest = end - elbow
    lower_angle = np.arctan2(rest[..., 1], rest[..., 0])
    return (
        _wrapped(direction(upper_3) - upper_angle),
        _wrapped(direction(lower_3) - lower_angle),
    )


def leg_rotations(rotvecs_TJ3: Floats, pitches: Mapping[int, Floats], body_pitch_T: Floats) -> None:
    """Writes absolute segment pitches (T, S) of legs, by leg, into local rotation vectors.

    Args:
        rotvecs_TJ3: Changed in place.
        pitches: By index into `LEG_CHAINS`, the absolute pitch of each segment.
        body_pitch_T: Pitch of what the legs hang from.
    """
    for leg, absolute in pitches.items():
        above = np.concatenate([body_pitch_T[:, None], absolute[:, :-1]], axis=1)
        rotvecs_TJ3[:, list(LEG_CHAINS[leg]), 1] = _wrapped(absolute - above)


def _wrapped(angle: Floats) -> Floats:
    return (angle + np.pi) % (2 * np.pi) - np.pi
