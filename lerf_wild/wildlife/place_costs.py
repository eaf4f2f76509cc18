"""How good a place is for an item: how near to what was meant, and how sure its ground.

Symbols: N places, M points of a thing, S soles, K points that an item covers. Frame: the stage
(metres, z up). All costs are in metres: what is wrong with a place counts as if it were so much
further off.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy import ndimage

from lerf_wild.wildlife.footprints import Footprint, covered, shade, touched
from lerf_wild.wildlife.ground import Ground
from lerf_wild.wildlife.sheet import Sheet

ROOM_M = 0.3
"""How far from a thing what is placed by it best stands: leaf tips and edges reach further than its
relevant points."""
PEAK_SHARE = 0.1
"""Of places by a thing those near its most relevant point come first, if only by this much."""
BY_M, FAR = 0.15, 4.0
"""What is this much further off than the nearest free place is still by a thing; beyond, each metre
counts as so many."""
UNSURE_M = 0.4
"""How much further it may be to a place with sure ground."""
GUESS = 2.0
"""How much further for each metre from an item's soles to sure ground: nearly all of that is right
within 2 cm, four fifths of what is 0.25 m off it, and half of what is 0.65 m off."""
LEVEL_DEG, BANK_DEG = 5.0, 10.0
"""Ground that comes out steeper than the first is less and less sure, and steeper than the second
no surer than what the photos don't tell: the bank of a pond is bent less than it truly is."""
SURE_SOLES, SURE_SHARE = 0.9, 0.75
"""Shares of the soles, and of what the item covers, that have sure ground at such a place."""
AROUND_CELL_M = 0.05
"""How finely distances from a thing are mapped."""


@dataclass(frozen=True)
class Aim:
    """Where an item is to stand: at a point, or by a thing."""

    point_2: Float[np.ndarray, "2"]
    """The point, or what of the thing was meant most."""
    thing_M2: Float[np.ndarray, "M 2"] = field(default_factory=lambda: np.zeros((0, 2)))
    """Points of the thing, seen from above; none where no thing is meant."""

    @property
    def points_M2(self) -> Float[np.ndarray, "M 2"]:
        """What an item is to be near."""
        return self.thing_M2 if len(self.thing_M2) else self.point_2[None]


def middle_of(ground: Ground) -> Float[np.ndarray, "2"]:
    """The middle of the ground that the photos show."""
    known_M2 = np.argwhere(ground.is_known_GG) + 0.5
    return ground.low_2 + ground.cell_m * known_M2.mean(axis=0)


def distances(
    print_: Footprint, aim: Aim, spots_N2: Float[np.ndarray, "N 2"], yaw_rad: float
) -> Float[np.ndarray, "N"]:
    """How far from its aim an item would be: its middle from a point; beside a thing, what it hides
    from above from where that would best be."""
    to_point_N = np.linalg.norm(spots_N2 - aim.point_2, axis=1)
    if not len(aim.thing_M2):
        return to_point_N
    shade_NK2 = shade(print_, spots_N2, yaw_rad)
    to_thing_N = _around(aim.thing_M2, shade_NK2).height(shade_NK2).min(axis=-1)
    return np.abs(to_thing_N - ROOM_M) + PEAK_SHARE * to_point_N


def _around(thing_M2: NDArray, needed_NK2: NDArray) -> Sheet:
    """Distances from a thing, over all positions where they are needed."""
    both = np.concatenate([thing_M2, needed_NK2.reshape(-1, 2)])
    low_2 = both.min(axis=0) - AROUND_CELL_M
    shape = np.ceil((both.max(axis=0) - low_2) / AROUND_CELL_M).astype(int) + 1
    is_clear_XY = np.ones(shape, bool)
    is_clear_XY[tuple(((thing_M2 - low_2) / AROUND_CELL_M).astype(int).T)] = False
    away_XY = AROUND_CELL_M * ndimage.distance_transform_edt(is_clear_XY)
    return Sheet(low_2, AROUND_CELL_M, away_XY)


def remoteness(distance_N: NDArray, nearest: float) -> Float[np.ndarray, "N"]:
    """What distances cost, beside that of the nearest free place."""
    beyond_N = np.maximum(np.asarray(distance_N) - nearest, 0.0)
    return beyond_N + (FAR - 1.0) * np.maximum(beyond_N - BY_M, 0.0)


def doubt(
    print_: Footprint, spots_N2: Float[np.ndarray, "*N 2"], yaw_rad: float, ground: Ground
) -> Float[np.ndarray, "*N"]:
    """What places cost for their ground."""
    soles_NS2 = touched(print_, spots_N2, yaw_rad)
    guessed_N = GUESS * ground.to_sure(soles_NS2).mean(axis=-1)
    upright_N = ground.normal(soles_NS2)[..., 2].mean(axis=-1).clip(max=1.0)
    steep_N = (np.degrees(np.arccos(upright_N)) - LEVEL_DEG) / (BANK_DEG - LEVEL_DEG)
    is_sure_N = is_on_sure_ground(print_, spots_N2, yaw_rad, ground)
    return UNSURE_M * np.where(is_sure_N, steep_N.clip(0.0, 1.0), 1.0) + guessed_N


def is_on_sure_ground(
    print_: Footprint, spots_N2: Float[np.ndarray, "*N 2"], yaw_rad: float, ground: Ground
) -> Bool[np.ndarray, "*N"]:
    """Whether the photos agree on the ground on which an item would stand."""
    below_N = ground.is_sure(covered(print_, spots_N2, yaw_rad)).mean(axis=-1)
    soles_N = ground.is_sure(touched(print_, spots_N2, yaw_rad)).mean(axis=-1)
    return (soles_N >= SURE_SOLES) & (below_N >= SURE_SHARE)
