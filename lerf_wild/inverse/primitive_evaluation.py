"""Held-out scenes and all figures of an answer to them."""

from __future__ import annotations

import torch
from torch import Tensor

from lerf_wild.inverse.primitive_inference import Inferred
from lerf_wild.inverse.primitive_metrics import Figures, reference_metrics, set_metrics
from lerf_wild.inverse.primitive_setups import REFERENCE, Setup
from lerf_wild.render.primitive_scenes import PrimitiveScenes
from lerf_wild.render.primitives_soft import hard_image
from lerf_wild.synth.primitives import REFERENCE_TRAIN, reference_scenes

HELD_OUT_SEED = 1_000_000_007
"""Added to the seeds of held-out scenes, so that they meet neither training nor validation."""


def held_out_scenes(setup: Setup, count: int, seed: int) -> tuple[PrimitiveScenes, Tensor]:
    """Scenes that training never saw, and their images.

    The reference's set-up continues the reference's stream after its training scenes; the others
    draw from generators that training does not use.
    """
    if setup.name == REFERENCE.name:
        scenes = reference_scenes(REFERENCE_TRAIN + count, seed)[0][REFERENCE_TRAIN:]
        return scenes, hard_image(scenes, setup.view)
    images, scenes = setup.draw(count, torch.Generator().manual_seed(HELD_OUT_SEED + seed))
    return scenes, images


def measure(inferred: Inferred, truth: PrimitiveScenes) -> Figures:
    """Set metrics, the reference's protocol, and how well the images are explained."""
    figures = set_metrics(inferred.scenes, truth) | reference_metrics(inferred.scenes, truth)
    error = inferred.error_B.double()
    return figures | {
        "unexplained_median": float(error.median()),
        "explained_share": float((error < 10.0).double().mean()),
    }
