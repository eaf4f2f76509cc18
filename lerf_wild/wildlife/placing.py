"""Where an item can stand: feet on the ground, nothing in the way, room to spare.

Symbols: N candidate places. Frame: the stage (metres, z up).

An item's footprint is the upright box around it, turned by its yaw; what is higher has boxes of its
own. A place is free when no surface point of the scene and no other item's box is within SPARE_M of
these, between ankles and top. Of free places the nearest is taken, where one on ground of which the
photos are not sure, or with little room around it, counts as further away; the more so, the further
it is from sure ground, and so does what is no longer by the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lerf_wild.errors import WildlifeError
from lerf_wild.wildlife.footprints import (
    Footprint,
    covered,
    footprint_of,
    is_inside,
    overlap,
    touched,
)
from lerf_wild.wildlife.ground import Ground
from lerf_wild.wildlife.tracing import Standing

SPARE_M = 0.05
FEW_POINTS = 4
"""Stray points of a vague field that a free box may hold."""
TAKEN_SHARE = 0.1
"""How much of the ground under an item may be taken: maps are coarse at their things' edges."""
STEEPEST_DEG = 35.0
STEP_M = 0.1
YAWS = 8
SEARCH_M = 2.5
"""How far from where it was asked for a place is looked for."""
BY_M, FAR = 0.3, 1.6
"""What is this much further off than the nearest free place is still by a thing; beyond, each metre
counts as so many."""
UNSURE_M, TIGHT_M = 0.4, 0.4
"""How much further it may be to a place with sure ground, and to one with WIDE_M of room around."""
GUESS = 1.0
"""How much further for each metre from an item's soles to sure ground: nearly all of that is right
within 2 cm, half of what is half a metre off it, and nothing a metre off."""
LEVEL_DEG, BANK_DEG = 5.0, 10.0
"""Ground that comes out steeper than the first is less and less sure, and steeper than the second
no surer than what the photos don't tell: the bank of a pond is bent less than it truly is."""
WIDE_M = 0.15
"""Leaves reach a little further than the field knows of them."""
SURE_SOLES, SURE_SHARE = 0.9, 0.75
"""Shares of the soles, and of what the item covers, that have sure ground at such a place."""
BELOW_M, ABOVE_M = 0.1, 0.3
"""How far off the ground an item that is placed by hand may stand before it is refused."""


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
        found = _best_free(one, target, spots[level], yaws, ground, neighbours)
        if found is not None:
            return found[0]
    raise WildlifeError(
        f"There is no free room of {print_.sides()} for {what} within {reach_m:.1f} m of "
        f"({target[0]:.2f}, {target[1]:.2f}). Make it smaller or place it elsewhere."
    )


def _best_free(
    print_: Footprint,
    target_2: NDArray,
    spots_N2: NDArray,
    yaws: Sequence[float],
    ground: Ground,
    others: Sequence[Neighbour],
) -> tuple[Place, float] | None:
    """The nearest free place and how far off it counts: unsure ground and tight room count as if
    it were further."""
    found, lowest, nearest = None, np.inf, np.inf
    for spot in spots_N2:
        distance = float(np.linalg.norm(spot - target_2))
        if _further(distance, nearest) >= lowest:
            break
        for yaw in yaws:
            # The costliest test comes last: most places are no better than what was found.
            cost = _further(distance, nearest) + _doubt(print_, spot, yaw, ground)
            if cost >= lowest or _in_the_way(print_, spot, yaw, ground, others) is not None:
                continue
            nearest = min(nearest, distance)
            cost += _tightness(print_, spot, yaw, ground)
            if cost < lowest:
                found, lowest = (_place(print_, spot, yaw, ground), cost), cost
    return found


def _further(distance: float, nearest: float) -> float:
    """How much further off than the nearest free place one counts; 0 while none is known."""
    beyond = max(0.0, distance - nearest)
    return beyond + (FAR - 1.0) * max(0.0, beyond - BY_M)


def _doubt(print_: Footprint, spot_2: NDArray, yaw_rad: float, ground: Ground) -> float:
    """How much further off a place counts for its ground."""
    soles = touched(print_, spot_2, yaw_rad)
    guessed = GUESS * float(ground.to_sure(soles).mean())
    if not is_on_sure_ground(print_, spot_2, yaw_rad, ground):
        return UNSURE_M + guessed
    slope_deg = np.degrees(np.arccos(min(1.0, float(ground.normal(soles)[:, 2].mean()))))
    steep = (slope_deg - LEVEL_DEG) / (BANK_DEG - LEVEL_DEG)
    return UNSURE_M * float(np.clip(steep, 0.0, 1.0)) + guessed


def _tightness(print_: Footprint, spot_2: NDArray, yaw_rad: float, ground: Ground) -> float:
    """How much further off a place counts for what is near."""
    return TIGHT_M if _touches_scene(print_, spot_2, yaw_rad, ground, WIDE_M) else 0.0


def _place(print_: Footprint, spot_2: NDArray, yaw_rad: float, ground: Ground) -> Place:
    foot_3 = np.array([*spot_2, foot_height(print_, spot_2, yaw_rad, ground)])
    return Place(foot_3, float(yaw_rad))


def is_on_sure_ground(print_: Footprint, spot_2: NDArray, yaw_rad: float, ground: Ground) -> bool:
    """Whether the photos agree on the ground on which an item would stand."""
    below = ground.is_sure(covered(print_, spot_2, yaw_rad)).mean()
    soles = ground.is_sure(touched(print_, spot_2, yaw_rad)).mean()
    return bool(soles >= SURE_SOLES and below >= SURE_SHARE)


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
        near_2: Places come in the order in which `find_place` would take them for this target;
            in the grid's when None.
        step_m: Width of the grid's cells.
    """
    size_2 = ground.cell_m * np.array(ground.height_GG.shape)
    axes = [low + np.arange(0.5 * step_m, size, step_m) for low, size in zip(ground.low_2, size_2)]
    spots = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    spots = spots[ground.is_known(spots)]
    spots = spots[ground.normal(spots)[:, 2] > np.cos(np.radians(STEEPEST_DEG))]
    neighbours, yaws = _neighbours(others), np.arange(YAWS) * 2 * np.pi / YAWS
    free = [_best_free(print_, spot, spot[None], yaws, ground, neighbours) for spot in spots]
    found = [one for one in free if one is not None]
    if near_2 is None or not found:
        return [place for place, _ in found]
    away = [float(np.linalg.norm(place.foot_3[:2] - near_2)) for place, _ in found]
    costs = [_further(far, min(away)) + cost for far, (_, cost) in zip(away, found)]
    return [found[k][0] for k in np.argsort(costs, kind="stable")]


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
    if ground.is_taken(covered(print_, spot_2, yaw_rad)).mean() > TAKEN_SHARE:
        return "something of the scene"
    if _touches_scene(print_, spot_2, yaw_rad, ground, SPARE_M):
        return "something of the scene"
    foot = np.array([*spot_2, foot_height(print_, spot_2, yaw_rad, ground)])
    for other in others:
        if _meets(print_, foot, yaw_rad, other):
            return other.id
    return None


def _touches_scene(
    print_: Footprint, spot_2: NDArray, yaw_rad: float, ground: Ground, spare_m: float
) -> bool:
    """Whether more than a few surface points of the scene are in an item's boxes or around them."""
    foot = np.array([*spot_2, foot_height(print_, spot_2, yaw_rad, ground)])
    near = np.linalg.norm(ground.obstacles_N3[:, :2] - spot_2, axis=1) < print_.radius + spare_m
    is_in = is_inside(print_, foot, yaw_rad, ground.obstacles_N3[near], spare_m)
    return int(np.count_nonzero(is_in)) > FEW_POINTS


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


def foot_height(print_: Footprint, spot_2: NDArray, yaw_rad: float, ground: Ground) -> float:
    """Height at which an upright item stands: the mean of the ground under its soles."""
    return float(ground.height(touched(print_, spot_2, yaw_rad)).mean())


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


def _meets(print_: Footprint, foot_3: NDArray, yaw_rad: float, other: Neighbour) -> bool:
    """Whether boxes of two turned items overlap."""
    apart = np.linalg.norm(other.foot_3[:2] - foot_3[:2])
    if apart > print_.radius + other.print_.radius + SPARE_M:
        return False
    return any(
        overlap(one, foot_3, yaw_rad, two, other.foot_3, other.yaw_rad, SPARE_M)
        for one in print_.whole
        for two in other.print_.whole
    )
