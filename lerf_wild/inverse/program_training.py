"""Trains the program reader; `program_weights_training` and `ns-train raw` are its commands."""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lerf_wild.errors import TrainingError
from lerf_wild.inverse.averaging import update_average
from lerf_wild.inverse.orthogonal_steps import OrthogonalSteps, is_large
from lerf_wild.inverse.program_detector import SIZE, ground_embeddings
from lerf_wild.inverse.program_reader import LabelledCrops, ProgramReader
from lerf_wild.inverse.program_samples import SETTING_NAMES, Batch
from lerf_wild.inverse.trainers import schedule

DECAY = 0.01
SIDES = (SIZE, 192, SIZE, 320)
"""Sizes at which the detector sees pictures, one batch after the other."""
SINE = len(SETTING_NAMES)
"""Place of the sine of the sun's rotation among the scaled settings."""


@dataclass(frozen=True)
class ReaderTraining:
    """How the reader is trained."""

    steps: int = 3000
    batch_size: int = 8
    learning_rate: float = 1e-3
    trunk_share: float = 0.3
    """Share of the rate at which wild-clip's own stages go on learning."""
    warmup: int = 100
    averaging: float = 0.998
    seed: int = 1
    low_precision: bool = True
    orthogonal: bool = False
    """Whether large matrices are trained by `OrthogonalSteps`, or all by AdamW."""
    part: str = "all"
    """"pictures" trains the detector alone, "objects" the rest; both may run at the same time."""
    sides: tuple[int, ...] = SIDES


class ReaderTrainer:
    """A reader, its running average, and the state of the optimiser."""

    def __init__(
        self, model: ProgramReader, templates: LabelledCrops, spec: ReaderTraining
    ) -> None:
        self.model, self.templates, self.spec = model, templates, spec
        self.average = copy.deepcopy(model).requires_grad_(False).eval()
        self.ground = ground_embeddings()
        self.optimiser = _optimiser(model, spec)
        self.generator = torch.Generator().manual_seed(spec.seed)

    def step(self, index: int, batch: Batch, spent: float) -> dict[str, float]:
        """One update; ``spent`` is the share of the training that is over.

        Raises:
            TrainingError: when a part of the loss isn't finite.
        """
        rate = self.spec.learning_rate * schedule(index, self.spec.warmup, spent)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]
        batch = augmented(batch, self.generator)
        parts: dict[str, Tensor] = {}
        if self.spec.part != "objects":
            side = self.spec.sides[index % len(self.spec.sides)]
            parts |= self.model.picture_losses(batch, self.ground, self.spec.low_precision, side)
        if self.spec.part != "pictures":
            rows = torch.randint(len(self.templates.asset_N), (8,), generator=self.generator)
            shown = LabelledCrops(*(part[rows] for part in self.templates))
            parts |= self.model.object_losses(batch, shown, self.generator, self.spec.low_precision)
        total = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(total):
            raise TrainingError(f"The loss at step {index} isn't finite; lower the rate.")
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        # Where two singular values of a rotation are alike its gradient isn't finite.
        if torch.isfinite(norm):
            self.optimiser.step()
        update_average(self.average, self.model, index, self.spec.averaging)
        return {name: float(part.detach()) for name, part in parts.items()}


def _optimiser(model: ProgramReader, spec: ReaderTraining) -> torch.optim.Optimizer:
    """With a ``share`` of the rate in each of its groups."""
    trunk = [p for n, p in model.named_parameters() if ".trunk." in n]
    rest = [p for n, p in model.named_parameters() if ".trunk." not in n]
    groups = [{"params": trunk, "share": spec.trunk_share}, {"params": rest, "share": 1.0}]
    if not spec.orthogonal:
        return torch.optim.AdamW(groups, spec.learning_rate, weight_decay=DECAY)
    split = [[p for p in rest if is_large(p) == large] for large in (True, False)]
    steps = OrthogonalSteps(*split, spec.learning_rate, DECAY, low_precision=spec.low_precision)
    for group in steps.param_groups:
        group["share"] = 1.0
    for large in (True, False):
        part = [p for p in trunk if is_large(p) == large]
        steps.add_param_group({"params": part, "large": large, "share": spec.trunk_share})
    return steps


def train(
    trainer: ReaderTrainer,
    batches: Iterator[Batch],
    minutes: float = math.inf,
    report: Callable[[int, dict[str, float]], None] = lambda step, parts: None,
) -> ProgramReader:
    """Train for the spec's steps or until the processor time is spent; returns the average."""
    start = time.process_time()
    for index in range(trainer.spec.steps):
        clock = (time.process_time() - start) / (60.0 * minutes)
        spent = max(index / trainer.spec.steps, clock)
        if spent >= 1.0:
            break
        report(index, trainer.step(index, next(batches), spent))
    return trainer.average


def augmented(batch: Batch, generator: torch.Generator) -> Batch:
    """Half of the pictures mirrored, all of them a little brighter or darker."""
    flip = torch.rand(len(batch.rgb_N3HW), generator=generator) < 0.5
    gain = 1.0 + 0.15 * (2.0 * torch.rand(len(flip), 3, 1, 1, generator=generator) - 1.0)
    rgb = (batch.rgb_N3HW.float() * gain).clamp(0, 255).to(torch.uint8)
    mirror = mirrored(batch)
    mixed = {
        name: _choose(flip, getattr(mirror, name), getattr(batch, name))
        for name in ("boxes_NK4", "yaw_NK", "foot_NK2", "settings_NS")
    }
    return replace(batch, rgb_N3HW=_choose(flip, rgb.flip(-1), rgb), **mixed)


def mirrored(batch: Batch) -> Batch:
    """Left and right exchanged; animals are about symmetric, so a mirrored one is one that faces
    the other way."""
    side = batch.rgb_N3HW.shape[-1]
    left, top, right, bottom = batch.boxes_NK4.unbind(dim=-1)
    settings = batch.settings_NS.clone()
    settings[:, SINE] *= -1
    x, y = batch.foot_NK2.unbind(dim=-1)
    return replace(
        batch,
        rgb_N3HW=batch.rgb_N3HW.flip(-1),
        boxes_NK4=torch.stack([side - right, top, side - left, bottom], dim=-1),
        yaw_NK=math.pi - batch.yaw_NK,
        foot_NK2=torch.stack([side - x, y], dim=-1),
        settings_NS=settings,
    )


def endless(batch: Batch, size: int, seed: int) -> Iterator[Batch]:
    """Random parts of a batch that holds all samples, every sample once an epoch."""
    for step in itertools.count():
        yield batch.rows(rows_of_step(len(batch.rgb_N3HW), size, seed, step))


def rows_of_step(count: int, size: int, seed: int, step: int) -> Tensor:
    """Which samples (at most ``size``) a step sees, so that a run goes on where it was stopped:
    every sample once an epoch, but for those that fill no whole step."""
    size = min(size, count)
    epoch, place = divmod(step, count // size)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(count, generator=generator)[place * size : (place + 1) * size]


def shuffled(names: Sequence[str]) -> tuple[str, ...]:
    """Names of training assets in the order of their prototypes."""
    return tuple(sorted(set(names)))


def _choose(flip_N: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(flip_N.view(-1, *[1] * (yes.ndim - 1)), yes, no)
