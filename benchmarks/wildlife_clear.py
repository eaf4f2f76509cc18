"""Things taken out of trained fields, against pictures of the same habitats without them.

Each run was trained on a habitat with the things in it. The habitat is made again from its seed,
and its held-out views are rendered without one of them: that is the truth. The run is told to take
it out by its name alone. Over the pixels that the thing filled, pooled over views:

    cleared_psnr        of the cleared field against the truth
    left_psnr           of the field as it was against the truth: what doing nothing gives
    around_psnr         of the field as it was, everywhere else: what the field can do
    changed_elsewhere   share of the pixels a tenth of the picture's width and more from the thing
                        whose colour moved by more than 8 of 255
    right_thing         share of things whose clearing holds the middle of the true thing

Medians over the things. Run with `python -m benchmarks.wildlife_clear --runs RUN RUN ...`.
"""

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import tyro
from PIL import Image
from rich.console import Console
from scipy.ndimage import distance_transform_edt

from benchmarks.wildlife_truth import held_out_cameras, same_habitat
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.runs import Run
from lerf_wild.cli.wildlife import open_populated
from lerf_wild.cli.wildlife_clear import found_clearing
from lerf_wild.errors import LerfWildError
from lerf_wild.render.raycast import render
from lerf_wild.synth.habitat import Habitat, Placed
from lerf_wild.wildlife.population import Population

MIN_VIEWS, MIN_PIXELS = 40, 60
MOVED = 8


@dataclass
class Sums:
    """Squared errors over pixels of one thing's views, and what changed far from it."""

    cleared: float = 0.0
    left: float = 0.0
    values: int = 0
    around: float = 0.0
    around_values: int = 0
    far_moved: int = 0
    far: int = 0

    def figures(self) -> dict[str, float]:
        """PSNRs in dB and the share that changed."""
        return {
            "cleared_psnr": _psnr(self.cleared, self.values),
            "left_psnr": _psnr(self.left, self.values),
            "around_psnr": _psnr(self.around, self.around_values),
            "changed_elsewhere": self.far_moved / max(self.far, 1),
        }


def main(
    runs: tuple[Path, ...],
    things: int = 3,
    views: int = 4,
    pictures: Path | None = None,
    json_file: JsonFile = None,
) -> None:
    """Takes things out of runs and writes the figures.

    Args:
        runs: Folders or config.yml of runs that were trained on habitats.
        things: Animals taken out of each, one at a time.
        views: Held-out views of each thing, those that show most of it.
        pictures: Folder for pictures: before, after, truth.
        json_file: Where to write the figures.
    """
    rows: list[dict[str, float]] = []
    for path in runs:
        run = open_populated(path)
        run.model.items.path = Path(tempfile.gettempdir()) / "lerf-wild-clear" / "wildlife.json"
        habitat = same_habitat(run.scene)
        for one in _animals(run.scene, habitat)[:things]:
            rows.append(measured(run, habitat, one, views, pictures))
            print(f"{run.scene}: {one.asset.phrases[0]} {rows[-1]}", flush=True)
    found = [row for row in rows if row["right_thing"]]
    summary: dict[str, float] = {
        name: float(np.median([row[name] for row in found])) for name in Sums().figures()
    }
    summary |= {"right_thing": len(found) / len(rows), "things": len(rows)}
    print(json.dumps(summary, indent=1))
    write_report(json_file, summary)


def _animals(scene: Path, habitat: Habitat) -> list[Placed]:
    """Animals that many photos show and whose name no other thing has."""
    listed = json.loads((scene / "scene.json").read_text())["instances"]
    names = [one["phrases"][0] for one in listed]
    seen = {one["asset"] for one in listed if one["views"] >= MIN_VIEWS}
    kinds = ("animal", "bird")
    return [
        item
        for item in habitat.items
        if item.asset.kind in kinds
        and item.asset.name in seen
        and names.count(item.asset.phrases[0]) == 1
    ]


def measured(
    run: Run, habitat: Habitat, thing: Placed, views: int, pictures: Path | None
) -> dict[str, float]:
    """Figures of one thing that is taken out."""
    items = run.model.items
    items.show(Population())
    try:
        clearing = found_clearing(Console(quiet=True), run, thing.asset.phrases[0])
    except LerfWildError as error:
        print(error)
        return {"right_thing": 0.0}
    offset_2 = np.array(clearing.position[:2]) - thing.position_3[:2]
    is_right = float(np.linalg.norm(offset_2)) < max(clearing.half_lengths_m)
    without = replace(habitat, items=tuple(one for one in habitat.items if one is not thing))
    sums = Sums()
    for index in _best_views(run, habitat, thing, views):
        camera = dict(held_out_cameras(run.scene))[index]
        truth = render(without.scene(), camera, 2, index).rgb
        is_thing = render(habitat.scene(), camera, 1, index).instances == thing.object_id
        items.show(Population())
        before = run.answer(run.dataset("held-out").cameras, index, None).rgb_HW3
        items.show(msgspec.structs.replace(Population(), clearings=(clearing,)))
        after = run.answer(run.dataset("held-out").cameras, index, None).rgb_HW3
        _add(sums, before, after, truth, is_thing)
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            name = f"habitat{habitat.seed}_{thing.asset.name.replace(' ', '_')}_{index:03d}.png"
            Image.fromarray(np.concatenate([before, after, truth], axis=1)).save(pictures / name)
    items.show(Population())
    return sums.figures() | {"right_thing": float(is_right)}


def _best_views(run: Run, habitat: Habitat, thing: Placed, count: int) -> Sequence[int]:
    pixels = {
        index: int((render(habitat.scene(), camera, 1, index).instances == thing.object_id).sum())
        for index, camera in held_out_cameras(run.scene)
    }
    best = sorted(pixels, key=lambda index: -pixels[index])[:count]
    return [index for index in best if pixels[index] >= MIN_PIXELS]


def _add(
    sums: Sums, before: np.ndarray, after: np.ndarray, truth: np.ndarray, is_thing: np.ndarray
) -> None:
    error_before, error_after = before.astype(float) - truth, after.astype(float) - truth
    sums.cleared += float(np.square(error_after[is_thing]).sum())
    sums.left += float(np.square(error_before[is_thing]).sum())
    sums.values += 3 * int(is_thing.sum())
    sums.around += float(np.square(error_before[~is_thing]).sum())
    sums.around_values += 3 * int((~is_thing).sum())
    is_far = distance_transform_edt(~is_thing) > 0.1 * truth.shape[1]
    moved = np.abs(after.astype(int) - before).max(axis=-1) > MOVED
    sums.far += int(is_far.sum())
    sums.far_moved += int((is_far & moved).sum())


def _psnr(squared: float, values: int) -> float:
    return 10 * math.log10(255**2 * max(values, 1) / max(squared, 1e-9))


if __name__ == "__main__":
    tyro.cli(main)
