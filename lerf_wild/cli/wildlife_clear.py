"""`lerf-wild wildlife clear`: takes what its photos show out of a scene and fills in the ground."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from lerf_wild.cli.progress import counting, say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.wildlife import ANCHOR_POINTS, check_place, open_populated, say_others
from lerf_wild.errors import InputError, WildlifeError

if TYPE_CHECKING:
    from lerf_wild.cli.runs import Run
    from lerf_wild.methods.wildlife.item_field import ItemField
    from lerf_wild.wildlife.items import Clearing

USUAL_HEIGHT_M = 2.0


def wildlife_clear(
    load_config: Path,
    thing: str | None = None,
    at: tuple[float, ...] = (),
    radius_m: float | None = None,
    height_m: float | None = None,
    data: Path | None = None,
    json_file: JsonFile = None,
) -> None:
    """Takes a thing that is in the photos out of the scene; `wildlife undo` brings it back.

    What is behind it other photos have shown, and the ground below it is filled in from around it.
    Neither the photos nor the field change: a clearing goes into wildlife.json, as items do, and
    holds in every command that takes wildlife.yml.

    Args:
        load_config: The run's config.yml.
        thing: What to take out, in words; the most relevant one goes.
        at: Or where it stands, two numbers in the capture's coordinates.
        radius_m: Take out all within this of --at, whatever hangs together.
        height_m: Up to this height over the ground; the thing's own, or 2 m with --radius-m.
        data: Where the capture is now, if it has been moved.
        json_file: Where to write what was cleared as JSON.
    """
    from lerf_wild.wildlife.population import with_clearing
    from lerf_wild.wildlife.population_files import edit_population

    _check_asked(thing, at, radius_m, height_m)
    console, run = Console(), open_populated(load_config, data)
    if radius_m is not None:
        clearing = _by_hand(run, at, radius_m, USUAL_HEIGHT_M if height_m is None else height_m)
    else:
        clearing = found_clearing(console, run, thing, at, height_m)
    edit_population(run.model.items.path, lambda old: with_clearing(old, clearing))
    across = " x ".join(f"{2 * half:.2f}" for half in clearing.half_lengths_m)
    say(console, f"{clearing.id}: {across} m, up to {clearing.height_m:.2f} m over the ground.")
    say(console, f"See it: lerf-wild view --load-config {run.folder / 'wildlife.yml'}")
    write_report(json_file, {"cleared": clearing_row(clearing)})


def clearing_row(clearing: "Clearing") -> dict[str, object]:
    """A clearing as it goes into a report."""
    return {
        "id": clearing.id,
        "position": list(clearing.position),
        "half_lengths_m": list(clearing.half_lengths_m),
        "yaw_rad": clearing.yaw_rad,
        "height_m": clearing.height_m,
    }


def found_clearing(
    console: Console,
    run: "Run",
    thing: str | None,
    at: tuple[float, ...] = (),
    height_m: float | None = None,
) -> "Clearing":
    """The clearing around a thing that is looked for, or that stands at a place.

    Raises:
        WildlifeError: when nothing is found or stands there.
    """
    items = run.model.items
    ground, stage = items.surroundings().field_ground, items.stage
    if thing is None:
        points_N3 = items.surroundings().points_N3
        relevancy_N = np.ones(len(points_N3))
        seed_3 = stage.from_world(np.array([[*at, 0.0][:3]], np.float64))[0]
        seed_3[2] = ground.height(seed_3[None, :2])[0]
    else:
        points_N3, relevancy_N, seed_3 = _relevant_points(console, run, thing)
    return clearing_around(items, points_N3, relevancy_N, seed_3, thing, height_m)


def clearing_around(
    items: "ItemField",
    points_N3: np.ndarray,
    relevancy_N: np.ndarray,
    seed_3: np.ndarray,
    thing: str | None,
    height_m: float | None = None,
) -> "Clearing":
    """The clearing around surface points on the stage that hang together with one of them.

    Raises:
        WildlifeError: when too few of them stand there, or too much hangs together.
    """
    from lerf_wild.wildlife.clearings import around_thing

    found = around_thing(points_N3, relevancy_N, seed_3, items.surroundings().field_ground)
    half, yaw, own_height, foot_3 = found
    height = own_height if height_m is None else height_m
    return _clearing(items, thing or "place", foot_3, half, yaw, height, thing)


def _relevant_points(
    console: Console, run: "Run", thing: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Surface points on the stage, how much each is like a thing, and its most relevant place."""
    import msgspec

    from lerf_wild.cli.answers import answers
    from lerf_wild.cli.sampling import sample_scene
    from lerf_wild.cli.second_look import second_look

    items, asked = run.model.items, run.query([thing])
    # Items are taken out by `wildlife remove`; here what the photos show is looked for.
    items.show(msgspec.structs.replace(items.shown().population, items=()))
    with counting(console, f"looking for {thing}", len(run.dataset("train"))) as advance:
        scene = sample_scene(run, asked, ANCHOR_POINTS, on_view=advance)
    found = answers(run, scene, second_look(run, asked, scene))[0]
    if not found.present:
        raise WildlifeError(
            f"Nothing in the scene looks like {thing[:60]!r} (score {found.score:.2f}).\n"
            "Name another thing, or say where with --at X Y."
        )
    say_others(console, found)
    points_N3 = items.stage.from_nerf(scene.points.positions_N3)
    return (
        points_N3,
        scene.points.relevancy_NP[:, 0],
        items.stage.from_world(np.array([found.position]))[0],
    )


def _by_hand(run: "Run", at: tuple[float, ...], radius_m: float, height_m: float) -> "Clearing":
    items = run.model.items
    around = items.surroundings()
    foot_3 = items.stage.from_world(np.array([[*at, 0.0][:3]], np.float64))[0]
    if not (np.linalg.norm(around.points_N3[:, :2] - foot_3[:2], axis=1) < radius_m).any():
        raise WildlifeError(
            f"The photos show nothing within {radius_m:g} m of ({at[0]:g}, {at[1]:g}), so nothing "
            "can be taken out there."
        )
    foot_3[2] = around.field_ground.height(foot_3[None, :2])[0]
    return _clearing(items, "place", foot_3, (radius_m, radius_m), 0.0, height_m, None)


def _clearing(
    items: "ItemField",
    words: str,
    foot_3: np.ndarray,
    half: tuple[float, float],
    yaw: float,
    height_m: float,
    thing: str | None,
) -> "Clearing":
    from lerf_wild.wildlife.items import Clearing, Provenance, checked_clearing
    from lerf_wild.wildlife.population import free_id
    from lerf_wild.wildlife.population_files import read_population

    x, y, z = (round(float(value), 4) for value in items.stage.to_world(foot_3[None])[0])
    clearing = Clearing(
        id=free_id(read_population(items.path), f"cleared {words}"),
        position=(x, y, z),
        half_lengths_m=(round(half[0], 4), round(half[1], 4)),
        yaw_rad=round(yaw, 5),
        height_m=round(height_m, 4),
        provenance=Provenance("hand") if thing is None else Provenance("text", thing),
    )
    return checked_clearing(clearing)


def _check_asked(
    thing: str | None, at: tuple[float, ...], radius_m: float | None, height_m: float | None
) -> None:
    check_place(at)
    if (thing is None) == (not at):
        raise InputError("Say what to take out: --thing WORDS, or --at X Y where it stands.")
    if radius_m is not None and not at:
        raise InputError("--radius-m needs --at X Y.")
    for name, value in (("--radius-m", radius_m), ("--height-m", height_m)):
        if value is not None and not 0.01 <= value <= 100:
            raise InputError(f"{name} is a length from 0.01 to 100 m.")
