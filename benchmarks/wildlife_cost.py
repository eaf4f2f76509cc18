"""What items cost: a view with ten over the view without, 200 of them, and the redraw of one.

Views with and without items take turns in one process. `ratio` is of times that passed; on a
machine that does other work `cpu_ratio`, of times that this process computed, says more. A redraw
is what follows an edit in a viewer whose camera stands still: the file is written, read, and drawn.

Run with `python -m benchmarks.wildlife_cost --run RUN --json FILE`.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from lerf_wild.assets.library import Library
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.wildlife import open_populated, scene_of_run
from lerf_wild.wildlife.items import Animal, Item, quaternion_of, upright
from lerf_wild.wildlife.population import Population, with_change
from lerf_wild.wildlife.population_files import edit_population, write_population
from lerf_wild.wildlife.settling import Scene

SPECIES = ("red deer", "wolf", "zebra", "red fox", "tiger")
ACTIONS = ("graze", "walk", "stand", "lie", "trot")
ASSETS = ("raven", "egret", "sheep", "mossy_rock", "fern", "grey_rock", "rabbit", "reeds")
MANY, TALLEST_M, REACH_M = 200, 1.2, 4.0


def main(
    run: Path,
    items: int = 10,
    size: int = 256,
    repeats: int = 7,
    threads: int = 2,
    seed: int = 0,
    json_file: JsonFile = None,
) -> None:
    """Times views and writes the figures.

    Args:
        run: Folder or config.yml of a trained run.
        items: How many stand in the view.
        size: Height and width of the view.
        repeats: Timed pairs of views, and redraws.
        threads: Threads that torch may use.
        seed: Where the items stand.
        json_file: Where to write the figures.
    """
    torch.set_num_threads(threads)
    opened = open_populated(run)
    with tempfile.TemporaryDirectory() as folder:
        opened.model.items.path = Path(folder) / "wildlife.json"
        scene = scene_of_run(opened)
        figures = {
            **view_figures(opened, scene, items, size, repeats, seed),
            **redraw_figures(opened, scene, items, repeats, seed),
            "threads": threads,
            "size": size,
        }
    for name, value in figures.items():
        print(f"{name:24} {value:.4g}")
    write_report(json_file, figures, seed=seed)


def view_figures(
    run: Any, scene: Scene, count: int, size: int, repeats: int, seed: int
) -> dict[str, float]:
    """A view with items over the view without, and one with many."""
    shown, view = run.model.items, square(run, size)
    few, many = populated(scene, count, seed), populated(scene, MANY, seed)
    draw = drawing(run, view)

    def with_items(population: Population) -> Any:
        write_population(shown.path, population)
        shown.shown()
        return draw()

    pixels = float((with_items(few)["items"] > 0).float().mean())
    ratios, cpu_ratios, bare_ms, full_ms = [], [], [], []
    for _ in range(repeats):
        write_population(shown.path, Population())
        shown.shown()
        bare, bare_cpu = timed(draw)
        write_population(shown.path, few)
        shown.shown()
        full, full_cpu = timed(draw)
        ratios.append(full / bare)
        cpu_ratios.append(full_cpu / bare_cpu)
        bare_ms.append(bare)
        full_ms.append(full)
    outputs = with_items(many)
    many_ms, _ = timed(draw)
    return {
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "cpu_ratio": statistics.median(cpu_ratios),
        "bare_ms": statistics.median(bare_ms),
        "ms": statistics.median(full_ms),
        "items": count,
        "items_share": pixels,
        "many": len(shown.shown().scene),
        "many_ms": many_ms,
        "many_seen": int(len(torch.unique(outputs["items"])) - 1),
    }


def redraw_figures(
    run: Any, scene: Scene, count: int, repeats: int, seed: int, size: int = 128
) -> dict[str, float]:
    """Milliseconds from an edit, whose file is written and read, to a still view's picture."""
    shown, model = run.model.items, run.model
    population = populated(scene, count, seed)
    write_population(shown.path, population)
    draw, first = drawing(run, square(run, size)), population.items[0]
    # A viewer is there, which keeps what it has marched.
    model._live = object()
    draw()
    walls, cpus, kinds = [], [], {"move": [], "turn": [], "scale": []}
    for number in range(repeats):
        for kind, times in kinds.items():
            change = changed(first, kind, number)

            def edit_and_draw(change: dict[str, Any] = change) -> None:
                edit_population(
                    shown.path, lambda old: with_change(old, first.id, "edit", **change)
                )
                draw()

            wall, cpu = timed(edit_and_draw)
            times.append(wall)
            walls.append(wall)
            cpus.append(cpu)
    model._live = None
    return {
        "redraw_ms": statistics.median(walls),
        "redraw_ms_high": max(walls),
        "redraw_cpu_ms": statistics.median(cpus),
        **{f"redraw_{kind}_ms": statistics.median(times) for kind, times in kinds.items()},
    }


def changed(item: Item, kind: str, number: int) -> dict[str, Any]:
    """A small change of an item."""
    step = 0.02 * (number + 1)
    if kind == "move":
        x, y, z = item.position
        return {"position": (x + step, y, z)}
    if kind == "turn":
        return {"rotation": quaternion_of(upright(step))}
    return {"height_m": item.height_m * (1.0 + step)}


def populated(scene: Scene, count: int, seed: int) -> Population:
    """Items in turn of assets and animals, spread over the known ground."""
    rng, items = np.random.default_rng(seed), []
    known = np.argwhere(scene.ground.is_known_GG)
    places = scene.ground.low_2 + scene.ground.cell_m * (known + 0.5)
    places = places[np.linalg.norm(places - np.median(places, axis=0), axis=1) < REACH_M]
    for number, spot in enumerate(places[rng.choice(len(places), count, replace=False)]):
        foot = np.array([*spot, scene.ground.height(spot[None])[0]])
        turn = scene.stage.turn_33.T @ upright(rng.uniform(0, 2 * np.pi))
        items.append(_item(number, scene.stage.to_world(foot[None])[0], turn, scene.library))
    return Population(tuple(items))


def _item(number: int, position: np.ndarray, turn: np.ndarray, library: Library) -> Item:
    where = {"position": tuple(position.tolist()), "rotation": quaternion_of(turn)}
    kind = number // 2
    if number % 2 == 0:
        animal = Animal(SPECIES[kind % len(SPECIES)], ACTIONS[kind // 5 % len(ACTIONS)])
        return Item(id=f"item_{number}", animal=animal, height_m=0.8, **where)
    name = ASSETS[kind % len(ASSETS)]
    height = min(library.entry(name).height_m, TALLEST_M)
    return Item(id=f"item_{number}", asset=name, height_m=height, **where)


def square(run: Any, size: int) -> Any:
    """Rays of the first held-out view's middle."""
    camera = run.dataset("held-out").cameras[0:1]
    camera.rescale_output_resolution(size / int(camera.height[0]))
    camera.width[:], camera.cx[:] = size, size / 2
    return camera.generate_rays(0, keep_shape=True)


def drawing(run: Any, rays: Any) -> Callable[[], Any]:
    """Draws a view."""

    def draw() -> Any:
        with torch.no_grad():
            return run.model.get_outputs_for_camera_ray_bundle(rays)

    return draw


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds that pass and that this process computes."""
    start, cpu = time.perf_counter(), time.process_time()
    action()
    return 1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - cpu)


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.FlagConversionOff,))
