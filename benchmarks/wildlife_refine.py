"""How near refinement brings items that are in the photos, from starts that are off.

The animals of a run's own habitat are put into its population with their true meshes, moved by
0.3 m, turned by 25 degrees and scaled by 20 % each in a random direction, and refined against the
run's photos and field. What is left of the errors is against the habitat's truth.

Run with `python -m benchmarks.wildlife_refine --runs RUN RUN ... --json FILE`.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.wildlife_truth import population_of, same_habitat
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.wildlife import open_populated
from lerf_wild.errors import WildlifeError
from lerf_wild.methods.wildlife.observing import observe
from lerf_wild.synth.habitat import Placed
from lerf_wild.wildlife.items import Item, checked, quaternion_of, upright
from lerf_wild.wildlife.population import Population
from lerf_wild.wildlife.refining import refine
from lerf_wild.wildlife.settling import yaw_in

SHIFT_M, TURN_DEG, SCALE = 0.3, 25.0, 0.2
MIN_VIEWS = 20
"""Items that fewer photos show are not in the photos."""


@dataclass(frozen=True)
class Errors:
    """How far an item is from the truth."""

    place_m: float
    heading_deg: float
    height: float
    """Share of the true height."""


def main(
    runs: tuple[Path, ...],
    items_per_habitat: int = 2,
    evaluations: int = 160,
    seed: int = 0,
    json_file: JsonFile = None,
) -> None:
    """Refines animals of each run's habitat from wrong starts.

    Args:
        runs: Folders or config.yml of runs that were trained on habitats.
        items_per_habitat: Animals of each, those that most photos show first.
        evaluations: Guesses that are traced from each heading.
        seed: Which way the starts are off.
        json_file: Where to write the figures.
    """
    left = [one for path in runs for one in measure_run(path, items_per_habitat, evaluations, seed)]
    figures = {
        "place_m": float(np.median([one.place_m for one in left])),
        "heading_deg": float(np.median([one.heading_deg for one in left])),
        "height": float(np.median([one.height for one in left])),
        "place_m_worst": max(one.place_m for one in left),
        "items": len(left),
        "runs": len(runs),
    }
    for name, value in figures.items():
        print(f"{name:16} {value:.4g}")
    write_report(json_file, figures, seed)


def measure_run(path: Path, count: int, evaluations: int, seed: int) -> list[Errors]:
    """What is left of the errors of a run's animals."""
    run = open_populated(path)
    habitat = same_habitat(run.scene)
    left = []
    with tempfile.TemporaryDirectory() as folder:
        for number, one in enumerate(_animals(run.scene, habitat.items)[:count]):
            library, population = population_of([one], Path(folder) / str(number))
            items = run.model.items
            items.library = lambda library=library: library
            true = population.items[0]
            rng = np.random.default_rng([seed, habitat.seed, number])
            started = _off(true, one, rng)
            items.show(Population((started,)))
            shown, around = items.shown().scene.standing[0], items.surroundings()
            try:
                found = refine(
                    started,
                    shown.look,
                    items.stage,
                    observe(run.pipeline, shown),
                    around.field_ground,
                    around.light,
                    evaluations,
                ).item
            except WildlifeError as error:
                print(error)
                continue
            left.append(_errors(items.stage, true, found))
            print(f"{habitat.seed} {one.asset.name}: {left[-1]}", flush=True)
    return left


def _animals(scene: Path, placed: tuple[Placed, ...]) -> list[Placed]:
    described = json.loads((scene / "scene.json").read_text())["instances"]
    views = {one["id"]: one["views"] for one in described}
    kinds = {one["id"]: one["kind"] for one in described}
    animals = [
        one
        for one in placed
        if kinds.get(one.object_id) == "animal" and views[one.object_id] >= MIN_VIEWS
    ]
    return sorted(animals, key=lambda one: -views[one.object_id])


def _off(true: Item, one: Placed, rng: np.random.Generator) -> Item:
    way = rng.uniform(0, 2 * np.pi)
    x, y, z = true.position
    turn = one.yaw_rad + np.radians(TURN_DEG) * rng.choice([-1, 1])
    factor = 1 + SCALE * rng.choice([-1, 1])
    return checked(
        true,
        position=(float(x + SHIFT_M * np.cos(way)), float(y + SHIFT_M * np.sin(way)), z),
        rotation=quaternion_of(upright(turn)),
        height_m=float(factor * true.height_m),
    )


def _errors(stage: Any, true: Item, found: Item) -> Errors:
    gap = np.subtract(found.position, true.position)
    turn = yaw_in(stage, found) - yaw_in(stage, true)
    return Errors(
        place_m=float(np.linalg.norm(gap)),
        heading_deg=float(np.degrees(abs((turn + np.pi) % (2 * np.pi) - np.pi))),
        height=abs(found.height_m / true.height_m - 1),
    )


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.FlagConversionOff,))
