"""Train wild-clip on rendered views, so that LERF's relevancy is calibrated for its vocabulary.

    python -m lerf_wild.language.wild_clip_training --views views --output-dir
    lerf_wild/weights/wild_clip

Symbols: B crops, P phrases, D embedding; ``target_BP`` how true each phrase is of each crop (0-1).

Two losses. The first is LERF's own formula used as a classifier: the pairwise softmax of a phrase
against the hardest canonical phrase (LERF section 3.4, temperature 10) should equal the target. The
second is CLIP's image-to-text softmax over the whole vocabulary, which keeps phrases apart.
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

from lerf_wild.language.relevancy import TEMPERATURE
from lerf_wild.language.wild_clip import (
    CONFIG_NAME,
    VOCABULARY_NAME,
    WEIGHTS_NAME,
    architecture,
    build_wild_clip,
)
from lerf_wild.storage.atomic import write_bytes, write_json
from lerf_wild.synth.crops import augment, cut, draw_tiles, membership, targets
from lerf_wild.synth.taxonomy import CANONICAL, vocabulary
from lerf_wild.synth.wild_clip_views import ViewShard, load_shard

VIEWS_PER_BATCH = 16
SOFTMAX_TEMPERATURE = 14.0
EMA_DECAY = 0.998
RESCAN_EVERY = 100
SNAPSHOT_EVERY = 600


@dataclass(frozen=True)
class Budget:
    """How long to train; whichever of steps and minutes ends first."""

    steps: int
    minutes: float
    learning_rate: float


def relevancy_loss(
    image_BD: Tensor, text_PD: Tensor, canonical_CD: Tensor, target_BP: Tensor
) -> Tensor:
    """Cross entropy between LERF's relevancy and the target; true and false phrases weigh the same.

    Hard false phrases, those with a high relevancy, count more (focal weight), since a single one
    of them hides the right answer.
    """
    margin = image_BD @ text_PD.T - (image_BD @ canonical_CD.T).amax(dim=1, keepdim=True)
    logits = TEMPERATURE * margin
    loss = functional.binary_cross_entropy_with_logits(logits, target_BP, reduction="none")
    surprise = (torch.sigmoid(logits.detach()) - target_BP).abs()
    positive = target_BP
    negative = (1.0 - target_BP) * (surprise + 0.05)
    return (loss * positive).sum() / positive.sum().clamp(min=1.0) + (
        loss * negative
    ).sum() / negative.sum().clamp(min=1.0)


def softmax_loss(image_BD: Tensor, text_PD: Tensor, target_BP: Tensor) -> Tensor:
    """CLIP's image-to-text loss with several true phrases a crop; crops of nothing known are left
    out."""
    total = target_BP.sum(dim=1, keepdim=True)
    share = target_BP / total.clamp(min=1e-6)
    log_p = functional.log_softmax(SOFTMAX_TEMPERATURE * image_BD @ text_PD.T, dim=1)
    weight = total.squeeze(1).clamp(max=1.0)
    return -((share * log_p).sum(dim=1) * weight).sum() / weight.sum().clamp(min=1.0)


def batches(
    folder: Path, phrases: Sequence[str], batch: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless crops (B, 3, S, S) in 0-1 with their targets (B, P), a few views a batch.

    The folder is looked at again now and then, so training can start while views are rendered.
    """
    shards: dict[Path, ViewShard] = {}
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    for index in itertools.count():
        if index % RESCAN_EVERY == 0:
            found = sorted(folder.glob("views_*.safetensors"))
            shards |= {path: load_shard(path) for path in found if path not in shards}
            pool = list(shards.values())
        crops, truths = [], []
        for _ in range(VIEWS_PER_BATCH):
            shard = pool[rng.integers(len(pool))]
            view = shard.view(int(rng.integers(len(shard.rgb))))
            pixels, ids = cut(view, draw_tiles(view, batch // VIEWS_PER_BATCH, rng))
            crops.append(pixels)
            truths.append(targets(ids, membership(view, phrases)))
        yield augment(torch.cat(crops), generator), torch.from_numpy(np.concatenate(truths))


def train(
    visual: nn.Module,
    phrase_vectors: nn.Parameter,
    data: Iterator[tuple[Tensor, Tensor]],
    stats: tuple[Tensor, Tensor],
    budget: Budget,
    report: Callable[[int, float, dict[str, float]], None],
    snapshot: Callable[[dict[str, Tensor]], None],
) -> dict[str, Tensor]:
    """Optimise the image tower and the phrase vectors; returns the tower's averaged weights.

    ``phrase_vectors`` (P + C, D) holds the vocabulary and, last, the canonical phrases.
    """
    decay = [p for p in visual.parameters() if p.ndim > 1]
    plain = [p for p in visual.parameters() if p.ndim <= 1]
    groups = [
        {"params": decay, "weight_decay": 0.05},
        {"params": [*plain, phrase_vectors], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=budget.learning_rate, betas=(0.9, 0.98))
    average = {name: value.clone() for name, value in visual.state_dict().items()}
    start = time.monotonic()
    for step in range(budget.steps):
        spent = max(step / budget.steps, (time.monotonic() - start) / (60.0 * budget.minutes))
        if spent >= 1.0:
            break
        rate = min(1.0, (step + 1) / 60) * 0.5 * (1 + np.cos(np.pi * spent))
        for group in optimiser.param_groups:
            group["lr"] = budget.learning_rate * rate
        loss = _step(visual, phrase_vectors, optimiser, next(data), stats)
        _update_average(average, visual, min(EMA_DECAY, (step + 1) / (step + 10)))
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
) -> None:
    """Train wild-clip on the shards in ``views`` and write it to ``output_dir``.

    ``start_from`` names a folder with earlier weights of the same vocabulary to go on from.
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
        model.load_state_dict(load_file(start_from / WEIGHTS_NAME))
        with torch.no_grad():
            vectors.copy_(model.encode_text(tokens))

    def finish(weights: dict[str, Tensor]) -> None:
        whole = copy.deepcopy(model)
        whole.visual.load_state_dict(weights)
        goal = functional.normalize(vectors.detach(), dim=-1)
        worst = fit_text_tower(whole, tokens, goal, text_steps)
        Console().print(f"text tower: worst cosine to its phrase vector {worst:.4f}")
        save_model(whole.state_dict(), phrases, output_dir)

    budget = Budget(steps, minutes, learning_rate)
    finish(train(visual, vectors, data, stats, budget, _printer(batch), finish))


def _printer(batch: int) -> Callable[[int, float, dict[str, float]], None]:
    console, start = Console(), time.monotonic()

    def report(step: int, spent: float, loss: dict[str, float]) -> None:
        rate = (step + 1) * batch / (time.monotonic() - start)
        values = "  ".join(f"{name} {value:.3f}" for name, value in loss.items())
        console.print(f"step {step:5d}  {spent:4.0%}  {values}  {rate:.0f} crops/s")

    return report


def _step(
    visual: nn.Module,
    phrase_vectors: nn.Parameter,
    optimiser: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    stats: tuple[Tensor, Tensor],
) -> dict[str, float]:
    crops, target_BP = batch
    image = ((crops - stats[0]) / stats[1]).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        features = visual(image)
    image_BD = functional.normalize(features.float(), dim=-1)
    text = functional.normalize(phrase_vectors, dim=-1)
    phrases_PD, canonical_CD = text[: target_BP.shape[1]], text[target_BP.shape[1] :]
    relevance = relevancy_loss(image_BD, phrases_PD, canonical_CD, target_BP)
    contrast = softmax_loss(image_BD, phrases_PD, target_BP)
    optimiser.zero_grad(set_to_none=True)
    (relevance + 0.5 * contrast).backward()
    torch.nn.utils.clip_grad_norm_(visual.parameters(), 1.0)
    optimiser.step()
    clear = target_BP.amax(dim=1) >= 1.0
    best = (image_BD @ phrases_PD.T).argmax(dim=1, keepdim=True)
    right = target_BP.gather(1, best)[clear] > 0.5
    return {
        "relevancy": relevance.item(),
        "softmax": contrast.item(),
        "top1": right.float().mean().item(),
    }


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
