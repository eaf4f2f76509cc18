"""Limbs, bark and leaf masses: what trees and bushes are made of.

Symbols: K leaves, N points along a limb, M leaf masses. Lengths are metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lerf_wild.assets.mesh import Floats, Piece, join
from lerf_wild.assets.noise import fractal
from lerf_wild.assets.shapes import blob, leaves, tints, tube, unit

UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Limb:
    """A wooden limb: a bent line of points that gets thinner; level 0 is the trunk."""

    points_N3: NDArray[np.float64]
    radii_N: NDArray[np.float64]
    level: int


@dataclass(frozen=True)
class Branching:
    """How limbs divide. Ratios are child to parent, angles radians."""

    levels: int = 3
    children: int = 4
    length_ratio: float = 0.6
    radius_ratio: float = 0.55
    angle: float = 0.8
    wobble: float = 0.12
    rise: float = 0.15
    first: float = 0.45
    """Share of the parent below its first child."""


def grow_limbs(
    rng: np.random.Generator, start_3: Sequence[float], direction_3: Sequence[float], length: float,
    radius: float, plan: Branching, level: int = 0,
) -> list[Limb]:  # fmt: skip
    """A limb and, recursively, all limbs that leave it."""
    limb = bent_limb(rng, start_3, direction_3, length, radius, plan, level)
    limbs = [limb]
    if level + 1 >= plan.levels:
        return limbs
    turn = rng.uniform(0, 2 * np.pi)
    for child in range(plan.children):
        share = plan.first + (1.0 - plan.first) * (child + rng.uniform(0.5, 1.0)) / plan.children
        at, along = _point_on(limb, share)
        turn += 2.4 + rng.normal(0, 0.3)
        aside = _around(along, turn)
        angle = plan.angle * rng.uniform(0.7, 1.2)
        heading = np.cos(angle) * along + np.sin(angle) * aside
        size = rng.uniform(0.8, 1.1) * (1.15 - 0.45 * share)
        thick = np.interp(share, np.linspace(0, 1, len(limb.radii_N)), limb.radii_N)
        limbs += grow_limbs(
            rng, at, heading, length * plan.length_ratio * size, thick * (plan.radius_ratio + 0.2),
            replace(plan, first=0.35), level + 1,
        )  # fmt: skip
    return limbs


def bent_limb(
    rng: np.random.Generator, start_3: Sequence[float], direction_3: Sequence[float], length: float,
    radius: float, plan: Branching, level: int = 0,
) -> Limb:  # fmt: skip
    """One limb that wobbles and bends upwards."""
    count = 7 if level == 0 else 5
    heading = unit(np.asarray(direction_3, np.float64))
    points = [np.asarray(start_3, np.float64)]
    for _ in range(count - 1):
        wobble = rng.normal(0, plan.wobble * (0.55 if level == 0 else 1.0), 3)
        heading = unit(heading + wobble + plan.rise * (level > 0) * UP)
        points.append(points[-1] + heading * length / (count - 1))
    radii = radius * np.linspace(1.0, 0.45 if level == 0 else 0.2, count)
    return Limb(np.array(points), radii, level)


def wood(
    limbs: Sequence[Limb], lattice_LLL: Floats, light: Sequence[float], dark: Sequence[float]
) -> Piece:
    """Tubes around limbs with streaked bark; thinner limbs get fewer sides."""
    sides = [10, 6, 5, 4]
    tubes = [tube(limb.points_N3, limb.radii_N, light, sides[min(limb.level, 3)]) for limb in limbs]
    return barked(join(tubes), lattice_LLL, light, dark)


def barked(
    piece: Piece, lattice_LLL: Floats, light: Sequence[float], dark: Sequence[float],
    frequency_3: Sequence[float] = (9.0, 9.0, 2.5),
) -> Piece:  # fmt: skip
    """Mix two colours over a piece by noise that is stretched along z."""
    share = 0.5 + 0.9 * fractal(lattice_LLL, piece.vertices_V3 * np.asarray(frequency_3), 1.0, 2)
    share = np.clip(share, 0.0, 1.0)[:, None]
    colours = share * np.float32(light) + (1.0 - share) * np.float32(dark)
    return replace(piece, colours_V3=colours.astype(np.float32))


def leaf_mass(
    rng: np.random.Generator, lattice_LLL: Floats, centre_3: NDArray[np.floating],
    radii_3: NDArray[np.floating], colour: Sequence[float], count: int, leaf_m: float,
    core: int = 1, hang: float = 0.0,
) -> Piece:  # fmt: skip
    """A lump of foliage: a dark rough core and leaves around it, lighter towards the top."""
    radii = np.asarray(radii_3, np.float64)
    dark = 0.55 * np.asarray(colour)
    inner = blob(centre_3, 0.8 * radii, dark, core, lattice_LLL, 0.35, 1.6)
    outward = unit(rng.normal(size=(count, 3)) + [0, 0, 0.25])
    bases = centre_3 + outward * radii * rng.uniform(0.62, 1.0, (count, 1))
    heading = outward * 0.8 + rng.normal(0, 0.6, (count, 3)) - hang * UP
    height = ((bases[:, 2] - centre_3[2]) / radii[2])[:, None]
    colours = tints(rng, count, colour, 0.14) * (0.92 + 0.2 * height)
    lengths = leaf_m * rng.uniform(0.7, 1.3, count)
    facing = outward + rng.normal(0, 0.35, (count, 3))
    return join([inner, leaves(bases, heading, lengths, 0.62 * lengths, colours, facing)])


def _point_on(limb: Limb, share: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    place = share * (len(limb.points_N3) - 1)
    low = min(int(place), len(limb.points_N3) - 2)
    step = limb.points_N3[low + 1] - limb.points_N3[low]
    return limb.points_N3[low] + (place - low) * step, unit(step)


def _around(along_3: NDArray[np.float64], turn_rad: float) -> NDArray[np.float64]:
    side = unit(np.cross(along_3, np.eye(3)[np.argmin(np.abs(along_3))]))
    return np.cos(turn_rad) * side + np.sin(turn_rad) * np.cross(along_3, side)
