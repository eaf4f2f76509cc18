"""Trains RAW's own decoder at a laptop's size.

`python -m lerf_wild.inverse.program_llama_training --help`. The language model begins from nothing,
with the grammar's own tokens; wild-clip stands frozen in CLIP's place.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from torch import Tensor, nn

from lerf_wild.errors import TrainingError
from lerf_wild.inverse.averaging import update_average
from lerf_wild.inverse.program_data import asset_names, load_samples
from lerf_wild.inverse.program_detector import ground_embeddings
from lerf_wild.inverse.program_llama import LlamaReader, LlamaSpec
from lerf_wild.inverse.program_llama_files import WriterSizes, make_writer, save_writer
from lerf_wild.inverse.program_llama_lessons import Looks
from lerf_wild.inverse.program_llama_patches import WILD_CLIP, Patches, open_patches
from lerf_wild.inverse.program_samples import Sample
from lerf_wild.inverse.program_templates import Templates
from lerf_wild.inverse.program_text import Slots
from lerf_wild.inverse.program_weights import BUNDLED, TEMPLATES, load_templates
from lerf_wild.inverse.trainers import schedule

REPORT_EVERY = 25
ENCODED_AT_ONCE = 32


@dataclass(frozen=True)
class Lessons:
    """Pictures as patch tokens (N, P, V), float16, and their programs."""

    patches_NPV: Tensor
    programs: tuple[Slots, ...]


@dataclass(frozen=True)
class WriterTraining:
    """How the decoder is trained."""

    steps: int = 20_000
    batch_size: int = 8
    learning_rate: float = 1e-3
    warmup: int = 100
    averaging: float = 0.998
    seed: int = 1


def make_lessons(samples: Sequence[Sample], encode: Patches, looks: Looks) -> Lessons:
    """What a decoder learns from samples, encoded once."""
    pictures = torch.from_numpy(np.stack([sample.rgb for sample in samples]))
    parts = pictures.permute(0, 3, 1, 2).split(ENCODED_AT_ONCE)
    patches = torch.cat([encode(part).half() for part in parts])
    return Lessons(patches, tuple(looks.lesson(sample.program) for sample in samples))


def train_writer(
    model: LlamaReader,
    lessons: Lessons,
    spec: WriterTraining,
    minutes: float = math.inf,
    report: Callable[[int, dict[str, float]], None] = lambda step, parts: None,
) -> LlamaReader:
    """Trains a decoder in place, for the spec's steps or until the processor time is spent; it ends
    with the running average.

    Raises:
        TrainingError: when a part of the loss isn't finite.
    """
    # Of a large language model hardly anything is learned, and only that is averaged.
    learned = nn.ParameterList(p for p in model.parameters() if p.requires_grad)
    average = copy.deepcopy(learned)
    optimiser = torch.optim.AdamW(learned.parameters(), spec.learning_rate, weight_decay=0.0)
    device = learned[0].device
    generator, start = torch.Generator().manual_seed(spec.seed), time.process_time()
    for index in range(spec.steps):
        clock = (time.process_time() - start) / (60.0 * minutes)
        spent = max(index / spec.steps, clock)
        if spent >= 1.0:
            break
        for group in optimiser.param_groups:
            group["lr"] = spec.learning_rate * schedule(index, spec.warmup, spent)
        rows = torch.randint(len(lessons.programs), (spec.batch_size,), generator=generator)
        programs = [lessons.programs[row] for row in rows.tolist()]
        parts = model.losses(lessons.patches_NPV[rows].to(device).float(), programs)
        total = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(total):
            raise TrainingError(f"The loss at step {index} isn't finite; lower the rate.")
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(learned.parameters(), 1.0)
        # Where two singular values of a rotation are alike its gradient isn't finite.
        if torch.isfinite(norm):
            optimiser.step()
        update_average(average, learned, index, spec.averaging)
        report(index, {name: float(part.detach()) for name, part in parts.items()})
    learned.load_state_dict(average.state_dict())
    return model.eval()


def main(
    data: tuple[Path, ...],
    output_path: Path,
    by_number: bool = False,
    language: str = "",
    encoder: str = WILD_CLIP,
    width: int = 128,
    layers: int = 4,
    rank: int = 128,
    feedback: bool = True,
    steps: int = 20_000,
    minutes: float = 60.0,
    batch_size: int = 8,
    learning_rate: float = 2e-3,
    seed: int = 1,
    threads: int = 1,
    device: str = "cpu",
    low_precision: bool = False,
) -> None:
    """Trains a decoder that writes whole programs.

    Args:
        data: Folders that `synth raw --assets starter` wrote.
        output_path: Where the averaged weights go; call it writer.safetensors, in a folder that
            `raw eval --baselines` is given.
        by_number: Whether assets are named by digits of a permuted number, RAW's baseline, or by
            embeddings.
        language: Folder or name of a trained language model, which gets LoRA; none begins from
            nothing, with the grammar's own tokens. RAW's is lmsys/vicuna-7b-v1.3.
        encoder: What sees, frozen: wild-clip, the bundled reader's detector, or a CLIP vision model
            of transformers. RAW's is openai/clip-vit-large-patch14-336.
        width: Width of a language model that begins from nothing.
        layers: Its layers.
        rank: Of the LoRA of a trained one.
        feedback: Whether predicted vectors are fed back, which RAW does not do.
        steps: Optimiser steps at most.
        minutes: Processor minutes at most; the rate falls to 0 by the earlier of the two.
        batch_size: Pictures in a step.
        learning_rate: Its peak; RAW's 2e-5 is for a trained language model.
        seed: Of initial weights and the order of pictures.
        threads: Processor cores to use.
        device: Where it is trained; pictures are encoded on the processor.
        low_precision: Whether the language model runs in bfloat16.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    sizes = WriterSizes(width, layers, language, encoder, by_number)
    encode, ground = open_patches(encoder), ground_embeddings()
    # A language model that begins from nothing has no projector to begin with either.
    lora = {"rank": rank, "alpha": 2 * rank} if language else {"rank": 0, "standardised": True}
    width_in, look = encode.width, ground.shape[1]
    llama = LlamaSpec(width_in, look, feedback=feedback, low_precision=low_precision, **lora)
    model = make_writer(sizes, llama).to(device)
    samples = load_samples(data)
    names = asset_names(samples)
    lessons = make_lessons(samples, encode, Looks(bundled_templates(), ground, names, by_number))
    # Thousands of pictures twice in memory are too many.
    del samples
    spec = WriterTraining(steps, batch_size, learning_rate, seed=seed)
    save_writer(output_path, train_writer(model, lessons, spec, minutes, _reporter()), sizes, names)


def bundled_templates() -> Templates:
    """The templates of the starter library."""
    return load_templates(BUNDLED / TEMPLATES)


def _reporter() -> Callable[[int, dict[str, float]], None]:
    """Prints the parts of the loss now and then."""
    console, start = Console(), time.monotonic()

    def report(step: int, parts: dict[str, float]) -> None:
        if step % REPORT_EVERY == 0:
            said = "  ".join(f"{name} {value:.3f}" for name, value in parts.items())
            console.print(f"step {step:5d}  {said}  {time.monotonic() - start:.0f} s")

    return report


if __name__ == "__main__":
    tyro.cli(main)
