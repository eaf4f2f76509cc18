"""Training of the primitive network on scenes that are rendered as they are needed.

`ns-train air` takes the same steps inside nerfstudio's trainer; `primitive_weights_training` made
the bundled weights with the loop below.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from lerf_wild.errors import TrainingError
from lerf_wild.inverse.averaging import update_average
from lerf_wild.inverse.primitive_losses import LossWeights, primitive_losses
from lerf_wild.inverse.primitive_network import NetworkSpec, PrimitiveNetwork
from lerf_wild.inverse.trainers import read_state, under, write_state
from lerf_wild.inverse.weight_files import load_tensors
from lerf_wild.render.primitive_scenes import PrimitiveScenes
from lerf_wild.schedulers import linear_share

Batches = Callable[[int, torch.Generator], tuple[Tensor, PrimitiveScenes]]
"""Draws a number of images [B, 64, 64] and their scenes."""


@dataclass(frozen=True)
class TrainingSpec:
    """How long and how fast to train."""

    steps: int = 10_000
    """Optimiser steps."""
    batch_size: int = 64
    """Scenes per step."""
    learning_rate: float = 1.5e-3
    """Peak of the learning rate."""
    warmup: int = 300
    """Steps over which the learning rate rises from 0."""
    decay_share: float = 0.4
    """Share of the steps, at the end, over which the learning rate falls to 0."""
    weight_decay: float = 1e-2
    averaging: float = 0.998
    """Decay per step of the running average of the weights, which is what is used."""
    seed: int = 1
    """Seeds 10,000 and above are kept for validation, see docs/air.md."""
    low_precision: bool = True
    """bfloat16 convolutions; twice as fast on processors that have the instruction."""
    network: NetworkSpec = field(default_factory=NetworkSpec)
    weights: LossWeights = field(default_factory=LossWeights)


def learning_rate(step: int, spec: TrainingSpec) -> float:
    """Warm-up, plateau, linear decay to 0."""
    share = linear_share(step, spec.steps, spec.warmup, spec.decay_share)
    return spec.learning_rate * share


class PrimitiveTrainer:
    """A network, its running average and its optimiser."""

    def __init__(self, spec: TrainingSpec, batches: Batches) -> None:
        torch.manual_seed(spec.seed)
        self.spec, self.batches, self.step = spec, batches, 0
        self.network = PrimitiveNetwork(spec.network).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).eval()
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay
        )

    def train_step(self) -> dict[str, float]:
        """One optimiser step on fresh scenes; raises TrainingError where the loss isn't finite.

        The generator is seeded by the step, so that a resumed run sees the scenes it would have
        seen without the break.
        """
        generator = torch.Generator().manual_seed(self.spec.seed * 1_000_003 + self.step)
        images, scenes = self.batches(self.spec.batch_size, generator)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, self.spec)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.spec.low_precision):
            queries, dense = self.network(images)
        parts = primitive_losses(queries, dense, scenes, self.spec.weights)
        total = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(total):
            raise TrainingError(
                f"The loss at step {self.step} is {float(total.detach())}; lower the learning rate."
            )
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        update_average(self.average, self.network, self.step, self.spec.averaging)
        self.step += 1
        return {name: float(part.detach()) for name, part in parts.items()}

    def save(self, path: Path) -> None:
        """Writes everything that is needed to go on, atomically."""
        write_state(path, self, {"step": str(self.step), "spec": json.dumps(asdict(self.spec))})

    def load(self, path: Path) -> None:
        """Reads what `save` wrote; raises ModelFileError where the file doesn't fit."""
        self.step = int(read_state(path, self)["step"])


def start_from(trainer: PrimitiveTrainer, checkpoint: Path) -> None:
    """Gives a new trainer the averaged weights of another one's checkpoint."""
    averaged = under("average.", load_tensors(checkpoint)[0])
    trainer.network.load_state_dict(averaged)
    trainer.average.load_state_dict(averaged)


def run(
    trainer: PrimitiveTrainer, folder: Path, save_every_s: float = 180.0, log_every: int = 50
) -> None:
    """Trains to the last step; writes `checkpoint.safetensors` and appends to `log.jsonl`."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.safetensors"
    if checkpoint.exists():
        trainer.load(checkpoint)
    saved = started = time.monotonic()
    sums: dict[str, float] = {}
    while trainer.step < trainer.spec.steps:
        for name, value in trainer.train_step().items():
            sums[name] = sums.get(name, 0.0) + value / log_every
        if trainer.step % log_every == 0:
            seconds = time.monotonic() - started
            record = {"step": trainer.step, "seconds": round(seconds, 1), **sums}
            with (folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(record) + "\n")
            sums = {}
        if time.monotonic() - saved > save_every_s:
            trainer.save(checkpoint)
            saved = time.monotonic()
    trainer.save(checkpoint)
