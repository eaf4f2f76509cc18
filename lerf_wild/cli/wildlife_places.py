"""`lerf-wild wildlife where / swap / walk`: where to stand, what to be, and which way to go."""

from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from lerf_wild.cli.progress import numbered, say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.wildlife import (
    aim_of,
    chosen_by_words,
    item_row,
    open_populated,
    scene_of_run,
)

SHOWN = 20


def wildlife_where(
    load_config: Path,
    text: str,
    library_dir: Path | None = None,
    data: Path | None = None,
    json_file: JsonFile = None,
) -> None:
    """Lists the places where something would have room, without placing it.

    Args:
        load_config: The run's config.yml.
        text: Such as "a red deer by the log"; places come as `place` would take them.
        library_dir: Folder of your assets; yours (or LERF_WILD_ASSETS) when left out.
        data: Where the capture is now, if it has been moved.
        json_file: Where to write all places as JSON.
    """
    from lerf_wild.wildlife.sentences import read_sentence
    from lerf_wild.wildlife.settling import places_for

    console, sentence = Console(), read_sentence(text)
    run = open_populated(load_config, data)
    scene = scene_of_run(run, library_dir)
    choice = chosen_by_words(run, scene, [sentence])[0]
    aimed, aim = aim_of(console, run, scene, sentence.anchor)
    found = places_for(aimed, run.model.items.shown().population, choice, aim)
    rows = [
        {
            "position": scene.stage.to_world(place.foot_3[None])[0].tolist(),
            "yaw_deg": float(np.degrees(place.yaw_rad)),
            "distance_m": float(np.linalg.norm(place.foot_3[:2] - aim.point_2)),
        }
        for place in found
    ]
    table = Table("x y z", "heading (deg)", "distance (m)")
    for row in rows[:SHOWN]:
        where = " ".join(f"{value:.2f}" for value in row["position"])
        table.add_row(where, f"{row['yaw_deg']:.0f}", f"{row['distance_m']:.2f}")
    console.print(table)
    what = choice.asset or str(choice.animal and choice.animal.species)
    say(console, f"{numbered(len(rows), 'place')} for {what}, {choice.height_m:.2f} m high.")
    write_report(json_file, {"places": rows})


def wildlife_swap(
    load_config: Path,
    item: str,
    text: str,
    library_dir: Path | None = None,
    seed: int = 0,
    data: Path | None = None,
    json_file: JsonFile = None,
) -> None:
    """Makes an item something else, at its place and heading.

    Args:
        load_config: The run's config.yml.
        item: Its id, as `wildlife list` shows it.
        text: What it becomes, such as "a wolf sitting".
        library_dir: Folder of your assets; yours (or LERF_WILD_ASSETS) when left out.
        seed: Which individual.
        data: Where the capture is now, if it has been moved.
        json_file: Where to write the item as JSON.
    """
    from lerf_wild.wildlife.population import with_swap
    from lerf_wild.wildlife.population_files import edit_population, read_population
    from lerf_wild.wildlife.sentences import read_sentence
    from lerf_wild.wildlife.settling import swapped

    run = open_populated(load_config, data)
    scene, path = scene_of_run(run, library_dir), run.model.items.path
    choice = chosen_by_words(run, scene, [read_sentence(text)], seed)[0]
    population = read_population(path)
    new = swapped(scene, population, population.item(item), choice)
    edit_population(path, lambda now: with_swap(now, new))
    say(Console(), f"{item}: {new.what}, {new.height_m:.2f} m")
    write_report(json_file, {"item": item_row(new)})


def wildlife_walk(
    load_config: Path,
    item: str,
    way: tuple[float, ...],
    output_path: Path,
    gait: Literal["walk", "trot", "gallop"] = "walk",
    view: int = 0,
    views: Literal["held-out", "train"] = "held-out",
    fps: float = 12.0,
    data: Path | None = None,
    json_file: JsonFile = None,
) -> None:
    """Draws an animal on its way through the scene, as a video or as pictures; moves nothing.

    Args:
        load_config: The run's config.yml.
        item: Id of an animal, as `wildlife list` shows it.
        way: Places that it comes by, x y x y ..., in the capture's coordinates.
        output_path: A video (.mp4, .mkv, .webm), or a folder for pictures.
        gait: How it goes.
        view: Number of the camera that looks on, from 0.
        views: Of which cameras.
        fps: Frames a second.
        data: Where the capture is now, if it has been moved.
        json_file: Where to write the animal's state at each frame.
    """
    from lerf_wild.cli.progress import counting
    from lerf_wild.cli.video import check_output, open_frames
    from lerf_wild.errors import InputError
    from lerf_wild.wildlife.population import with_change
    from lerf_wild.wildlife.population_files import read_population
    from lerf_wild.wildlife.walking import on_its_way

    if len(way) < 4 or len(way) % 2 or not 0 < fps <= 240:
        raise InputError("--way takes two or more places, x y x y ..., and --fps 1 to 240.")
    check_output(output_path)
    console, run = Console(), open_populated(load_config, data)
    cameras, items = run.dataset(views).cameras, run.model.items
    if not 0 <= view < len(cameras):
        raise InputError(f"--view {view}: there are {len(cameras)} {views} views, from 0.")
    places = np.array(way).reshape(-1, 2)
    on_stage = items.stage.from_world(np.column_stack([places, np.zeros(len(places))]))[:, :2]
    ground, population = items.ground(), read_population(items.path)
    states = on_its_way(population.item(item), on_stage, ground, items.stage, gait, fps)
    run.model.keeps_rays = True
    with counting(console, "drawing", len(states)) as advance, open_frames(output_path, fps) as out:
        for state in states:
            changes = {key: getattr(state, key) for key in ("position", "rotation", "animal")}
            now = with_change(population, item, "walk", **changes)
            items.show(now)
            out(run.answer(cameras, view, None).rgb_HW3)
            advance()
    say(console, f"{output_path}: {len(states)} frames.")
    write_report(json_file, {"frames": [item_row(state) for state in states]})
