"""Train wild-clip on rendered views, so that LERF's relevancy is calibrated for its vocabulary.

    python -m lerf_wild.language.wild_clip_training --views views --output-dir
    lerf_wild/weights/wild_clip

The losses are in `wild_clip_losses`.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from open_clip.model import CLIP
from rich.console import Console
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from lerf_wild.errors import TrainingError
from lerf_wild.language.wild_clip import (
    CONFIG_NAME,
    VOCABULARY_NAME,
    WEIGHTS_NAME,
    architecture,
    build_wild_clip,
)
from lerf_wild.language.wild_clip_losses import Batch, TrainingTower, batch_losses
from lerf_wild.storage.atomic import write_bytes, write_json
from lerf_wild.synth.crops import (
    MIDDLE_SIGMA,
    LabelledView,
    augment,
    cut,
    draw_tiles,
    membership,
    mirror,
    targets,
)
from lerf_wild.synth.taxonomy import CANONICAL, vocabulary
from lerf_wild.synth.wild_clip_views import ViewShard, load_shard

VIEWS_PER_BATCH = 16
EMA_DECAY = 0.998
RESCAN_EVERY = 100
SNAPSHOT_EVERY = 400


@dataclass(frozen=True)
class Budget:
    """How long to train; whichever of steps and minutes ends first."""

    steps: int
    minutes: float
    learning_rate: float


def batches(
    folder: Path, phrases: Sequence[str], batch: int, rng: np.random.Generator
) -> Iterator[Batch]:
    """Endless batches of crops with how true the phrases are of their places, a few views a batch.

    The folder is looked at again now and then, so training can start while views are rendered.
    """
    shards: dict[Path, ViewShard] = {}
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    for index in itertools.count():
        if index % RESCAN_EVERY == 0:
            found = sorted(folder.glob("views_*.safetensors"))
            shards |= {path: load_shard(path) for path in found if path not in shards}
            pool = list(shards.values())
            if not pool:
                raise TrainingError(f"{folder}: no views_*.safetensors yet; render some first.")
        views = []
        for _ in range(VIEWS_PER_BATCH):
            shard = pool[rng.integers(len(pool))]
            view = shard.view(int(rng.integers(len(shard.rgb))))
            views.append(_labelled_crops(view, phrases, batch // VIEWS_PER_BATCH, rng))
        crops, late, early = (torch.cat(parts) for parts in zip(*views, strict=True))
        yield Batch(augment(crops, generator), late, early)


def _labelled_crops(
    view: LabelledView, phrases: Sequence[str], count: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    pixels, ids = mirror(*cut(view, draw_tiles(view, count, rng)), rng)
    table = membership(view, phrases)
    late, early = targets(ids, table, 3, MIDDLE_SIGMA), targets(ids, table, 6, MIDDLE_SIGMA / 2)
    return pixels, torch.from_numpy(late), torch.from_numpy(early)


def train(
    tower: TrainingTower,
    phrase_vectors: nn.Parameter,
    data: Iterator[Batch],
    stats: tuple[Tensor, Tensor],
    budget: Budget,
    report: Callable[[int, float, dict[str, float]], None],
    snapshot: Callable[[dict[str, Tensor]], None],
) -> dict[str, Tensor]:
    """Optimise the image tower and the phrase vectors; returns the tower's averaged weights.

    ``phrase_vectors`` (P + C, D) holds the vocabulary and, last, the canonical phrases.
    """
    decay = [p for p in tower.parameters() if p.ndim > 1]
    plain = [p for p in tower.parameters() if p.ndim <= 1]
    groups = [
        {"params": decay, "weight_decay": 0.05},
        {"params": [*plain, phrase_vectors], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=budget.learning_rate, betas=(0.9, 0.98))
    average = {name: value.clone() for name, value in tower.visual.state_dict().items()}
    start = time.monotonic()
    for step in range(budget.steps):
        spent = max(step / budget.steps, (time.monotonic() - start) / (60.0 * budget.minutes))
        if spent >= 1.0:
            break
        rate = min(1.0, (step + 1) / 60) * 0.5 * (1 + np.cos(np.pi * spent))
        for group in optimiser.param_groups:
            group["lr"] = budget.learning_rate * rate
        loss = _step(tower, phrase_vectors, optimiser, next(data), stats)
        _update_average(average, tower.visual, min(EMA_DECAY, (step + 1) / (step + 10)))
        if step % 50 == 0:
            report(step, spent, loss)
        if step % SNAPSHOT_EVERY == SNAPSHOT_EVERY - 1:
            snapshot(average)
    return average


def fit_text_tower(model: CLIP, tokens_PL: Tensor, goal_PD: Tensor, steps: int) -> float:
    """Fit the text tower to unit phrase vectors; returns the worst cosine reached."""
    tower = [p for name, p in model.named_parameters() if not name.startswith("visual.")]
    optimiser = torch.optim.AdamW(tower, lr=2e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    for _ in range(steps):
        text_PD = functional.normalize(model.encode_text(tokens_PL), dim=-1)
        cosine_P = (text_PD * goal_PD).sum(dim=-1)
        optimiser.zero_grad(set_to_none=True)
        (1.0 - cosine_P).mean().backward()
        optimiser.step()
        schedule.step()
    return cosine_P.min().item()


def fitted(weights: dict[str, Tensor], model: CLIP) -> dict[str, Tensor]:
    """Weights whose places of the image tower's pooling are stretched to those of ``model``."""
    name = "visual.attnpool.positional_embedding"
    mean_1D, places_ND = weights[name].float().split([1, len(weights[name]) - 1])
    side = round(len(places_ND) ** 0.5)
    goal = round((len(model.state_dict()[name]) - 1) ** 0.5)
    grid = places_ND.T.reshape(1, -1, side, side)
    grid = functional.interpolate(grid, (goal, goal), mode="bilinear", align_corners=True)
    return weights | {name: torch.cat([mean_1D, grid[0].flatten(1).T])}


def likes(phrase: str, phrases: Sequence[str]) -> list[int]:
    """Where the other phrases with the same last word stand: "blue bird" for "light brown bird"."""
    last = phrase.rsplit(maxsplit=1)[-1]
    return [i for i, one in enumerate(phrases) if one != phrase and one.split()[-1] == last]


def save_model(weights: dict[str, Tensor], phrases: Sequence[str], folder: Path) -> None:
    """Write weights (fp16), configuration and vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    half = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    write_bytes(folder / WEIGHTS_NAME, save({k: v.contiguous() for k, v in half.items()}))
    write_json(folder / CONFIG_NAME, architecture())
    write_json(folder / VOCABULARY_NAME, {"phrases": list(phrases), "canonical": list(CANONICAL)})


def main(
    views: Path,
    output_dir: Path,
    steps: int = 4000,
    minutes: float = 40.0,
    batch: int = 256,
    learning_rate: float = 1.5e-3,
    seed: int = 0,
    threads: int = 2,
    text_steps: int = 600,
    start_from: Path | None = None,
    fresh: tuple[str, ...] = (),
) -> None:
    """Train wild-clip on the shards in ``views`` and write it to ``output_dir``.

    ``start_from`` names a folder with earlier weights of the same vocabulary to go on from; the
    size of their images may be another. ``fresh`` are phrases that the earlier views never showed
    and the earlier weights therefore hold for false: they start from the phrases like them.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    phrases = vocabulary()
    parts = build_wild_clip(seed)
    model = parts.model.train()
    visual = model.visual.to(memory_format=torch.channels_last)
    stats = (torch.tensor(parts.mean).view(3, 1, 1), torch.tensor(parts.std).view(3, 1, 1))
    data = batches(views, phrases, batch, np.random.default_rng(seed))
    size = len(phrases) + len(CANONICAL)
    vectors = nn.Parameter(torch.randn(size, architecture()["model_cfg"]["embed_dim"]))
    tokens = parts.tokenizer([*phrases, *CANONICAL])
    if start_from is not None:
        model.load_state_dict(fitted(load_file(start_from / WEIGHTS_NAME), model))
        with torch.no_grad():
            vectors.copy_(model.encode_text(tokens))
            for phrase in fresh:
                vectors[phrases.index(phrase)] = vectors[likes(phrase, phrases)].mean(dim=0)

    def finish(weights: dict[str, Tensor]) -> None:
        whole = copy.deepcopy(model)
        whole.visual.load_state_dict(weights)
        goal = functional.normalize(vectors.detach(), dim=-1)
        worst = fit_text_tower(whole, tokens, goal, text_steps)
        Console().print(f"text tower: worst cosine to its phrase vector {worst:.4f}")
        save_model(whole.state_dict(), phrases, output_dir)

    budget = Budget(steps, minutes, learning_rate)
    channels = visual.layer4[0].conv1.in_channels
    tower = TrainingTower(visual, channels, vectors.shape[1])
    finish(train(tower, vectors, data, stats, budget, _printer(batch), finish))


def _printer(batch: int) -> Callable[[int, float, dict[str, float]], None]:
    console, start = Console(), time.monotonic()

    def report(step: int, spent: float, loss: dict[str, float]) -> None:
        rate = (step + 1) * batch / (time.monotonic() - start)
        values = "  ".join(f"{name} {value:.3f}" for name, value in loss.items())
        console.print(f"step {step:5d}  {spent:4.0%}  {values}  {rate:.0f} crops/s")

    return report


def _step(
    tower: TrainingTower,
    phrase_vectors: nn.Parameter,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    stats: tuple[Tensor, Tensor],
) -> dict[str, float]:
    loss, report = batch_losses(tower, phrase_vectors, batch, stats)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
    optimiser.step()
    return report


@torch.no_grad()
def _update_average(average: dict[str, Tensor], model: nn.Module, decay: float) -> None:
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1.0 - decay)
        else:
            average[name].copy_(value)


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
