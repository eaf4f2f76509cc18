"""Trains the regressor that comes with the package.

lerf-wild synth genzoo --output-dir train --num 20000 --size 128 --signals False --split train
lerf-wild synth genzoo --output-dir val --num 400 --size 128 --signals False --split val --seed 1
python -m lerf_wild.inverse.animal_training --data train --val val --output-dir run --minutes 60

On two cores, with 96 crops on each:

torchrun --nproc-per-node 2 -m lerf_wild.inverse.animal_training --data train --val val ...
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.errors import TrainingError
from lerf_wild.inverse.animal_augmentation import training_batch
from lerf_wild.inverse.animal_bodies import body_part
from lerf_wild.inverse.animal_losses import LossWeights, answers_losses
from lerf_wild.inverse.animal_network import POSE_SHARE, AnimalNetwork, NetworkSpec
from lerf_wild.inverse.animal_samples import AnimalSamples, joined, load_samples
from lerf_wild.inverse.averaging import update_average
from lerf_wild.inverse.orthogonal_steps import OrthogonalSteps
from lerf_wild.inverse.side_by_side import Processes, join_processes, part_from_processes
from lerf_wild.inverse.trainers import read_state, schedule, write_state

SKIN_EVERY = 10
"""One vertex in so many counts in the losses of skin and shape."""


@dataclass(frozen=True)
class TrainingSpec:
    """How the regressor is trained."""

    steps: int = 20_000
    batch_size: int = 96
    learning_rate: float = 1e-3
    warmup: int = 200
    averaging: float = 0.998
    opening: float = 0.3
    """Share of the training in which little of the pose's gradient reaches the features; then all
    does."""
    augment: bool = True
    narrow_crop: bool = False
    """Blanks an eighth of the crop on either side, as the released GenZoo's input does."""
    seed: int = 1
    low_precision: bool = True
    """bfloat16 in networks and orthogonal steps; twice as fast where the processor has it, and
    slower where it hasn't."""


class AnimalTrainer:
    """A network, its running average, and the state of the optimiser."""

    def __init__(
        self,
        spec: TrainingSpec,
        network: NetworkSpec | None = None,
        processes: Processes | None = None,
    ) -> None:
        torch.manual_seed(spec.seed)
        self.spec, self.processes, model = spec, processes or Processes(), load_quadruped().model
        self.network = AnimalNetwork(network or NetworkSpec(), model)
        self.network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.part = body_part(model, SKIN_EVERY)
        self.body = self.part.body
        self.weights = LossWeights()
        self.optimiser = OrthogonalSteps(
            *self.network.inner_and_outer(), spec.learning_rate, low_precision=spec.low_precision
        )
        self.index, self.seconds = 0, 0.0

    def step(self, samples: AnimalSamples, spent: float) -> dict[str, float]:
        """One update; ``spent`` is the share of the training that is over.

        Raises:
            TrainingError: when a part of the loss isn't finite.
        """
        spec = self.spec
        draw = self.index * self.processes.count + self.processes.rank
        generator = torch.Generator().manual_seed(spec.seed * 1_000_003 + draw)
        rate = spec.learning_rate * schedule(self.index, spec.warmup, spent)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        rows = torch.randint(len(samples), (spec.batch_size,), generator=generator)
        size = self.network.spec.input_px
        batch = training_batch(samples.rows(rows), self.body, size, generator, spec.augment)
        crops = narrowed(batch.crops_B3SS) if spec.narrow_crop else batch.crops_B3SS
        crops = crops.contiguous(memory_format=torch.channels_last)
        self.network.train()
        self.network.pose_share = POSE_SHARE if spent < spec.opening else 1.0
        with torch.autocast("cpu", torch.bfloat16, enabled=spec.low_precision):
            answers = self.network.answers(crops)
        parts = answers_losses(answers, batch, self.part, self.weights)
        total = torch.stack(list(parts.values())).sum()
        value = float(total.detach())
        if not math.isfinite(value):
            raise TrainingError(f"The loss at step {self.index} is {value}; lower the rate.")
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.processes.take_mean_gradients(self.network.parameters())
        nn.utils.clip_grad_norm_(self.network.parameters(), 20.0)
        self.optimiser.step()
        update_average(self.average, self.network, self.index, spec.averaging)
        self.index += 1
        return {name: float(part.detach()) for name, part in parts.items()}


def begin_with(trainer: AnimalTrainer, earlier: AnimalNetwork) -> None:
    """Takes over weights; what an earlier network lacks stays as it begins."""
    trainer.network.load_state_dict(earlier.state_dict(), strict=False)
    trainer.average.load_state_dict(trainer.network.state_dict())


def narrowed(crops_B3SS: Tensor) -> Tensor:
    """Crops with an eighth blanked on either side: what 192 of 256 columns leave."""
    cut = crops_B3SS.shape[-1] // 8
    crops = crops_B3SS.clone()
    crops[..., :cut] = 0.5
    crops[..., -cut:] = 0.5
    return crops


Report = Callable[[AnimalTrainer, dict[str, float]], None]


def _say_nothing(trainer: AnimalTrainer, parts: dict[str, float]) -> None:
    """A report of a step that nobody reads."""


def train(
    trainer: AnimalTrainer,
    samples: AnimalSamples,
    minutes: float = math.inf,
    report: Report = _say_nothing,
) -> AnimalNetwork:
    """Trains until the spec's steps or the processor time are spent; returns the average."""
    begun = time.process_time() - trainer.seconds
    while True:
        trainer.seconds = time.process_time() - begun
        spent = max(trainer.index / trainer.spec.steps, trainer.seconds / (60.0 * minutes))
        spent = trainer.processes.as_first_says(spent)
        if spent >= 1.0:
            return trainer.average
        report(trainer, trainer.step(samples, spent))


def save_state(path: Path, trainer: AnimalTrainer) -> None:
    """Writes all that training needs to go on, atomically."""
    counters = {"index": str(trainer.index), "seconds": str(trainer.seconds)}
    write_state(path, trainer, counters)


def load_state(path: Path, trainer: AnimalTrainer) -> None:
    """Goes on from what `save_state` wrote; raises ModelFileError where it can't be read."""
    counters = read_state(path, trainer)
    trainer.index, trainer.seconds = int(counters["index"]), float(counters["seconds"])


def main(
    data: tuple[Path, ...],
    val: Path,
    output_dir: Path,
    minutes: float = 60.0,
    steps: int = 1_000_000,
    batch_size: int = 96,
    learning_rate: float = 1e-3,
    raw_rotations: bool = False,
    narrow_crop: bool = False,
    augment: bool = True,
    most: int | None = None,
    report_every: int = 250,
    seed: int = 1,
    initial: Path | None = None,
    low_precision: bool = True,
    input_px: int = 96,
) -> None:
    """Trains on shards, goes on where it was stopped, and writes weights and figures.

    Args:
        data: Folders of training shards of `synth genzoo`, all pictures as likely as each other.
        val: Validation shards; the test split is never looked at.
        output_dir: Folder for state, weights and figures.
        minutes: Processor time.
        steps: Most steps.
        batch_size: Crops in a step, of each process.
        learning_rate: Highest rate.
        raw_rotations: For comparison: leaves the nine numbers of a rotation as they are.
        narrow_crop: For comparison: blanks an eighth of the crop on either side.
        augment: Whether crops and colours differ each time.
        most: Pictures to use of each folder.
        report_every: Steps between lines of figures.
        seed: What decides everything.
        initial: Weights to begin with, also of a network without corrections.
        low_precision: Whether networks and orthogonal steps run in bfloat16; processors without it
            are faster without.
        input_px: Side of a crop; weights for one side can begin the training for another.
    """
    from lerf_wild.inverse.animal_weights import load_network

    spec = TrainingSpec(steps, batch_size, learning_rate, seed=seed, low_precision=low_precision)
    spec = replace(spec, augment=augment, narrow_crop=narrow_crop)
    if initial is not None:
        spec = replace(spec, opening=0.0)
    processes = join_processes()
    trainer = AnimalTrainer(spec, NetworkSpec(input_px, raw_rotations=raw_rotations), processes)
    digest = load_quadruped().model.sha256
    samples = joined([load_samples(folder, trainer.body, digest, most) for folder in data])
    held_out = load_samples(val, trainer.body, digest)
    state = output_dir / "state.safetensors"
    if state.exists():
        load_state(state, trainer)
    elif initial is not None:
        begin_with(trainer, load_network(initial, digest)[0])
    reports = _Reporter(held_out, state, report_every) if processes.rank == 0 else _say_nothing
    train(trainer, samples, minutes, reports)
    part_from_processes(processes)
    if processes.rank == 0:
        _write_results(output_dir, trainer, held_out, {"body": digest, "pictures": len(samples)})


def _write_results(
    folder: Path, trainer: AnimalTrainer, held_out: AnimalSamples, about: dict[str, str | int]
) -> None:
    """Writes the average's weights and its figures on the validation split."""
    from lerf_wild.inverse.animal_evaluation import measure
    from lerf_wild.inverse.animal_weights import save_network
    from lerf_wild.storage.atomic import write_json

    figures = measure(trainer.average, held_out, narrow_crop=trainer.spec.narrow_crop)
    told = {name: str(value) for name, value in {**about, "steps": trainer.index}.items()}
    save_network(folder / "genzoo.safetensors", trainer.average, told)
    write_json(folder / "figures.json", {**figures, **told, "seconds": trainer.seconds})


class _Reporter:
    """Prints mean losses and validation figures now and then, and keeps the state."""

    def __init__(self, held_out: AnimalSamples, state: Path, every: int) -> None:
        self.held_out, self.state, self.every = held_out, state, every
        self.sums: dict[str, float] = {}

    def __call__(self, trainer: AnimalTrainer, parts: dict[str, float]) -> None:
        from lerf_wild.inverse.animal_evaluation import measure
        from lerf_wild.inverse.animal_views import GLANCES

        for name, part in parts.items():
            self.sums[name] = self.sums.get(name, 0.0) + part / self.every
        if trainer.index % self.every == 0:
            narrow = trainer.spec.narrow_crop
            figures = measure(trainer.average, self.held_out, narrow, glances=GLANCES[:1])
            shown = " ".join(f"{k} {v:.3g}" for k, v in {**self.sums, **figures}.items())
            print(f"{trainer.index} {trainer.seconds:.0f} s {shown}", flush=True)  # noqa: T201
            save_state(self.state, trainer)
            self.sums.clear()


if __name__ == "__main__":
    import tyro

    tyro.cli(main, config=(tyro.conf.FlagConversionOff,))
