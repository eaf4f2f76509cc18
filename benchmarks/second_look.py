"""What a second look at the photos adds to what a field says, on habitats whose truth is known.

Asked are the names of each habitat's things that MIN_VIEWS photos or more show, and the names of
other things. Each figure stands for the field alone and, with `look_`, for field and photos:

    missed        things that are there and are not found
    wrongly       names of others that are taken to be there
    on_the_thing  of things that the field alone finds, share whose most relevant place lies within
                  NEAR_M of the thing's outline, seen from above

Run with `python -m benchmarks.second_look --runs RUN RUN ... --json FILE`.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tyro

from benchmarks.wildlife_truth import same_habitat
from benchmarks.wildlife_words import gap
from lerf_wild.assets.library import starter_library
from lerf_wild.cli.answers import Answer, answers
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.runs import open_run
from lerf_wild.cli.sampling import sample_scene
from lerf_wild.cli.second_look import second_look
from lerf_wild.synth.habitat import Habitat

POINTS = 40_000
MIN_VIEWS, NEAR_M = 30, 0.3
STRANGERS = ("giraffe", "penguin", "owl", "squirrel", "hedgehog", "frog", "snake", "bench", "car",
             "tent", "person", "bucket", "campfire", "waterfall", "bicycle")  # fmt: skip


def main(runs: tuple[Path, ...], json_file: JsonFile = None) -> None:
    """Asks each run with and without its photos and writes the sums.

    Args:
        runs: Folders or config.yml of runs that were trained on habitats.
        json_file: Where to write the figures.
    """
    rows = [measured(path) for path in runs]
    total = {name: sum(row[name] for row in rows) for name in rows[0]}
    for name in ("on_the_thing", "look_on_the_thing"):
        total[name] = total[name] / max(total["found"], 1)
    print(json.dumps(total, indent=1))
    write_report(json_file, total | {"runs": len(runs)})


def measured(path: Path) -> dict[str, float]:
    """Counts of one run."""
    run = open_run(path)
    listed = json.loads((run.scene / "scene.json").read_text())["instances"]
    known = {phrase for one in listed for phrase in one["phrases"]}
    own = {one["phrases"][0] for one in listed if one["views"] >= MIN_VIEWS}
    others = ({one.phrases[0] for one in starter_library()} | {*STRANGERS}) - known
    asked = run.query(sorted(own | others))
    found = sample_scene(run, asked, POINTS)
    plain, looked = answers(run, found), answers(run, found, second_look(run, asked, found))
    sure = {one.phrase for one in plain if one.present} & own
    habitat = same_habitat(run.scene)
    figures = {"things": len(own), "others": len(others), "found": len(sure)}
    for name, given in (("", plain), ("look_", looked)):
        there = {one.phrase for one in given if one.present}
        figures[f"{name}missed"] = len(own - there)
        figures[f"{name}wrongly"] = len(there & others)
        figures[f"{name}on_the_thing"] = sum(on_the_thing(habitat, given, sure))
    print(f"{path}: {figures}", flush=True)
    return figures


def on_the_thing(habitat: Habitat, given: Iterable[Answer], names: set[str]) -> list[bool]:
    """Whether the most relevant place of each name lies on what is called so."""
    return [
        min(
            gap(np.array([one.position[:2]]), item.vertices()[:, :2])
            for item in habitat.items
            if item.asset.phrases[0] == one.phrase
        )
        <= NEAR_M
        for one in given
        if one.phrase in names
    ]


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.FlagConversionOff,))
