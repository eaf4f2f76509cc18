"""`lerf-wild wildlife where / swap`: where something could stand, and one item for another."""

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from lerf_wild.cli.progress import say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.wildlife import (
    chosen_by_words,
    item_row,
    open_populated,
    scene_of_run,
    target_of,
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
        text: Such as "a red deer by the log"; places come in the order of their distance from it.
        library_dir: Folder of your assets; yours (or LERF_WILD_ASSETS) when left out.
        data: Where the capture is now, if it has been moved.
        json_file: Where to write all places as JSON.
    """
    from lerf_wild.wildlife.sentences import read_sentence
    from lerf_wild.wildlife.settling import places_for

    console, sentence = Console(), read_sentence(text)
    run = open_populated(load_config, data)
    scene = scene_of_run(run, library_dir)
    choice = chosen_by_words(run, scene, sentence)
    target = target_of(console, run, scene, sentence.anchor)
    found = places_for(scene, run.model.items.shown().population, choice, target)
    rows = [
        {
            "position": scene.stage.to_world(place.foot_3[None])[0].tolist(),
            "yaw_deg": float(np.degrees(place.yaw_rad)),
            "distance_m": float(np.linalg.norm(place.foot_3[:2] - target[:2])),
        }
        for place in found
    ]
    table = Table("x y z", "heading (deg)", "distance (m)")
    for row in rows[:SHOWN]:
        where = " ".join(f"{value:.2f}" for value in row["position"])
        table.add_row(where, f"{row['yaw_deg']:.0f}", f"{row['distance_m']:.2f}")
    console.print(table)
    what = choice.asset or str(choice.animal and choice.animal.species)
    say(console, f"{len(rows)} places for {what}, {choice.height_m:.2f} m high.")
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
    choice = chosen_by_words(run, scene, read_sentence(text), seed)
    population = read_population(path)
    new = swapped(scene, population, population.item(item), choice)
    edit_population(path, lambda now: with_swap(now, new))
    say(Console(), f"{item}: {new.what}, {new.height_m:.2f} m")
    write_report(json_file, {"item": item_row(new)})
