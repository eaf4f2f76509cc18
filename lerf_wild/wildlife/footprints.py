"""What an item takes of a place: boxes around it, what it covers and touches of the ground.

Symbols: N points or spots, S soles, K points that an item covers or shades. Frame: the stage
(metres, z up); a footprint's own has its item's foot at the origin and a yaw of 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from lerf_wild.wildlife.looks import Look

LOW_PART, SLAB_M = 0.4, 0.5
"""Share of a tall item's height, at least a metre, whose box is what it covers of the ground; what
is higher has boxes of this height."""
SOLE_M, SOLES = 0.03, 60
"""How high over its lowest point an item touches uneven ground, and at how many points."""
ANKLE_M = 0.15
"""Grass and pebbles lower than this are in nobody's way."""
COVER_M, MOST_COVER = 0.1, 61
"""How far apart points that an item covers are, and how many there are along a side at most."""
MOST_SHADE, MOST_SLABS = 2000, 60


class Box(NamedTuple):
    """An upright box for a yaw of 0, the foot of its item at the origin."""

    low_3: NDArray[np.float64]
    high_3: NDArray[np.float64]


@dataclass(frozen=True)
class Footprint:
    """The upright box of an item for a yaw of 0, its foot at the origin."""

    low_3: NDArray[np.float64]
    high_3: NDArray[np.float64]
    soles_S2: NDArray[np.float64] | None = None
    """Where it touches the ground; all over its box when None."""
    above: tuple[Box, ...] = ()
    """What is higher, such as a crown, as one box above the other."""
    shade_K2: NDArray[np.float64] | None = None
    """What it hides from above, to about COVER_M; its box when None."""

    @cached_property
    def whole(self) -> tuple[Box, ...]:
        """Boxes around all of it."""
        return (Box(self.low_3, self.high_3), *self.above)

    @cached_property
    def radius(self) -> float:
        """Radius of the circle around it, seen from above."""
        corners = [np.maximum(np.abs(one.low_3[:2]), np.abs(one.high_3[:2])) for one in self.whole]
        return max(float(np.linalg.norm(corner)) for corner in corners)

    def sides(self) -> str:
        """Length and width for people."""
        length, width = self.high_3[:2] - self.low_3[:2]
        return f"{length:.1f} x {width:.1f} m"


def footprint_of(look: Look, height_m: float) -> Footprint:
    """The boxes of a look of a height; crowns of trees cover only as much ground as they hang low
    over, and have boxes of their own."""
    points = height_m * look.vertices_V3.astype(np.float64)
    top = float(points[:, 2].max())
    cut = max(1.0, LOW_PART * top)
    low = points[points[:, 2] < cut]
    soles = points[points[:, 2] < points[:, 2].min() + SOLE_M, :2]
    slab_m = max(SLAB_M, (top - cut) / MOST_SLABS)
    slabs = [points[(points[:, 2] >= z) & (points[:, 2] < z + slab_m)]
             for z in np.arange(cut, top + 1e-6, slab_m)]  # fmt: skip
    above = tuple(Box(slab.min(axis=0), slab.max(axis=0)) for slab in slabs if len(slab))
    some_soles = soles[:: len(soles) // SOLES + 1]
    hidden = np.unique(np.round(points[:, :2] / COVER_M), axis=0) * COVER_M
    hidden = hidden[:: len(hidden) // MOST_SHADE + 1]
    return Footprint(low.min(axis=0), low.max(axis=0), some_soles, above, hidden)


def covered(
    print_: Footprint, spots_N2: Float[np.ndarray, "*N 2"], yaw_rad: float
) -> Float[np.ndarray, "*N K 2"]:
    """Points of the ground under an item at each of the spots, evenly over its box."""
    steps = [
        np.linspace(low, high, min(max(2, round((high - low) / COVER_M) + 1), MOST_COVER))
        for low, high in zip(print_.low_3[:2], print_.high_3[:2])
    ]
    grid = np.stack(np.meshgrid(*steps), axis=-1).reshape(-1, 2)
    return np.asarray(spots_N2)[..., None, :] + grid @ _turn(yaw_rad).T


def touched(
    print_: Footprint, spots_N2: Float[np.ndarray, "*N 2"], yaw_rad: float
) -> Float[np.ndarray, "*N S 2"]:
    """Where an item at each of the spots touches the ground."""
    if print_.soles_S2 is None or len(print_.soles_S2) == 0:
        return covered(print_, spots_N2, yaw_rad)
    return np.asarray(spots_N2)[..., None, :] + print_.soles_S2 @ _turn(yaw_rad).T


def shade(
    print_: Footprint, spots_N2: Float[np.ndarray, "*N 2"], yaw_rad: float
) -> Float[np.ndarray, "*N K 2"]:
    """What an item at each of the spots hides from above, at any height, as points."""
    if print_.shade_K2 is None:
        return covered(print_, spots_N2, yaw_rad)
    return np.asarray(spots_N2)[..., None, :] + print_.shade_K2 @ _turn(yaw_rad).T


def is_inside(
    print_: Footprint, foot_3: NDArray, yaw_rad: float, points_N3: NDArray, spare_m: float
) -> NDArray[np.bool_]:
    """Whether points are in the boxes or within some room of them, over the ankles."""
    flat_N2 = (points_N3[:, :2] - foot_3[:2]) @ _turn(yaw_rad)
    own_N3 = np.column_stack([flat_N2, points_N3[:, 2] - foot_3[2]])
    spare_3 = np.array([spare_m, spare_m, 0.0])
    is_in = np.zeros(len(own_N3), bool)
    for low_3, high_3 in print_.whole:
        over = (own_N3 > low_3 - spare_3) & (own_N3 < high_3 + spare_m)
        is_in |= over.all(axis=1)
    return is_in & (own_N3[:, 2] > ANKLE_M)


def overlap(
    one: Box,
    foot_3: NDArray,
    yaw_rad: float,
    two: Box,
    other_foot_3: NDArray,
    other_yaw: float,
    spare_m: float,
) -> bool:
    """Whether two turned boxes overlap or have less room between their sides than they should, by
    the separating axes of both (z apart)."""
    if (
        foot_3[2] + one.low_3[2] > other_foot_3[2] + two.high_3[2]
        or other_foot_3[2] + two.low_3[2] > foot_3[2] + one.high_3[2]
    ):
        return False
    first = _corners(one, foot_3[:2], yaw_rad, spare_m)
    second = _corners(two, other_foot_3[:2], other_yaw, 0.0)
    for axis in (*_turn(yaw_rad).T, *_turn(other_yaw).T):
        a, b = first @ axis, second @ axis
        if a.max() < b.min() or b.max() < a.min():
            return False
    return True


def _corners(box: Box, spot_2: NDArray, yaw_rad: float, spare_m: float) -> NDArray:
    low, high = box.low_3[:2] - spare_m, box.high_3[:2] + spare_m
    corners = np.array([[x, y] for x in (low[0], high[0]) for y in (low[1], high[1])])
    return spot_2 + corners @ _turn(yaw_rad).T


def _turn(yaw_rad: float) -> NDArray[np.float64]:
    """Matrix (2, 2) of a heading."""
    cosine, sine = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.array([[cosine, -sine], [sine, cosine]])
