"""The reference's own network on its own scenes: where `lerf-wild air` starts from.

Trains the perceptron with x-sorted slots on the reference's first 3,000 scenes, and prints its
figures on the next 500: under the reference's protocol, and under the set metrics of `air eval`.

    python -m benchmarks.air_reference --json air_reference.json
"""

from __future__ import annotations

import torch
import tyro

from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.inverse.primitive_metrics import set_metrics
from lerf_wild.inverse.reference_mlp import mlp_metrics, mlp_scenes, train_mlp
from lerf_wild.render.primitives import render_orthographic
from lerf_wild.synth.primitives import REFERENCE_TRAIN, reference_scenes


def main(scenes: int = 500, seed: int = 0, json_file: JsonFile = None) -> None:
    """Trains and measures.

    Args:
        scenes: Scenes to measure on.
        seed: Of scenes, initial weights and order.
        json_file: Where to write the figures as JSON.
    """
    torch.set_num_threads(1)
    drawn, angles = reference_scenes(REFERENCE_TRAIN + scenes, seed)
    images = render_orthographic(drawn)
    first, rest = slice(0, REFERENCE_TRAIN), slice(REFERENCE_TRAIN, None)
    model, losses = train_mlp(images[first], drawn[first], angles[first], seed)
    figures = {"best_epoch": float(losses.index(min(losses)))}
    theirs = mlp_metrics(model, images[rest], drawn[rest], angles[rest])
    figures |= {f"reference_{name}": value for name, value in theirs.items()}
    figures |= set_metrics(mlp_scenes(model, images[rest]), drawn[rest])
    for name, value in figures.items():
        print(f"{name:32}{value:.4g}")
    write_report(json_file, figures, seed=seed)


if __name__ == "__main__":
    tyro.cli(main)
