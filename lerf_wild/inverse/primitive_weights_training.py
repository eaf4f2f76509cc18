"""Makes the bundled weights: `python -m lerf_wild.inverse.primitive_weights_training --help`."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
import tyro
from torch import Tensor

from lerf_wild.errors import InputError
from lerf_wild.inverse.primitive_budget import draw_varied
from lerf_wild.inverse.primitive_setups import REFERENCE, Setup, find_setup
from lerf_wild.inverse.primitive_training import (
    Batches,
    PrimitiveTrainer,
    TrainingSpec,
    run,
    start_from,
)
from lerf_wild.inverse.primitive_weights import save_network
from lerf_wild.render.primitive_scenes import PrimitiveScenes
from lerf_wild.render.primitives_soft import hard_image
from lerf_wild.synth.primitives import REFERENCE_TRAIN, reference_scenes

EMPTY_SHARE = 0.02
"""Share of fresh scenes without an object, so that an empty picture is known."""


def train(
    output_dir: Path,
    setup: Literal["reference", "perspective", "free-camera"] = "reference",
    steps: int = 6000,
    learning_rate: float = 1.5e-3,
    decay_share: float = 0.4,
    warmup: int = 300,
    seed: int = 1,
    reference_budget: bool = False,
    initial: Path | None = None,
    threads: int = 1,
) -> None:
    """Trains, or goes on where the folder's checkpoint stands, and writes `weights.safetensors`.

    Args:
        output_dir: Folder of the run.
        setup: Camera, light and primitives.
        steps: Optimiser steps in all.
        learning_rate: Its peak.
        decay_share: Share of the steps over which it falls to 0.
        warmup: Steps over which it rises.
        seed: Of scenes and initial weights.
        reference_budget: Train on the reference's 3,000 scenes alone, varied by symmetries.
        initial: Checkpoint of another run whose weights to begin with.
        threads: Processor cores to use.
    """
    torch.set_num_threads(threads)
    chosen = find_setup(setup)
    if reference_budget and chosen is not REFERENCE:
        raise InputError("--reference-budget needs the set-up reference.")
    spec = TrainingSpec(
        steps=steps,
        learning_rate=learning_rate,
        decay_share=decay_share,
        warmup=warmup,
        seed=seed,
    )
    trainer = PrimitiveTrainer(spec, budget_batches() if reference_budget else fresh(chosen))
    if initial is not None:
        start_from(trainer, initial)
    run(trainer, output_dir)
    save_network(output_dir / "weights.safetensors", trainer.average, {"setup": chosen.name})


def fresh(setup: Setup) -> Batches:
    """Scenes rendered as they are needed, in picture coordinates."""
    setup = replace(setup, sampler=replace(setup.sampler, empty_share=EMPTY_SHARE))

    def draw(count: int, generator: torch.Generator) -> tuple[Tensor, PrimitiveScenes]:
        images, scenes = setup.draw(count, generator)
        return images, setup.to_picture(scenes)

    return draw


def budget_batches() -> Batches:
    """The reference's 3,000 training scenes of its seed 0, varied by symmetries."""
    scenes = reference_scenes(REFERENCE_TRAIN, 0)[0]
    images = hard_image(scenes, REFERENCE.view)

    def draw(count: int, generator: torch.Generator) -> tuple[Tensor, PrimitiveScenes]:
        return draw_varied(images, scenes, count, generator)

    return draw


if __name__ == "__main__":
    tyro.cli(train)
