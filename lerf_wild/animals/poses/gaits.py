"""Gaits: one cycle of walk, trot or gallop, with feet that stand still while they carry.

Symbols: T frames of a cycle, J joints (35). Rest joints are those of the animal's own shape, so
that long legs take long steps. Rotations are rotation vectors in the frame of the rest pose,
radians.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lerf_wild.animals import schema
from lerf_wild.animals.poses.legs import LEG_CHAINS, leg_rotations, reach, turned

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gait:
    """When each foot carries, and how far and high it goes."""

    phases: tuple[float, float, float, float]
    """When each leg (LF, RF, LH, RH) begins to carry, as a share of the cycle."""
    duty: float
    """Share of the cycle for which a foot carries."""
    stride: float
    """Way of a carrying foot, in lengths of the front leg."""
    lift: float
    """Height to which a foot is lifted, in lengths of the front leg."""
    fold: float
    """Pitch by which the cannon folds back while the foot is in the air, radians."""
    bob: float
    """Up and down of the trunk, in lengths of the front leg."""
    flex: float
    """Bending of the spine, radians in all."""
    nod: float
    """Nodding of the neck, radians."""


GAITS: dict[str, Gait] = {
    "walk": Gait((0.25, 0.75, 0.0, 0.5), 0.64, 0.5, 0.09, 0.7, 0.008, 0.02, 0.06),
    "trot": Gait((0.5, 0.0, 0.0, 0.5), 0.46, 0.56, 0.14, 1.0, 0.02, 0.03, 0.03),
    "gallop": Gait((0.42, 0.54, 0.0, 0.12), 0.3, 0.72, 0.2, 1.3, 0.03, 0.3, 0.12),
}


def foot_path(gait: Gait, time_T: Floats, leg: int) -> tuple[Floats, Floats, Floats]:
    """Where a foot is: forward (-0.5 to 0.5 of the stride), lift and fold (0-1), each (T,)."""
    phase = (time_T - gait.phases[leg]) % 1.0
    carrying = phase < gait.duty
    swing = np.clip((phase - gait.duty) / (1.0 - gait.duty), 0.0, 1.0)
    # A smooth step that starts and ends at the speed of the ground would be of fifth order; the
    # eye does not tell it from this one.
    forward = np.where(carrying, 0.5 - phase / gait.duty, -0.5 * np.cos(np.pi * swing))
    up = np.where(carrying, 0.0, np.sin(np.pi * swing) ** 1.5)
    fold = np.where(carrying, 0.0, np.sin(np.pi * swing**0.8))
    return forward, up, fold


def cycle(gait: Gait, rest_J3: Floats, time_T: Floats) -> tuple[Floats, Floats]:
    """Rotation vectors (T, J, 3) and root translation (T, 3) at times 0-1 of the cycle."""
    vectors = np.zeros((len(time_T), schema.JOINT_COUNT, 3))
    length = leg_length(rest_J3)
    wave = 2 * np.pi * time_T
    bends = gait.flex * np.sin(wave + 0.9) / 5
    vectors[:, [2, 3, 4, 5, 6], 1] = bends[:, None]
    # The spine's bend is shared by both ends, so that neither hangs from a level trunk.
    pelvis = -2.5 * bends
    vectors[:, 0, 1] = pelvis
    chest = pelvis + 5 * bends
    beat = 1 if gait.flex > 0.1 else 2
    vectors[:, schema.NECK, 1] = gait.nod * np.sin(beat * wave) - 0.5 * chest
    shift = np.zeros((len(time_T), 3))
    shift[:, 2] = gait.bob * length * np.sin(beat * wave + 0.5)
    tops = _leg_tops(rest_J3, vectors, shift)
    pitches = {leg: _leg_pitches(gait, rest_J3, time_T, leg, tops[:, leg]) for leg in range(4)}
    for legs, pitch in (((0, 1), chest), ((2, 3), pelvis)):
        leg_rotations(vectors, {leg: pitches[leg] for leg in legs}, pitch)
    vectors[:, list(schema.TAIL), 2] = 0.05 * np.sin(wave)[:, None]
    return vectors, shift


def leg_length(rest_J3: Floats) -> float:
    """Length of the front leg from shoulder to fetlock, model units."""
    chain = rest_J3[list(schema.FRONT_LEFT)]
    return float(np.linalg.norm(np.diff(chain, axis=0), axis=1).sum())


def _leg_pitches(gait: Gait, rest: Floats, time_T: Floats, leg: int, top_T3: Floats) -> Floats:
    """Absolute pitches (T, 4) of a leg whose foot follows its path, seen from the moving trunk."""
    chain = rest[list(LEG_CHAINS[leg])]
    upper, lower, cannon = np.diff(chain, axis=0)
    length = leg_length(rest)
    forward, up, fold = foot_path(gait, time_T, leg)
    foot = np.repeat(chain[3][None], len(time_T), axis=0)
    foot[:, 0] += gait.stride * length * forward
    foot[:, 2] += gait.lift * length * up
    # The cannon leans with the leg, and folds back in the air; hind cannons fold the other way.
    lean = -0.35 * gait.stride * forward
    cannon_pitch = lean + gait.fold * fold * (1.0 if leg < 2 else 0.55)
    wrist = foot - turned(cannon, cannon_pitch)
    first, second = reach(top_T3, wrist, upper, lower)
    foot_pitch = 0.8 * cannon_pitch * (up > 0) + 0.25 * np.maximum(lean, 0.0)
    return np.stack([first, second, cannon_pitch, foot_pitch], axis=1)


def _leg_tops(rest: Floats, vectors: Floats, shift: Floats) -> Floats:
    """Where the four legs hang, (T, 4, 3), after root and spine have turned."""
    spots = np.zeros((len(vectors), schema.JOINT_COUNT, 3))
    pitch = np.zeros((len(vectors), schema.JOINT_COUNT))
    for joint, parent in enumerate(schema.PARENTS):
        above = pitch[:, parent] if parent >= 0 else 0.0
        pitch[:, joint] = above + vectors[:, joint, 1]
        spots[:, joint] = rest[joint] + shift
        if parent >= 0:
            spots[:, joint] = spots[:, parent] + turned(rest[joint] - rest[parent], above)
    return spots[:, [chain[0] for chain in LEG_CHAINS]]
