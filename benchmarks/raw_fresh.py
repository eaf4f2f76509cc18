"""What the reader makes of assets that training never saw, without the held out ones.

    python -m benchmarks.raw_fresh --json FILE

Several folds: each has 24 new varied individuals, scenes made of them alone, and a library of them
and of the starter assets that training uses. Weights of cues are chosen here, so that held out
assets stay unseen until figures are taken.
"""

from __future__ import annotations

from pathlib import Path

import torch
import tyro

from lerf_wild.assets.scene_assets import starter_names, varied_names
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.inverse.program_detector import ground_embeddings
from lerf_wild.inverse.program_evaluation import figures_of, read_samples, records_of
from lerf_wild.inverse.program_library import concatenated
from lerf_wild.inverse.program_samples import Sample
from lerf_wild.inverse.program_templates import library_templates
from lerf_wild.inverse.program_weights import BUNDLED, READER, load_reader
from lerf_wild.synth.raw_data import FRESH, RawJob, decode, scene_samples

SEED = 50_000
EACH = 4
"""New individuals of each kind in a fold."""


def main(
    folds: int = 6,
    first_fold: int = 0,
    scenes: int = 60,
    weights: Path = BUNDLED,
    json_file: JsonFile = None,
) -> None:
    """Reads scenes of new assets.

    Args:
        folds: How many sets of new assets.
        first_fold: The first of them.
        scenes: Scenes of each, one picture a scene.
        weights: Folder of the reader.
        json_file: Where to write the figures as JSON.
    """
    torch.set_num_threads(1)
    model, _, threshold = load_reader(weights / READER)
    known = library_templates(model.crops, starter_names())
    ground, records = ground_embeddings(), []
    for fold in range(first_fold, first_fold + folds):
        names, samples = _fold(fold, scenes)
        templates = concatenated(known, library_templates(model.crops, names))
        records += records_of(samples, read_samples(model, samples, templates, ground, threshold))
        print(f"fold {fold}: {len(records)} pictures so far", flush=True)
    figures = figures_of(records)
    for name, value in figures.items():
        print(f"{name}: {value:.4f}")
    write_report(json_file, figures)


def _fold(fold: int, scenes: int) -> tuple[tuple[str, ...], list[Sample]]:
    """New assets and pictures of them."""
    first = FRESH.stop + EACH * fold
    names = varied_names(range(first, first + EACH))
    job = RawJob(seed=SEED + fold, views=1)
    parts = [pair for scene in range(scenes) for pair in scene_samples(job, scene, names)]
    return names, [Sample(*decode(*pair)) for pair in parts]


if __name__ == "__main__":
    tyro.cli(main)
