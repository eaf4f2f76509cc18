"""Putting what was chosen onto the ground of a place: one step from a choice to an item.

Frame: the stage (metres, z up), unless named world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from lerf_wild.assets.library import Library
from lerf_wild.errors import LerfWildError, WildlifeError
from lerf_wild.program.frames import to_level, yaw_of
from lerf_wild.program.types import Program
from lerf_wild.wildlife.choosing import Choice, choose_object
from lerf_wild.wildlife.footprints import footprint_of
from lerf_wild.wildlife.ground import Ground, beside
from lerf_wild.wildlife.items import Item, Provenance, checked, quaternion_of, upright
from lerf_wild.wildlife.looks import look_of
from lerf_wild.wildlife.place_costs import Aim, is_on_sure_ground
from lerf_wild.wildlife.placing import (
    SEARCH_M,
    Place,
    check_by_hand,
    find_place,
    foot_height,
    free_places,
)
from lerf_wild.wildlife.population import Population, free_id, with_item
from lerf_wild.wildlife.stage import Stage
from lerf_wild.wildlife.tracing import Standing, stand

THING_CELL_M = 0.05
"""How finely the outline of a thing is known that something is placed by."""


@dataclass(frozen=True)
class Scene:
    """What settling needs to know of a place."""

    stage: Stage
    ground: Ground
    library: Library


def settle(
    scene: Scene,
    population: Population,
    choice: Choice,
    aim: Aim,
    provenance: Provenance,
    yaw_rad: float | None = None,
    reach_m: float = SEARCH_M,
    anywhere: bool = False,
) -> tuple[Population, Item]:
    """Stands what was chosen on free ground near an aim.

    Args:
        scene: The place.
        population: What stands there already.
        choice: What to place.
        aim: Where it should be.
        provenance: Where it comes from.
        yaw_rad: Its heading; any when None.
        reach_m: How far from the aim is looked.
        anywhere: Whether all of the place will do where there is no room so near.

    Raises:
        WildlifeError: with the reason, when there is no room.
    """
    item = _draft(population, choice, provenance)
    box = footprint_of(look_of(item, scene.library), item.height_m)
    others = standing_of(scene, population)
    try:
        place = find_place(box, aim, scene.ground, others, yaw_rad, reach_m, item.what)
    except WildlifeError:
        further = free_places(box, scene.ground, others, aim) if anywhere else []
        if not further or yaw_rad is not None:
            raise
        place = further[0]
    item = _placed(item, scene.stage, place.foot_3, place.yaw_rad)
    return with_item(population, item), item


def settle_each(
    scene: Scene,
    population: Population,
    choices: Sequence[Choice],
    aim: Aim,
    provenance: Provenance,
    yaw_rad: float | None = None,
    anywhere: bool = False,
) -> tuple[Population, list[Item], list[str]]:
    """Stands several on free ground near an aim; also says why there was no room for the others.

    Raises:
        WildlifeError: with the reason, when there is room for none.
    """
    placed: list[Item] = []
    for choice in choices:
        try:
            population, item = settle(
                scene, population, choice, aim, provenance, yaw_rad, anywhere=anywhere
            )
        except WildlifeError as error:
            if not placed:
                raise
            return population, placed, [f"{len(choices) - len(placed)} of {len(choices)}: {error}"]
        placed.append(item)
    return population, placed, []


def by_thing(scene: Scene, position_3: Sequence[float], core_M3: NDArray) -> tuple[Scene, Aim]:
    """The place with what a thing takes of it taken, and the aim that is beside the thing.

    Position and surface points of the thing are in the capture's coordinates.
    """
    thing_M3 = scene.stage.from_world(core_M3)
    cells_M2 = np.unique(np.round(thing_M3[:, :2] / THING_CELL_M), axis=0) * THING_CELL_M
    point_2 = scene.stage.from_world(np.array([position_3]))[0, :2]
    return replace(scene, ground=beside(scene.ground, thing_M3)), Aim(point_2, cells_M2)


def settle_by_hand(
    scene: Scene,
    population: Population,
    choice: Choice,
    at_world: Sequence[float],
    yaw_rad: float = 0.0,
) -> tuple[Population, Item]:
    """Stands what was chosen where a person says, in the capture's coordinates.

    Args:
        scene: The place.
        population: What stands there already.
        choice: What to place.
        at_world: Two numbers for a place on the ground, three for a height of one's own.
        yaw_rad: Its heading.

    Raises:
        WildlifeError: for a place below the ground, in the air or outside of the photos.
    """
    item = _draft(population, choice, Provenance("hand", licence=choice.licence))
    point = np.array([*at_world, 0.0][:3], np.float64)
    foot = scene.stage.from_world(point[None])[0]
    box = footprint_of(look_of(item, scene.library), item.height_m)
    if len(at_world) == 2:
        foot[2] = foot_height(box, foot[:2], yaw_rad, scene.ground)
    check_by_hand(foot, scene.ground, item.what)
    item = _placed(item, scene.stage, foot, yaw_rad)
    return with_item(population, item), item


def settle_program(
    scene: Scene, population: Population, program: Program, around: Aim, source: Provenance
) -> tuple[Population, list[Item], list[str]]:
    """Stands the objects of a program around a place; also says which could not stand.

    Distances between the objects and their headings are kept, and each finds the ground for itself.
    """
    pitch = program.settings.camera_pitch_deg
    feet = np.array([to_level(item.loc_m, pitch) for item in program.objects]).reshape(-1, 3)
    middle = feet.mean(axis=0) if len(feet) else np.zeros(3)
    placed, refused = [], []
    for number, (item, foot) in enumerate(zip(program.objects, feet)):
        yaw = None if item.rotation_9 is None else yaw_of(item.rotation_33, pitch)
        try:
            choice = choose_object(item, scene.library)
            source_of = _with(source, choice)
            aim = Aim(around.point_2 + (foot - middle)[:2])
            population, one = settle(scene, population, choice, aim, source_of, yaw, 1.0)
            placed.append(one)
        except LerfWildError as error:
            refused.append(f"object {number + 1}: {error}")
    return population, placed, refused


def settled_again(
    scene: Scene,
    population: Population,
    item: Item,
    at_world: Sequence[float] | None,
    yaw_rad: float | None,
    height_m: float | None,
) -> Item:
    """An item moved, turned or scaled; without a height of its own it stays on the ground.

    Raises:
        WildlifeError: for a place where it can't stand.
    """
    changed = item if height_m is None else checked(item, height_m=height_m)
    heading = yaw_in(scene.stage, item) if yaw_rad is None else yaw_rad
    position = item.position if at_world is None else at_world
    foot = scene.stage.from_world(np.array([[*position, 0.0][:3]], np.float64))[0]
    if at_world is not None and len(at_world) == 2:
        box = footprint_of(look_of(changed, scene.library), changed.height_m)
        foot[2] = foot_height(box, foot[:2], heading, scene.ground)
    if at_world is not None:
        check_by_hand(foot, scene.ground, item.what)
    return _placed(changed, scene.stage, foot, heading)


def swapped(scene: Scene, population: Population, item: Item, choice: Choice) -> Item:
    """An item as something else, at its place and heading or the nearest that has room for it.

    Raises:
        WildlifeError: when there is no room.
    """
    changed = msgspec.structs.replace(
        item,
        asset=choice.asset,
        animal=choice.animal,
        height_m=choice.height_m,
        phrases=choice.phrases,
        provenance=_with(item.provenance, choice),
    )
    rest = msgspec.structs.replace(
        population, items=tuple(one for one in population.items if one.id != item.id)
    )
    box = footprint_of(look_of(changed, scene.library), changed.height_m)
    target = scene.stage.from_world(np.array([item.position]))[0, :2]
    others, yaw = standing_of(scene, rest), yaw_in(scene.stage, item)
    place = find_place(box, Aim(target), scene.ground, others, yaw, what=changed.what)
    return _placed(changed, scene.stage, place.foot_3, place.yaw_rad)


def places_for(
    scene: Scene, population: Population, choice: Choice, aim: Aim | None = None
) -> list[Place]:
    """Where what was chosen could stand, in the order in which `settle` would take the places."""
    item = _draft(population, choice, Provenance())
    box = footprint_of(look_of(item, scene.library), item.height_m)
    return free_places(box, scene.ground, standing_of(scene, population), aim)


def stands_surely(scene: Scene, item: Item) -> bool:
    """Whether the photos tell how high the ground is on which an item stands."""
    box = footprint_of(look_of(item, scene.library), item.height_m)
    foot = scene.stage.from_world(np.array([item.position]))[0]
    return bool(is_on_sure_ground(box, foot[:2], yaw_in(scene.stage, item), scene.ground))


def standing_of(scene: Scene, population: Population) -> list[Standing]:
    """The visible items that can be shown, on the stage."""
    found = []
    for item in population.visible:
        try:
            found.append(stand(item, look_of(item, scene.library), scene.stage))
        except WildlifeError:
            continue
    return found


def yaw_in(stage: Stage, item: Item) -> float:
    """Heading of an item on the stage."""
    nose = stage.turn_33 @ item.turn_33[:, 0]
    return float(np.arctan2(nose[1], nose[0]))


def _draft(population: Population, choice: Choice, provenance: Provenance) -> Item:
    words = choice.asset or (choice.animal.species if choice.animal else "item")
    if not np.isfinite(choice.height_m):
        raise WildlifeError(f"A height of {choice.height_m} m can't be; give a number.")
    item = Item(
        id=free_id(population, words),
        asset=choice.asset,
        animal=choice.animal,
        position=(0.0, 0.0, 0.0),
        height_m=choice.height_m,
        phrases=choice.phrases,
        provenance=_with(provenance, choice),
    )
    return checked(item)


def _with(provenance: Provenance, choice: Choice) -> Provenance:
    score = None if choice.score is None else round(choice.score, 4)
    return Provenance(provenance.source, provenance.text, score, provenance.anchor, choice.licence)


def _placed(item: Item, stage: Stage, foot_3: NDArray, yaw_rad: float) -> Item:
    if not np.isfinite([*foot_3, yaw_rad]).all():
        raise WildlifeError(f"A place of {foot_3} with a heading of {yaw_rad} rad can't be.")
    world = stage.to_world(np.asarray(foot_3)[None])[0]
    position = tuple(round(float(value), 6) for value in world)
    turn = quaternion_of(stage.turn_33.T @ upright(yaw_rad))
    return checked(item, position=position, rotation=turn)
