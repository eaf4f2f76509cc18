"""Measure wild-clip on crops of habitats that training never saw.

    python -m lerf_wild.language.wild_clip_evaluation --scenes 20 --json figures.json

Symbols: B crops, P phrases. A crop is *clear* when some phrase is wholly true of it. Figures are
given for all assets and for those of the Infinigen pack that training left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from sklearn.metrics import average_precision_score
from torch import Tensor

from lerf_wild.assets import catalogue
from lerf_wild.language.encoders import ImageTextEncoder
from lerf_wild.language.relevancy import make_query, relevancy
from lerf_wild.language.wild_clip import WEIGHTS_FOLDER, load_wild_clip
from lerf_wild.storage.atomic import write_json
from lerf_wild.synth.crops import MIDDLE_SIGMA, cut, draw_tiles, membership, targets
from lerf_wild.synth.habitat import make_habitat
from lerf_wild.synth.taxonomy import vocabulary
from lerf_wild.synth.wild_clip_views import INFINIGEN_HELD_OUT, render_shard

EVALUATION_SEED = 2_000_000
CROPS_PER_VIEW = 32


def labelled_crops(seed: int, names: list[str], views: int) -> tuple[Tensor, NDArray[np.float32]]:
    """Crops (B, 3, S, S) of one new habitat and how true each phrase is of them (B, P)."""
    shard = render_shard(make_habitat(seed, names=names, grow=catalogue.grow), views)
    rng = np.random.default_rng([seed, 3])
    crops, truths = [], []
    for index in range(views):
        view = shard.view(index)
        pixels, ids = cut(view, draw_tiles(view, CROPS_PER_VIEW, rng))
        crops.append(pixels)
        truths.append(targets(ids, membership(view, vocabulary()), 1, MIDDLE_SIGMA)[:, 0])
    return torch.cat(crops), np.concatenate(truths)


def measure(scores_BP: NDArray[np.float32], truth_BP: NDArray[np.float32]) -> dict[str, float]:
    """Top-1 accuracy of clear crops, mean average precision, and accuracy at relevancy 0.5."""
    clear = truth_BP.max(axis=1) >= 1.0
    best = scores_BP.argmax(axis=1)
    right = truth_BP[np.arange(len(best)), best] > 0.5
    certain = (truth_BP <= 0.0) | (truth_BP >= 1.0)
    true = truth_BP >= 1.0
    found = scores_BP > 0.5
    precisions = [
        average_precision_score(true[certain[:, p], p], scores_BP[certain[:, p], p])
        for p in range(true.shape[1])
        if true[:, p].sum() >= 5
    ]
    return {
        "top1_accuracy": float(right[clear].mean()),
        "mean_average_precision": float(np.mean(precisions)),
        "recall_at_half": float(found[true].mean()),
        "false_positive_rate_at_half": float(found[truth_BP <= 0.0].mean()),
        "crops": len(scores_BP),
        "phrases": len(precisions),
    }


def evaluate(
    encoder: ImageTextEncoder, scenes: int, views: int, pool: list[str], first_seed: int
) -> dict[str, float]:
    """Figures over ``scenes`` new habitats whose assets come from ``pool``."""
    query = make_query(vocabulary(), encoder)
    scores, truths = [], []
    for seed in range(first_seed, first_seed + scenes):
        rng = np.random.default_rng([seed, 5])
        names = [str(n) for n in rng.choice(pool, min(16, len(pool)), replace=False)]
        crops, truth = labelled_crops(seed, names, views)
        scores.append(relevancy(encoder.encode_images(crops), query).numpy())
        truths.append(truth)
    return measure(np.concatenate(scores), np.concatenate(truths))


def main(
    scenes: int = 20, views: int = 8, weights: Path = WEIGHTS_FOLDER, json: Path | None = None
) -> None:
    """Print the figures of the model card and write them to ``json``."""
    encoder = load_wild_clip(folder=weights)
    everything = evaluate(encoder, scenes, views, list(catalogue.CATALOGUE), EVALUATION_SEED)
    unseen = evaluate(
        encoder, max(scenes // 4, 1), views, list(INFINIGEN_HELD_OUT), EVALUATION_SEED + scenes
    )
    figures = everything | {f"unseen_{name}": value for name, value in unseen.items()}
    for name, value in figures.items():
        Console().print(f"{name:40s} {value:.4g}")
    if json is not None:
        write_json(json, figures | {"identity": encoder.identity, "scenes": scenes})


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
