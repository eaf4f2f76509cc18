"""Makes the bundled reader: `python -m lerf_wild.inverse.program_weights_training --help`.

The commands, from nothing to the page of docs, are in `lerf_wild/weights/raw/README.md`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from rich.console import Console
from torch.nn import functional

from lerf_wild.assets.recipes import STARTERS
from lerf_wild.inverse.program_candidates import boxes_seen, kept
from lerf_wild.inverse.program_counting import Counting, Seen, fit_counting
from lerf_wild.inverse.program_data import (
    asset_names,
    drawn_samples,
    labelled_templates,
    load_samples,
)
from lerf_wild.inverse.program_decoder import DecoderSpec
from lerf_wild.inverse.program_detector import SIZE
from lerf_wild.inverse.program_reader import LabelledCrops, ProgramReader
from lerf_wild.inverse.program_samples import make_batch
from lerf_wild.inverse.program_templates import library_templates
from lerf_wild.inverse.program_training import ReaderTrainer, ReaderTraining, endless
from lerf_wild.inverse.program_training import train as train_reader
from lerf_wild.inverse.program_weights import (
    READER,
    TEMPLATES,
    load_reader,
    save_reader,
    save_templates,
)

REPORT_EVERY = 25
VALIDATION_SEED = 10_000
PARTS = 4
"""Parts of the pictures in a cross-validation."""
PROTOTYPE_LENGTH = 5.0
"""The longer prototypes are, the slower they turn."""
BASELINES = {
    "none": DecoderSpec(),
    "permuted_ids": DecoderSpec(permuted_ids=True),
    "linear_heads": DecoderSpec(linear_heads=True),
    "no_feedback": DecoderSpec(feedback=False),
}


def train(
    data: tuple[Path, ...],
    output_path: Path,
    part: Literal["all", "pictures", "objects"] = "all",
    steps: int = 3000,
    minutes: float = 60.0,
    batch_size: int = 8,
    learning_rate: float = 1e-3,
    seed: int = 1,
    threads: int = 1,
    initial: Path | None = None,
    baseline: Literal["none", "permuted_ids", "linear_heads", "no_feedback"] = "none",
    low_precision: bool = True,
    orthogonal: bool = False,
) -> None:
    """Trains a reader, or one of its two independent parts.

    Args:
        data: Folders that `synth raw` wrote.
        output_path: Where the averaged weights go.
        part: The detector (pictures), the rest (objects), or both.
        steps: Optimiser steps at most.
        minutes: Processor minutes at most; the rate falls to 0 by the earlier of the two.
        batch_size: Pictures in a step.
        learning_rate: Its peak; wild-clip's own stages get 0.3 of it.
        seed: Of initial weights and the order of pictures.
        threads: Processor cores to use.
        initial: Weights to go on from; those of a reader of other assets without its prototypes.
        baseline: Which of RAW's choices to train with instead of ours.
        low_precision: Whether networks run in bfloat16; processors without it are three times
            slower so.
        orthogonal: Whether large matrices take orthogonal steps, or all those of AdamW.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    samples = load_samples(data)
    names = asset_names(samples)
    model = ProgramReader(BASELINES[baseline], len(names))
    # The detector sees no templates.
    shown = labelled_templates(names if part != "pictures" else names[:1])
    if initial is not None:
        take_over(model, load_reader(initial)[0])
        begin_prototypes(model, shown)
    spec = ReaderTraining(
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        low_precision=low_precision,
        orthogonal=orthogonal,
        part=part,
    )
    trainer = ReaderTrainer(model, shown, spec)
    batch = make_batch(samples, names)
    # Thousands of pictures twice in memory are too many.
    del samples
    batches = endless(batch, batch_size, seed)
    save_reader(output_path, train_reader(trainer, batches, minutes, _reporter()), names)


def _reporter() -> Callable[[int, dict[str, float]], None]:
    """Prints the parts of the loss now and then."""
    console, start = Console(), time.monotonic()

    def report(step: int, parts: dict[str, float]) -> None:
        if step % REPORT_EVERY == 0:
            said = "  ".join(f"{name} {value:.3f}" for name, value in parts.items())
            console.print(f"step {step:5d}  {said}  {time.monotonic() - start:.0f} s")

    return report


def join(pictures: Path, objects: Path, output_dir: Path) -> None:
    """Puts the two parts of a reader together and makes the templates of the starter library;
    baselines are joined with the same detector.

    Args:
        pictures: Weights whose detector is used.
        objects: Weights of which all else is used.
        output_dir: Folder of the bundled files.
    """
    model, names, _ = load_reader(objects)
    model.detector.load_state_dict(load_reader(pictures)[0].detector.state_dict())
    templates = library_templates(model.crops, tuple(STARTERS))
    save_reader(output_dir / READER, model, names)
    save_templates(output_dir / TEMPLATES, templates)


def count(pictures: Path, output_path: Path, scenes: int = 150, fresh: int = 300) -> None:
    """Fits which of a detector's boxes count, on validation scenes; prints how many pictures are
    counted right, each by a fit to others.

    Args:
        pictures: Weights of the detector.
        output_path: Where they go with what was fitted.
        scenes: Validation scenes of known assets.
        fresh: Validation scenes of assets that training never saw.
    """
    model, names, threshold = load_reader(pictures)
    seen = {
        pool: boxes_seen(model.detector, drawn_samples(number, 1, VALIDATION_SEED, pool))
        for pool, number in (("starter", scenes), ("fresh", fresh))
    }
    for pool, right in cross_validated(seen, threshold).items():
        Console().print(f"{pool}: {right:.3f} of {len(seen[pool])} pictures counted right")
    fit_counting(model.detector.counting, [row for rows in seen.values() for row in rows], SIZE)
    save_reader(output_path, model, names, threshold)


@torch.no_grad()
def cross_validated(seen: Mapping[str, Sequence[Seen]], threshold: float) -> dict[str, float]:
    """Share of each series' pictures in which the right number of boxes counts, by fits to all
    series without every fourth picture."""
    right = {name: [] for name in seen}
    for part in range(PARTS):
        counting = Counting()
        others = [row for rows in seen.values() for i, row in enumerate(rows) if i % PARTS != part]
        fit_counting(counting, others, SIZE)
        for name, rows in seen.items():
            for row in rows[part::PARTS]:
                found = kept(row.boxes_N4, counting(*row[:2], SIZE), threshold)
                right[name].append(len(found) == len(row.true_M4))
    return {name: float(np.mean(row)) for name, row in right.items()}


@torch.no_grad()
def begin_prototypes(model: ProgramReader, shown: LabelledCrops) -> None:
    """Puts the prototype of each asset that is shown where the crop network sees it already."""
    unit = [model.crops(part.float() / 255.0).embedding_NA for part in shown.crops_N3SS.split(64)]
    total = torch.zeros_like(model.prototypes).index_add_(0, shown.asset_N, torch.cat(unit))
    seen = shown.asset_N.unique()
    model.prototypes[seen] = PROTOTYPE_LENGTH * functional.normalize(total[seen], dim=-1)


def take_over(model: ProgramReader, other: ProgramReader) -> None:
    """Weights of another reader wherever they fit; numbers of assets differ from data to data."""
    own = model.state_dict()
    shapes = {name: value.shape for name, value in own.items()}
    fitting = {k: v for k, v in other.state_dict().items() if shapes.get(k) == v.shape}
    model.load_state_dict(fitting, strict=False)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"train": train, "count": count, "join": join})
