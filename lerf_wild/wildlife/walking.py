"""Animals on their way: along a path over the ground, with the steps that carry them so far.

Symbols: W waypoints, T frames. Frame: the stage (metres, z up). A gait carries an animal by
stride x leg / duty in one cycle, as its feet stand still while they carry; the cycle's moment
follows from the way that is behind it, so that no foot slides.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from lerf_wild.animals.poses.gaits import GAITS, leg_length
from lerf_wild.errors import WildlifeError
from lerf_wild.wildlife.ground import Ground
from lerf_wild.wildlife.items import Animal, Item, checked, quaternion_of, upright
from lerf_wild.wildlife.looks import GAIT_FRAMES, betas_of
from lerf_wild.wildlife.stage import Stage

CYCLE_S: dict[str, float] = {"walk": 1.1, "trot": 0.65, "gallop": 0.5}
"""Seconds of a cycle for an animal of 1 m; those of others go with the root of their height."""
FINE_M = 0.01
LONGEST_M = 500.0


def cycle_way_m(animal: Animal, height_m: float) -> float:
    """How far one cycle of its gait carries an animal, metres.

    Raises:
        WildlifeError: when what it does is no gait.
    """
    from lerf_wild.animals.bundled import load_quadruped
    from lerf_wild.animals.size import withers_height

    if animal.action not in GAITS:
        raise WildlifeError(f"{animal.action[:40]!r} is no gait; gaits are {', '.join(GAITS)}.")
    gait, model, betas = GAITS[animal.action], load_quadruped().model, betas_of(animal)
    leg = leg_length(model.rest_joints(betas).detach().double().numpy())
    unit = height_m / float(withers_height(model, model.rest(betas)))
    return gait.stride / gait.duty * leg * unit


def cycle_seconds(animal: Animal, height_m: float) -> float:
    """How long one cycle of its gait takes, by the similarity of pendulums."""
    return CYCLE_S[animal.action] * float(np.sqrt(height_m))


def on_its_way(
    item: Item, way_W2: NDArray, ground: Ground, stage: Stage, gait: str, fps: float
) -> list[Item]:
    """An animal at each frame of its way.

    Args:
        item: The animal.
        way_W2: Where it comes by, at least two places, in the order in which it does.
        ground: What it walks on.
        stage: Changes of frame.
        gait: walk, trot or gallop.
        fps: Frames a second.

    Raises:
        WildlifeError: for an item that is no animal, a gait that is none, or a way that leads
            nowhere or over ground that isn't known.
    """
    if item.animal is None:
        raise WildlifeError(f"{item.id} is no animal that could walk; `wildlife swap` makes one.")
    animal = msgspec.structs.replace(item.animal, action=gait, pose=())
    cycle_m = cycle_way_m(animal, item.height_m)
    places_N2, gone_N = smooth_way(way_W2)
    if not ground.is_known(places_N2).all():
        raise WildlifeError(f"The way of {item.id} leads over ground that the photos don't show.")
    step_m = cycle_m / cycle_seconds(animal, item.height_m) / fps
    gone_T = np.arange(0.0, gone_N[-1], step_m)
    xy_T2 = np.stack([np.interp(gone_T, gone_N, places_N2[:, k]) for k in range(2)], axis=1)
    ahead_T2 = np.stack(
        [np.interp(gone_T + FINE_M, gone_N, places_N2[:, k]) for k in range(2)], axis=1
    )
    yaw_T = np.arctan2(*(ahead_T2 - xy_T2).T[::-1])
    feet_T3 = stage.to_world(np.column_stack([xy_T2, ground.height(xy_T2)]))
    return [
        checked(
            item,
            position=tuple(foot.tolist()),
            rotation=quaternion_of(stage.turn_33.T @ upright(float(yaw))),
            animal=msgspec.structs.replace(animal, phase=_moment(gone / cycle_m)),
        )
        for foot, yaw, gone in zip(feet_T3, yaw_T, gone_T)
    ]


def _moment(cycles: float) -> float:
    """The moment of a cycle, one of those for which a mesh is made."""
    return round(cycles % 1.0 * GAIT_FRAMES) % GAIT_FRAMES / GAIT_FRAMES


def smooth_way(way_W2: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A smooth curve through places, and the way to each of its points.

    Raises:
        WildlifeError: for fewer than two places, or a way of no length or of too much.
    """
    way = np.asarray(way_W2, np.float64)
    apart = np.linalg.norm(np.diff(way, axis=0), axis=1) if len(way) > 1 else np.zeros(1)
    # What is not a number is in no order with any.
    if not (apart.min() >= FINE_M and apart.sum() <= LONGEST_M):
        raise WildlifeError(
            "A way needs two or more places that lie apart, and at most 500 m of length."
        )
    at_W = np.concatenate([[0.0], np.cumsum(apart)])
    at_N = np.linspace(0.0, at_W[-1], max(round(at_W[-1] / FINE_M), 2))
    places_N2 = (
        CubicSpline(at_W, way)(at_N)
        if len(way) > 2
        else way[0] + np.outer(at_N / at_W[-1], way[1] - way[0])
    )
    steps = np.linalg.norm(np.diff(places_N2, axis=0), axis=1)
    return places_N2, np.concatenate([[0.0], np.cumsum(steps)])
