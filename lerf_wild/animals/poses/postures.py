"""Postures that are held: standing, grazing, sitting and lying.

Symbols: J joints (35). Rotations are rotation vectors in the frame of the rest pose, radians;
pitches are those of `lerf_wild.animals.poses.legs`. The rest joints of the animal's own shape
decide how far a neck has to go down or a trunk up.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lerf_wild.animals import schema
from lerf_wild.animals.poses.gaits import leg_length
from lerf_wild.animals.poses.legs import LEG_CHAINS, direction, leg_rotations, reach, turned

Floats = NDArray[np.float64]
Posture = Callable[[Floats, np.random.Generator], Floats]


def stand(rest_J3: Floats, rng: np.random.Generator) -> Floats:
    """Standing square, with feet a little out of line."""
    vectors = np.zeros((schema.JOINT_COUNT, 3))
    pitches = {leg: _planted(rest_J3, leg, rng.normal(0.0, 0.05)) for leg in range(4)}
    leg_rotations(vectors[None], pitches, np.zeros(1))
    return vectors


def graze(rest_J3: Floats, rng: np.random.Generator) -> Floats:
    """Standing with the muzzle at the ground, as far as the neck allows."""
    vectors = stand(rest_J3, rng)
    step = {0: 0.14, 1: -0.12}
    pitches = {leg: _planted(rest_J3, leg, forward) for leg, forward in step.items()}
    leg_rotations(vectors[None], pitches, np.zeros(1))
    ground = rest_J3[:, 2].min()
    neck = rest_J3[schema.HEAD] - rest_J3[schema.NECK]
    head = np.array([1.6, 0.0, -0.6]) * np.linalg.norm(rest_J3[schema.MOUTH] - rest_J3[schema.HEAD])
    lean = np.linspace(0.0, 2.0, 81)
    muzzle = rest_J3[schema.NECK] + turned(neck, lean) + turned(2.0 * head, 0.7 * lean)
    best = lean[np.abs(muzzle[:, 2] - ground - 0.06).argmin()]
    # The front of the spine takes part of the way.
    vectors[[5, 6], 1] = 0.06 * best
    vectors[schema.NECK, 1] = 0.78 * best
    vectors[schema.HEAD, 1] = -0.2 * best
    for chain in (schema.FRONT_LEFT, schema.FRONT_RIGHT):
        vectors[chain[0], 1] -= 0.12 * best
    return vectors


def sit(rest_J3: Floats, rng: np.random.Generator) -> Floats:
    """Sitting on the haunches, the front legs straight."""
    vectors = np.zeros((schema.JOINT_COUNT, 3))
    hip, stifle, hock, ankle = rest_J3[list(schema.HIND_LEFT)]
    shoulder = rest_J3[schema.FRONT_LEFT[0]]
    fold = [(stifle - hip, -0.25), (hock - stifle, -2.75), (ankle - hock, -0.08)]
    absolute = [float(direction(vector) - angle) for vector, angle in fold]
    low = sum(turned(vector, np.array(p)) for (vector, _), p in zip(fold, absolute))[2]
    trunk = shoulder - hip
    rise = 0.93 * leg_length(rest_J3) - max(-low, 0.1)
    slope = np.arcsin(np.clip(rise / np.hypot(trunk[0], trunk[2]), -0.2, 0.85))
    pitch = np.array([float(direction(trunk) - slope)])
    vectors[0, 1] = 0.75 * pitch[0]
    vectors[[2, 3, 4, 5, 6], 1] = 0.05 * pitch[0]
    spread = rng.normal(0.0, 0.04, 4)
    hind = np.array([[*absolute, 0.0]])
    leg_rotations(vectors[None], {2: hind + spread[0], 3: hind + spread[1]}, 0.75 * pitch)
    front = {leg: _hanging(rest_J3, leg, spread[2 + leg]) for leg in (0, 1)}
    leg_rotations(vectors[None], front, pitch)
    vectors[schema.NECK, 1] = -0.45 * pitch[0]
    vectors[schema.HEAD, 1] = -0.35 * pitch[0]
    return vectors


def lie(rest_J3: Floats, rng: np.random.Generator) -> Floats:
    """Lying on the breast; hoofed animals, with long cannons, tuck the front feet under."""
    vectors = np.zeros((schema.JOINT_COUNT, 3))
    shoulder, elbow, wrist, ankle = rest_J3[list(schema.FRONT_LEFT)]
    tucked = np.linalg.norm(ankle - wrist) > 0.3 * leg_length(rest_J3)
    under = -3.0 if tucked else -0.02
    front = [(elbow - shoulder, -2.5), (wrist - elbow, -0.06), (ankle - wrist, under)]
    hip, stifle, hock, foot = rest_J3[list(schema.HIND_LEFT)]
    hind = [(stifle - hip, -0.45), (hock - stifle, -2.85), (foot - hock, -0.06)]
    spread = rng.normal(0.0, 0.06, 4)
    for legs, segments in (((0, 1), front), ((2, 3), hind)):
        absolute = [float(direction(vector) - angle) for vector, angle in segments]
        absolute.append(2.4 if tucked and legs == (0, 1) else 0.0)
        pitches = {leg: np.array([absolute]) + spread[leg] for leg in legs}
        leg_rotations(vectors[None], pitches, np.zeros(1))
    return vectors


def _planted(rest: Floats, leg: int, forward: float) -> Floats:
    """Pitches (1, 4) of a leg whose foot stands ``forward`` leg lengths from its place."""
    chain = rest[list(LEG_CHAINS[leg])]
    upper, lower, cannon = np.diff(chain, axis=0)
    foot = chain[3][None] + [[forward * leg_length(rest), 0.0, 0.0]]
    lean = np.array([-0.35 * forward])
    first, second = reach(chain[0][None], foot - turned(cannon, lean), upper, lower)
    return np.stack([first, second, lean, np.zeros(1)], axis=1)


def _hanging(rest: Floats, leg: int, forward: float) -> Floats:
    """Pitches (1, 4) of a leg that hangs straight down."""
    chain = rest[list(LEG_CHAINS[leg])]
    upper, lower, cannon = np.diff(chain, axis=0)
    full = np.linalg.norm(upper) + np.linalg.norm(lower)
    wrist = chain[0] + np.array([forward + 0.06 * full, 0.0, -0.97 * full])
    first, second = reach(chain[0][None], wrist[None], upper, lower)
    down = np.array([float(direction(cannon) + 0.5 * np.pi)])
    return np.stack([first, second, down, np.zeros(1)], axis=1)


POSTURES: dict[str, Posture] = {"stand": stand, "graze": graze, "sit": sit, "lie": lie}
