"""Ground and sun of trained habitats against the truth: what the field says, and the photos.

Over ground within REACH_M of the middle that is known and on which nothing stands:

    within_2cm       share of it whose height is within 2 cm of the true one
    median_m         median error of its height
    field_...        the same for the field's ground alone
    sure_share       share of it of which the photos are sure
    sure_within_2cm  share of that whose height is within 2 cm of the true one
    sun_deg          angle between the sun that was found and the true one

Run with `python -m benchmarks.wildlife_ground --runs RUN RUN ... --json FILE`.
"""

import json
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray

from benchmarks.wildlife_truth import same_habitat
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.wildlife import open_populated

REACH_M, STEP_M = 5.5, 0.1
CLOSE_M = 0.02


def main(runs: tuple[Path, ...], json_file: JsonFile = None) -> None:
    """Measures the ground and the sun of runs and writes the figures.

    Args:
        runs: Folders or config.yml of runs that were trained on habitats.
        json_file: Where to write the figures.
    """
    rows = [measured(path) for path in runs]
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    print(json.dumps(means, indent=1))
    write_report(json_file, means | {"each": rows})


def measured(path: Path) -> dict[str, float]:
    """Figures of one run."""
    run = open_populated(path)
    habitat, items = same_habitat(run.scene), run.model.items
    around, stage = items.surroundings(), items.stage
    ground, field = around.ground, around.field_ground
    steps = np.arange(-REACH_M, REACH_M, STEP_M)
    middle = np.median(around.points_N3[:, :2], axis=0)
    xy = middle + np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    is_free = ground.is_known(xy) & ~ground.is_taken(xy)
    xy = xy[is_free & (np.linalg.norm(xy - middle, axis=1) < REACH_M)]
    true = true_heights(habitat.terrain, stage, xy, ground.height(xy))
    sun = stage.turn_33 @ habitat.scene().light.sun_direction_3
    cosine = float(np.clip(sun @ around.light.light.sun_direction_3, -1, 1))
    off, is_sure = ground.height(xy) - true, ground.is_sure(xy)
    found = {
        **_errors("", off),
        **_errors("field_", field.height(xy) - true),
        "sure_share": float(is_sure.mean()),
        "sure_within_2cm": float((np.abs(off[is_sure]) <= CLOSE_M).mean()),
        "sun_deg": float(np.degrees(np.arccos(cosine))),
    }
    print(f"{path}: {found}", flush=True)
    return found


def true_heights(terrain: object, stage: object, xy_N2: NDArray, near_N: NDArray) -> NDArray:
    """Heights on the stage of the true ground at positions of the stage."""
    world = stage.to_world(np.column_stack([xy_N2, near_N]))
    world[:, 2] = terrain.height(world[:, :2].astype(np.float32))
    return stage.from_world(world)[:, 2]


def _errors(prefix: str, off_N: NDArray) -> dict[str, float]:
    return {
        f"{prefix}within_2cm": float((np.abs(off_N) <= CLOSE_M).mean()),
        f"{prefix}median_m": float(np.median(np.abs(off_N))),
    }


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.FlagConversionOff,))
