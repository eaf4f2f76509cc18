"""Where an item can stand: feet on the ground, nothing in the way, room to spare.

Symbols: N points, M candidate places, F footprint points. Frame: the stage (metres, z up).

An item's footprint is the upright box around it, turned by its yaw; what is higher has boxes of its
own. A place is free when no surface point of the scene and no other item's box is within SPARE_M of
these, between ankles and top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lerf_wild.errors import WildlifeError
from lerf_wild.wildlife.ground import Ground
from lerf_wild.wildlife.looks import Look
from lerf_wild.wildlife.tracing import Standing

SPARE_M = 0.05
LOW_PART, SLAB_M = 0.4, 0.5
"""Share of a tall item's height, at least a metre, whose box is what it covers of the ground; what
is higher has boxes of this height."""
SOLE_M, SOLES = 0.03, 60
"""How high over its lowest point an item touches uneven ground, and at how many points."""
ANKLE_M = 0.15
"""Grass and pebbles lower than this are in nobody's way."""
FEW_POINTS = 4
"""Stray points of a vague field that a free box may hold."""
TAKEN_SHARE = 0.1
"""How much of the ground under an item may be taken: maps are coarse at their things' edges."""
STEEPEST_DEG = 35.0
STEP_M = 0.1
YAWS = 8
SEARCH_M = 2.5
"""How far from where it was asked for a place is looked for."""
FURTHER_M = 0.4
"""How much further it may be to a place with sure ground."""
SURE_SOLES, SURE_SHARE = 0.9, 0.75
"""Shares of the soles, and of what the item covers, that have sure ground at such a place."""
BELOW_M, ABOVE_M = 0.1, 0.3
"""How far off the ground an item that is placed by hand may stand before it is refused."""


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


@dataclass(frozen=True)
class Place:
    """A free place: foot on the stage and yaw."""

    foot_3: NDArray[np.float64]
    yaw_rad: float


class Neighbour(NamedTuple):
    """An item that stands already."""

    id: str
    print_: Footprint
    foot_3: NDArray[np.float64]
    yaw_rad: float


def footprint_of(look: Look, height_m: float) -> Footprint:
    """The boxes of a look of a height; crowns of trees cover only as much ground as they hang low
    over, and have boxes of their own."""
    points = height_m * look.vertices_V3.astype(np.float64)
    top = float(points[:, 2].max())
    cut = max(1.0, LOW_PART * top)
    low = points[points[:, 2] < cut]
    soles = points[points[:, 2] < points[:, 2].min() + SOLE_M, :2]
    slabs = [points[(points[:, 2] >= z) & (points[:, 2] < z + SLAB_M)]
             for z in np.arange(cut, top + 1e-6, SLAB_M)]  # fmt: skip
    above = tuple(Box(slab.min(axis=0), slab.max(axis=0)) for slab in slabs if len(slab))
    return Footprint(low.min(axis=0), low.max(axis=0), soles[:: len(soles) // SOLES + 1], above)


def find_place(
    print_: Footprint,
    target_2: NDArray,
    ground: Ground,
    others: Sequence[Standing] = (),
    yaw_rad: float | None = None,
    reach_m: float = SEARCH_M,
    what: str = "it",
) -> Place:
    """The free place nearest to a target; where none keeps its crown clear, one that does not.

    Args:
        print_: The item's box.
        target_2: Where it should be.
        ground: Ground and obstacles.
        others: Items that stand already.
        yaw_rad: Its heading; any of eight when None.
        reach_m: How far from the target is looked.
        what: What to call the item in a refusal.

    Raises:
        WildlifeError: with the reason, when there is no such place.
    """
    target = np.asarray(target_2, np.float64)
    spots = _spots(target, reach_m)
    known = ground.is_known(spots)
    if not known.any():
        raise WildlifeError(
            f"No ground is known within {reach_m:.1f} m of ({target[0]:.2f}, {target[1]:.2f}): "
            f"the photos don't show it. Place {what} where they do."
        )
    spots = spots[known]
    level = ground.normal(spots)[:, 2] > np.cos(np.radians(STEEPEST_DEG))
    if not level.any():
        raise WildlifeError(
            f"The ground there is too steep for {what} (over {STEEPEST_DEG:g} deg)."
        )
    yaws = [yaw_rad] if yaw_rad is not None else list(np.arange(YAWS) * 2 * np.pi / YAWS)
    neighbours = _neighbours(others)
    for one in (print_, replace(print_, above=())) if print_.above else (print_,):
        found = _first_free(one, target, spots[level], yaws, ground, neighbours)
        if found is not None:
            return found
    raise WildlifeError(
        f"There is no free room of {print_.sides()} for {what} within {reach_m:.1f} m of "
        f"({target[0]:.2f}, {target[1]:.2f}). Make it smaller or place it elsewhere."
    )


def _first_free(
    print_: Footprint,
    target_2: NDArray,
    spots_N2: NDArray,
    yaws: Sequence[float],
    ground: Ground,
    others: Sequence[Neighbour],
) -> Place | None:
    """The first free spot, or one a little further with sure ground under all soles."""
    unsure, furthest = None, np.inf
    for spot in spots_N2:
        distance = float(np.linalg.norm(spot - target_2))
        if distance > furthest:
            break
        for yaw in yaws:
            if _in_the_way(print_, spot, yaw, ground, others) is not None:
                continue
            place = Place(np.array([*spot, foot_height(print_, spot, yaw, ground)]), float(yaw))
            if _is_sure(print_, spot, yaw, ground):
                return place
            if unsure is None:
                unsure, furthest = place, distance + FURTHER_M
    return unsure


def _is_sure(print_: Footprint, spot_2: NDArray, yaw_rad: float, ground: Ground) -> bool:
    """Whether the photos agree on the ground on which an item would stand."""
    soles = ground.is_sure(_touched(print_, spot_2, yaw_rad)).mean()
    covered = ground.is_sure(_covered(print_, spot_2, yaw_rad)).mean()
    return bool(soles >= SURE_SOLES and covered >= SURE_SHARE)


def free_places(
    print_: Footprint,
    ground: Ground,
    others: Sequence[Standing] = (),
    near_2: NDArray | None = None,
    step_m: float = 0.5,
) -> list[Place]:
    """All places of a grid over the known ground where an item has room.

    Args:
        print_: The item's box.
        ground: Ground and obstacles.
        others: Items that stand already.
        near_2: Places come in the order of their distance from here; in the grid's when None.
        step_m: Width of the grid's cells.
    """
    size_2 = ground.cell_m * np.array(ground.height_GG.shape)
    axes = [low + np.arange(0.5 * step_m, size, step_m) for low, size in zip(ground.low_2, size_2)]
    spots = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    spots = spots[ground.is_known(spots)]
    spots = spots[ground.normal(spots)[:, 2] > np.cos(np.radians(STEEPEST_DEG))]
    if near_2 is not None:
        spots = spots[np.argsort(np.linalg.norm(spots - near_2, axis=1), kind="stable")]
    found, neighbours = [], _neighbours(others)
    for spot in spots:
        for yaw in np.arange(YAWS) * 2 * np.pi / YAWS:
            if _in_the_way(print_, spot, float(yaw), ground, neighbours) is None:
                foot = np.array([*spot, foot_height(print_, spot, float(yaw), ground)])
                found.append(Place(foot, float(yaw)))
                break
    return found


def why_not(
    print_: Footprint,
    spot_2: NDArray,
    yaw_rad: float,
    ground: Ground,
    others: Sequence[Standing] = (),
) -> str | None:
    """What is in the way at a spot; None where it is free."""
    return _in_the_way(print_, spot_2, yaw_rad, ground, _neighbours(others))


def _in_the_way(
    print_: Footprint,
    spot_2: NDArray,
    yaw_rad: float,
    ground: Ground,
    others: Sequence[Neighbour],
) -> str | None:
    if ground.is_taken(_covered(print_, spot_2, yaw_rad)).mean() > TAKEN_SHARE:
        return "something of the scene"
    foot = np.array([*spot_2, foot_height(print_, spot_2, yaw_rad, ground)])
    near = np.linalg.norm(ground.obstacles_N3[:, :2] - spot_2, axis=1) < print_.radius + SPARE_M
    if np.count_nonzero(_inside(print_, foot, yaw_rad, ground.obstacles_N3[near])) > FEW_POINTS:
        return "something of the scene"
    for other in others:
        if _meets(print_, foot, yaw_rad, other):
            return other.id
    return None


def _neighbours(others: Sequence[Standing]) -> list[Neighbour]:
    return [
        Neighbour(
            one.item.id,
            footprint_of(one.look, one.item.height_m),
            one.foot_3,
            float(np.arctan2(one.turn_33[1, 0], one.turn_33[0, 0])),
        )
        for one in others
    ]


def _covered(print_: Footprint, spot_2: NDArray, yaw_rad: float) -> NDArray[np.float64]:
    """Points of the ground under an item, evenly over its box."""
    steps = [
        np.linspace(low, high, max(2, round((high - low) / STEP_M) + 1))
        for low, high in zip(print_.low_3[:2], print_.high_3[:2])
    ]
    grid = np.stack(np.meshgrid(*steps), axis=-1).reshape(-1, 2)
    return np.asarray(spot_2) + grid @ _turn(yaw_rad).T


def foot_height(print_: Footprint, spot_2: NDArray, yaw_rad: float, ground: Ground) -> float:
    """Height at which an upright item stands: the mean of the ground under its soles."""
    return float(ground.height(_touched(print_, spot_2, yaw_rad)).mean())


def _touched(print_: Footprint, spot_2: NDArray, yaw_rad: float) -> NDArray[np.float64]:
    """Where an item touches the ground."""
    if print_.soles_S2 is None or len(print_.soles_S2) == 0:
        return _covered(print_, spot_2, yaw_rad)
    return np.asarray(spot_2) + print_.soles_S2 @ _turn(yaw_rad).T


def check_by_hand(foot_3: NDArray, ground: Ground, what: str) -> None:
    """Refuses places that were typed and can't be meant.

    Raises:
        WildlifeError: outside of what the photos show, below the ground, or in the air.
    """
    if not ground.is_known(foot_3[None, :2])[0]:
        raise WildlifeError(
            f"({foot_3[0]:.2f}, {foot_3[1]:.2f}) is outside of what the photos show, so {what} "
            "can't be placed there."
        )
    rise = float(foot_3[2] - ground.height(foot_3[None, :2])[0])
    if rise < -BELOW_M or rise > ABOVE_M:
        side = "below" if rise < 0 else "above"
        raise WildlifeError(
            f"The foot of {what} would be {abs(rise):.2f} m {side} the ground, which is at height "
            f"{foot_3[2] - rise:.2f}. Leave the height out to stand it on the ground."
        )


def odd_place(foot_3: NDArray, ground: Ground, name: str) -> str | None:
    """A line on an item of a file that stands where it can't be meant to; None for all others."""
    if not ground.is_known(foot_3[None, :2])[0]:
        return f"Item {name!r} stands outside of what the photos show; move it."
    rise = float(foot_3[2] - ground.height(foot_3[None, :2])[0])
    if -BELOW_M <= rise <= ABOVE_M:
        return None
    side = "below" if rise < 0 else "above"
    return (
        f"Item {name!r} stands {abs(rise):.2f} m {side} the ground; `wildlife move --item {name} "
        "--at X Y` stands it on the ground."
    )


def _spots(target_2: NDArray, reach_m: float) -> NDArray[np.float64]:
    """A grid of places within reach, the nearest to the target first."""
    steps = np.arange(-int(reach_m / STEP_M), int(reach_m / STEP_M) + 1) * STEP_M
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    distance = np.linalg.norm(grid, axis=1)
    order = np.argsort(distance, kind="stable")
    return target_2 + grid[order[distance[order] <= reach_m]]


def _turn(yaw_rad: float) -> NDArray[np.float64]:
    cosine, sine = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.array([[cosine, -sine], [sine, cosine]])


def _inside(
    print_: Footprint, foot_3: NDArray, yaw_rad: float, points_N3: NDArray
) -> NDArray[np.bool_]:
    """Whether points are within SPARE_M of the boxes, over the ankles."""
    flat_N2 = (points_N3[:, :2] - foot_3[:2]) @ _turn(yaw_rad)
    own_N3 = np.column_stack([flat_N2, points_N3[:, 2] - foot_3[2]])
    spare_3 = np.array([SPARE_M, SPARE_M, 0.0])
    is_inside = np.zeros(len(own_N3), bool)
    for low_3, high_3 in print_.whole:
        over = (own_N3 > low_3 - spare_3) & (own_N3 < high_3 + SPARE_M)
        is_inside |= over.all(axis=1)
    return is_inside & (own_N3[:, 2] > ANKLE_M)


def _meets(print_: Footprint, foot_3: NDArray, yaw_rad: float, other: Neighbour) -> bool:
    """Whether boxes of two turned items overlap."""
    apart = np.linalg.norm(other.foot_3[:2] - foot_3[:2])
    if apart > print_.radius + other.print_.radius + SPARE_M:
        return False
    return any(
        _overlap(one, foot_3, yaw_rad, two, other.foot_3, other.yaw_rad)
        for one in print_.whole
        for two in other.print_.whole
    )


def _overlap(
    one: Box, foot_3: NDArray, yaw_rad: float, two: Box, other_foot_3: NDArray, other_yaw: float
) -> bool:
    """Whether two turned boxes overlap, by the separating axes of both (z apart)."""
    if (
        foot_3[2] + one.low_3[2] > other_foot_3[2] + two.high_3[2]
        or other_foot_3[2] + two.low_3[2] > foot_3[2] + one.high_3[2]
    ):
        return False
    first = _corners(one, foot_3[:2], yaw_rad, SPARE_M)
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
