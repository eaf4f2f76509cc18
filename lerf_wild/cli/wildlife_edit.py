"""`lerf-wild wildlife list / move / remove / undo / redo / refine`: the items of a scene."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lerf_wild.cli.progress import say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.wildlife import check_place, item_row, open_populated, scene_of_run
from lerf_wild.cli.wildlife_clear import clearing_row
from lerf_wild.errors import InputError, WildlifeError


def wildlife_list(load_config: Path, json_file: JsonFile = None) -> None:
    """Lists the items of a run.

    Args:
        load_config: The run's config.yml, or its folder.
        json_file: Where to write them as JSON.
    """
    from lerf_wild.wildlife.population_files import read_population

    population, console = read_population(_file_of(load_config)), Console()
    table = Table()
    for name in ("id", "what", "x y z", "height (m)", "shown", "from"):
        table.add_column(name)
    for item in population.items:
        where = " ".join(f"{value:.2f}" for value in item.position)
        source = escape(item.provenance.text or item.provenance.source)
        shown = "yes" if item.visible else "no"
        table.add_row(item.id, escape(item.what), where, f"{item.height_m:.2f}", shown, source)
    for one in population.clearings:
        where = " ".join(f"{value:.2f}" for value in one.position)
        source = escape(one.provenance.text or one.provenance.source)
        table.add_row(one.id, "cleared", where, f"{one.height_m:.2f}", "no", source)
    console.print(table)
    for line in population.troubles:
        say(console, line)
    figures = {
        "items": [item_row(item) for item in population.items],
        "clearings": [clearing_row(one) for one in population.clearings],
    }
    write_report(json_file, figures | {"troubles": list(population.troubles)})


def wildlife_move(
    load_config: Path,
    item: str,
    at: tuple[float, ...] = (),
    yaw_deg: float | None = None,
    height_m: float | None = None,
    visible: bool | None = None,
    library_dir: Path | None = None,
    data: Path | None = None,
) -> None:
    """Moves, turns, scales, hides or shows an item.

    Args:
        load_config: The run's config.yml.
        item: Its id, as `wildlife list` shows it.
        at: New place: two numbers to stand on the ground there, or three.
        yaw_deg: New heading.
        height_m: New height in metres.
        visible: Whether it is shown.
        library_dir: Folder of your assets.
        data: Where the capture is now, if it has been moved.
    """
    from lerf_wild.wildlife.population import with_change
    from lerf_wild.wildlife.population_files import edit_population, read_population
    from lerf_wild.wildlife.settling import settled_again

    check_place(at)
    path = _file_of(load_config)
    changes: dict[str, Any] = {} if visible is None else {"visible": visible}
    if at or yaw_deg is not None or height_m is not None:
        old = read_population(path).item(item)
        run = open_populated(load_config, data)
        yaw = None if yaw_deg is None else float(np.radians(yaw_deg))
        scene, population = scene_of_run(run, library_dir), read_population(path)
        new = settled_again(scene, population, old, at or None, yaw, height_m)
        changes |= {name: getattr(new, name) for name in ("position", "rotation", "height_m")}
    if not changes:
        raise InputError("Say what to change: --at, --yaw-deg, --height-m or --visible.")
    edit_population(path, lambda now: with_change(now, item, f"change {item}", **changes))


def wildlife_remove(load_config: Path, items: tuple[str, ...]) -> None:
    """Takes items out of a scene, or clearings back; `wildlife undo` brings them back.

    Args:
        load_config: The run's config.yml.
        items: Their ids.
    """
    from lerf_wild.wildlife.population import Population, without
    from lerf_wild.wildlife.population_files import edit_population

    def change(population: Population) -> Population:
        for name in items:
            population = without(population, name)
        return population

    edit_population(_file_of(load_config), change)


def wildlife_undo(load_config: Path) -> None:
    """Takes back the latest change of a run's items.

    Args:
        load_config: The run's config.yml.
    """
    from lerf_wild.wildlife.population import undone
    from lerf_wild.wildlife.population_files import edit_population

    population = edit_population(_file_of(load_config), undone)
    say(Console(), f"Taken back: {population.redo[-1].label}.")


def wildlife_redo(load_config: Path) -> None:
    """Does again what `wildlife undo` took back last.

    Args:
        load_config: The run's config.yml.
    """
    from lerf_wild.wildlife.population import redone
    from lerf_wild.wildlife.population_files import edit_population

    population = edit_population(_file_of(load_config), redone)
    say(Console(), f"Done again: {population.undo[-1].label}.")


def _file_of(load_config: Path) -> Path:
    from lerf_wild.wildlife.population_files import population_path

    folder = load_config if load_config.is_dir() else load_config.parent
    if not folder.is_dir():
        raise WildlifeError(f"{folder}: there is no such folder. Give the run's config.yml.")
    return population_path(folder)


def wildlife_refine(
    load_config: Path,
    items: tuple[str, ...] = (),
    evaluations: int = 160,
    data: Path | None = None,
    json_file: JsonFile = None,
) -> None:
    """Makes items agree with the photos that really show them.

    First place, heading and height; then what an animal does and its shape; then colours.

    Args:
        load_config: The run's config.yml.
        items: Which items; all that are shown when left out.
        evaluations: Guesses that are compared from each of five headings.
        data: Where the capture is now, if it has been moved.
        json_file: Where to write how well each agrees, before and after.
    """
    run, console = open_populated(load_config, data), Console()
    figures = refine_items(run, items, evaluations, lambda line: say(console, line))
    write_report(json_file, {"items": figures})


def refine_items(
    run: Any, names: tuple[str, ...], evaluations: int, on_line: Any
) -> list[dict[str, object]]:
    """Refines items of an open run and writes its file; one that can't be is told and left.

    Raises:
        WildlifeError: for an unknown id.
    """
    from lerf_wild.methods.wildlife.observing import observe
    from lerf_wild.wildlife.looks import look_of
    from lerf_wild.wildlife.population import with_change
    from lerf_wild.wildlife.population_files import edit_population, read_population
    from lerf_wild.wildlife.refining import refine
    from lerf_wild.wildlife.refining_look import refine_look

    shown = run.model.items
    placed_items = read_population(shown.path)
    wanted = tuple(placed_items.item(name).id for name in names)
    wanted = wanted or tuple(item.id for item in placed_items.visible)
    standing = {one.item.id: one for one in shown.shown().scene.standing}
    around, figures = shown.surroundings(), []
    for name in wanted:
        if name not in standing:
            on_line(f"{name}: not shown, so it is left as it is.")
            continue
        one = standing[name]
        try:
            # Another window may have changed or removed it since.
            item = read_population(shown.path).item(name)
            seen = observe(run.pipeline, one)
            scene = (shown.stage, seen, around.field_ground, around.light)
            placed = refine(item, one.look, *scene, evaluations)
            found = refine_look(placed.item, lambda one: look_of(one, shown.library()), *scene)
            keys = ("position", "rotation", "height_m", "animal", "tint")
            changes = {key: getattr(found.item, key) for key in keys}
            edit_population(
                shown.path,
                lambda old, name=name, changes=changes: with_change(
                    old, name, f"refine {name}", **changes
                ),
            )
        except WildlifeError as error:
            on_line(str(error))
            continue
        stages = (placed.before, found.before, found.after)
        on_line(f"{name}: disagreement {' -> '.join(f'{value:.3f}' for value in stages)}")
        figures.append({"item": name} | dict(zip(("before", "placed", "after"), stages)))
    return figures
