"""Makes, keeps and measures the unsupervised network's weights.

`python -m lerf_wild.inverse.unsupervised_weights --help`
"""

from pathlib import Path

import torch
import tyro
from rich.console import Console
from torch import Tensor

from lerf_wild.inverse.primitive_metrics import Figures, set_metrics
from lerf_wild.inverse.primitive_weights import BUNDLED
from lerf_wild.inverse.unsupervised import (
    SHARP,
    Attention,
    UnsupervisedSpec,
    attend,
    draw_spheres,
    train_unsupervised,
)
from lerf_wild.inverse.weight_files import expecting, load_tensors, load_weights, save_weights
from lerf_wild.render.primitive_scenes import ABSENT, SPHERE, PrimitiveScenes

BUNDLED_UNSUPERVISED = BUNDLED / "unsupervised.safetensors"
LOG_EVERY = 200


def train(output_path: Path, steps: int = 4000, seed: int = 0, threads: int = 1) -> None:
    """Trains from images alone and writes the weights as float16.

    Args:
        output_path: Where to write the .safetensors file.
        steps: Optimiser steps.
        seed: Of images, initial weights and draws.
        threads: Processor cores to use.
    """
    torch.set_num_threads(threads)
    console, bounds = Console(), list[float]()

    def on_step(step: int, bound: float) -> None:
        bounds.append(bound)
        if len(bounds) % LOG_EVERY == 0:
            mean = sum(bounds[-LOG_EVERY:]) / LOG_EVERY
            console.print(f"step {step + 1}: bound {mean:.1f}", highlight=False)

    network = train_unsupervised(_images_alone, UnsupervisedSpec(steps=steps, seed=seed), on_step)
    save_unsupervised(output_path, network)


def _images_alone(count: int, generator: torch.Generator) -> Tensor:
    return draw_spheres(count, generator)[0]


def save_unsupervised(path: Path, network: Attention) -> None:
    """Writes the weights as float16."""
    save_weights(path, network, {"setup": "unsupervised"})


def load_unsupervised(path: Path = BUNDLED_UNSUPERVISED) -> Attention:
    """Reads what `save_unsupervised` wrote; raises ModelFileError where it doesn't fit."""
    tensors, _ = load_tensors(path)
    network = Attention()
    with expecting(path, "the unsupervised network"):
        load_weights(network, tensors)
    return network.eval()


@torch.no_grad()
def explain(network: Attention, images_BSS: Tensor) -> PrimitiveScenes:
    """The spheres that the network finds in images [B, 32, 32], at depth 0."""
    trace = attend(network, images_BSS, SHARP, None)
    places = trace.places_TB2.transpose(0, 1)
    positions = torch.cat([places, torch.zeros_like(places[..., :1])], -1)
    kinds = torch.where(trace.present_TB.T > 0, SPHERE, ABSENT)
    return PrimitiveScenes(kinds, positions, torch.eye(3).expand(*kinds.shape, 3, 3))


def measure_unsupervised(network: Attention, scenes: int, seed: int) -> Figures:
    """Figures on fresh images of the network's own set-up; labels are read here alone."""
    images, truth = draw_spheres(scenes, torch.Generator().manual_seed(seed))
    found = explain(network, images)
    figures = set_metrics(found, truth)
    exact = (found.counts_B == truth.counts_B).double()
    by_count = {
        f"count_exact_of_{n}": float(exact[truth.counts_B == n].mean())
        for n in range(truth.kinds_BK.shape[1] + 1)
        if (truth.counts_B == n).any()
    }
    kept = ("scenes", "objects", "pairs", "count_exact", "x_mae", "y_mae")
    return {name: figures[name] for name in kept} | by_count


if __name__ == "__main__":
    tyro.cli(train)
