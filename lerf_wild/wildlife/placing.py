"""Where an item can stand: feet on the ground, nothing in the way, room to spare.

Symbols: N candidate places. Frame: the stage (metres, z up).

An item's footprint is the upright box around it, turned by its yaw; what is higher has boxes of its
own. A place is free when no surface point of the scene and no other item's box is within SPARE_M of
these, between ankles and top. Of free places that is taken which costs least (`place_costs`): near
what was meant, on ground of which the photos are sure, with some room around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

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
from lerf_wild.wildlife.place_costs import Aim, distances, doubt, remoteness
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
MOST_SPOTS = 8000
TIGHT_M = 0.4
"""How much further it may be to a place with WIDE_M of room around."""
WIDE_M = 0.15
"""Leaves reach a little further than the field knows of them."""
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
    aim: Aim,
    ground: Ground,
    others: Sequence[Standing] = (),
    yaw_rad: float | None = None,
    reach_m: float = SEARCH_M,
    what: str = "it",
) -> Place:
    """The best free place near an aim; where none keeps its crown clear, one that does not.

    Args:
        print_: The item's box.
        aim: Where it should be.
        ground: Ground and obstacles.
        others: Items that stand already.
        yaw_rad: Its heading; any of eight when None.
        reach_m: How far from the aim is looked.
        what: What to call the item in a refusal.

    Raises:
        WildlifeError: with the reason, when there is no such place.
    """
    spots = _spots(aim, reach_m)
    around = f"within {reach_m:.1f} m of ({aim.point_2[0]:.2f}, {aim.point_2[1]:.2f})"
    known = ground.is_known(spots)
    if not known.any():
        raise WildlifeError(
            f"No ground is known {around}: the photos don't show it. Place {what} where they do."
        )
    if _is_too_large(print_, ground):
        raise WildlifeError(
            f"There is no free room of {print_.sides()} for {what}: the photos show less ground "
            "than that. Make it smaller."
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
        found = _best_free(one, aim, spots[level], yaws, ground, neighbours)
        if found is not None:
            return found[0]
    raise WildlifeError(
        f"There is no free room of {print_.sides()} for {what} {around}. Make it smaller or place "
        "it elsewhere."
    )


def _is_too_large(print_: Footprint, ground: Ground) -> bool:
    length, width = print_.high_3[:2] - print_.low_3[:2]
    return length * width > ground.cell_m**2 * np.count_nonzero(ground.is_known_GG)


def _best_free(
    print_: Footprint,
    aim: Aim,
    spots_N2: NDArray,
    yaws: Sequence[float],
    ground: Ground,
    others: Sequence[Neighbour],
) -> tuple[Place, float] | None:
    """The free place that costs least, and its cost; None where nothing is free."""
    spot_P2, yaw_P, away_P, doubt_P = _untaken(print_, aim, spots_N2, yaws, ground)

    @cache
    def is_free(one: int) -> bool:
        return _in_the_way(print_, spot_P2[one], yaw_P[one], ground, others) is None

    first = next((one for one in np.argsort(away_P, kind="stable") if is_free(one)), None)
    if first is None:
        return None
    cost_P = remoteness(away_P, away_P[first]) + doubt_P
    found, lowest = None, np.inf
    # What is near is looked at last: most places are no better than what was found.
    for one in np.argsort(cost_P, kind="stable"):
        if cost_P[one] >= lowest:
            break
        if is_free(one):
            cost = cost_P[one] + _tightness(print_, spot_P2[one], yaw_P[one], ground)
            if cost < lowest:
                found, lowest = one, cost
    return _place(print_, spot_P2[found], yaw_P[found], ground), float(lowest)


def _untaken(
    print_: Footprint, aim: Aim, spots_N2: NDArray, yaws: Sequence[float], ground: Ground
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Places on ground where nothing low stands: spots, headings, distances from the aim and
    doubts."""
    found = []
    for yaw in yaws:
        taken_N = ground.is_taken(covered(print_, spots_N2, yaw)).mean(axis=-1)
        spots = spots_N2[taken_N <= TAKEN_SHARE]
        turns = np.full(len(spots), yaw)
        away = distances(print_, aim, spots, yaw)
        found.append((spots, turns, away, doubt(print_, spots, yaw, ground)))
    parts = [np.concatenate(part) for part in zip(*found)]
    return parts[0], parts[1], parts[2], parts[3]


def _tightness(print_: Footprint, spot_2: NDArray, yaw_rad: float, ground: Ground) -> float:
    """How much further off a place counts for what is near."""
    return TIGHT_M if _touches_scene(print_, spot_2, yaw_rad, ground, WIDE_M) else 0.0


def _place(print_: Footprint, spot_2: NDArray, yaw_rad: float, ground: Ground) -> Place:
    foot_3 = np.array([*spot_2, foot_height(print_, spot_2, yaw_rad, ground)])
    return Place(foot_3, float(yaw_rad))


def free_places(
    print_: Footprint,
    ground: Ground,
    others: Sequence[Standing] = (),
    aim: Aim | None = None,
    step_m: float = 0.5,
) -> list[Place]:
    """All places of a grid over the known ground where an item has room.

    Args:
        print_: The item's box.
        ground: Ground and obstacles.
        others: Items that stand already.
        aim: Places come in the order in which `find_place` would take them for it; in the grid's
            when None.
        step_m: Width of the grid's cells.
    """
    if _is_too_large(print_, ground):
        return []
    size_2 = ground.cell_m * np.array(ground.height_GG.shape)
    axes = [low + np.arange(0.5 * step_m, size, step_m) for low, size in zip(ground.low_2, size_2)]
    spots = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    spots = spots[ground.is_known(spots)]
    spots = spots[ground.normal(spots)[:, 2] > np.cos(np.radians(STEEPEST_DEG))]
    neighbours, yaws = _neighbours(others), np.arange(YAWS) * 2 * np.pi / YAWS
    free = [_best_free(print_, Aim(spot), spot[None], yaws, ground, neighbours) for spot in spots]
    found = [one for one in free if one is not None]
    if aim is None or not found:
        return [place for place, _ in found]
    away = [distances(print_, aim, p.foot_3[None, :2], p.yaw_rad)[0] for p, _ in found]
    costs = remoteness(np.array(away), min(away)) + [cost for _, cost in found]
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
    near_N3 = ground.obstacles_near(spot_2, print_.radius + spare_m)
    is_in = is_inside(print_, foot, yaw_rad, near_N3, spare_m)
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


def _spots(aim: Aim, reach_m: float) -> NDArray[np.float64]:
    """A grid of places within reach, the aim's point one of them; round a wide thing those nearest
    to its point."""
    points = aim.points_M2
    low, high = points.min(axis=0) - reach_m, points.max(axis=0) + reach_m
    axes = [
        middle + np.arange(-int((middle - a) / STEP_M), int((b - middle) / STEP_M) + 1) * STEP_M
        for a, middle, b in zip(low, aim.point_2, high)
    ]
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    grid = grid[cKDTree(points).query(grid)[0] <= reach_m + 1e-9]
    return grid[np.argsort(np.linalg.norm(grid - aim.point_2, axis=1), kind="stable")[:MOST_SPOTS]]


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
