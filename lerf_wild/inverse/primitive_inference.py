"""From images to primitives: network, then render and compare.

Symbols: B images, K object slots, Q predictions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from lerf_wild.errors import ModelFileError
from lerf_wild.inverse.primitive_decoding import Predictions, predict
from lerf_wild.inverse.primitive_depths import DepthSpec, settle_depths
from lerf_wild.inverse.primitive_network import PrimitiveNetwork
from lerf_wild.inverse.primitive_refine import Refined, RefineSpec, refine
from lerf_wild.inverse.primitive_setups import Setup, find_setup
from lerf_wild.inverse.primitive_weights import BUNDLED, BUNDLED_NAMES, load_network
from lerf_wild.render.primitive_scenes import PrimitiveScenes
from lerf_wild.render.primitives_soft import hard_image


@dataclass(frozen=True)
class AirModel:
    """A network and the set-up that it was trained for."""

    network: PrimitiveNetwork
    setup: Setup


@dataclass(frozen=True)
class Inferred:
    """What was recovered from B images."""

    scenes: PrimitiveScenes
    """Objects in world units."""
    confidence_BK: Tensor
    """Probability that the object exists, according to the network; 0-1."""
    expected_error_BK3: Tensor
    """Expected absolute errors of x, y and z before refinement, world units."""
    error_B: Tensor
    """Sum of absolute differences between the image and the re-rendered scene."""


def load_air(weights: str, device: str = "cpu") -> AirModel:
    """Loads bundled weights by name, or a file.

    Raises:
        ModelFileError: the file is missing, broken or of another kind.
    """
    path = BUNDLED / f"{weights}.safetensors" if weights in BUNDLED_NAMES else Path(weights)
    if not path.is_file():
        names = ", ".join(BUNDLED_NAMES)
        raise ModelFileError(
            f"{path}: no such weights. Give a .safetensors file or one of {names}."
        )
    network, metadata = load_network(path, device)
    return AirModel(network, find_setup(metadata.get("setup", "reference")))


def infer(
    model: AirModel,
    images_BHW: Tensor,
    spec: RefineSpec | None = None,
    on_batch: Callable[[int], None] | None = None,
    batch_size: int = 64,
) -> Inferred:
    """Recovers the objects of images [B, 64, 64].

    Args:
        model: network and set-up.
        images_BHW: grey images in 0-1.
        spec: how to refine; None leaves the network's answer as it is.
        on_batch: called with the number of images done after each batch.
        batch_size: images at a time.
    """
    setup, parts = model.setup, []
    for images in images_BHW.split(batch_size):
        beliefs = predict(model.network, images, batch_size, setup.sampler.max_objects)
        beliefs = replace(beliefs, scenes=setup.to_world(beliefs.scenes))
        parts.append(_settle(images, beliefs, setup, spec))
        if on_batch is not None:
            on_batch(len(images))
    return _join(parts)


def _settle(
    images: Tensor, beliefs: Predictions, setup: Setup, spec: RefineSpec | None
) -> Inferred:
    slots = setup.sampler.max_objects
    if spec is None:
        scenes = beliefs.scenes[:, :slots]
        error = (hard_image(scenes, setup.view) - images).abs().sum((1, 2))
        refined = Refined(scenes, error)
    else:
        spec = replace(spec, kinds=setup.sampler.kinds)
        refined = refine(images, beliefs, setup.view, spec, slots)
        if not setup.view.camera.perspective:
            refined = _with_likely_depths(images, refined, setup, spec.seed)
    offset = refined.scenes.positions_BK3[:, :, None] - beliefs.scenes.positions_BK3[:, None]
    nearest = offset[..., :2].square().sum(-1).argmin(-1)
    rows = torch.arange(len(images))[:, None]
    expected = beliefs.expected_error_BQ4[rows, nearest, :3]
    return Inferred(refined.scenes, beliefs.confidence_BQ[rows, nearest], expected, refined.error_B)


def _with_likely_depths(images: Tensor, refined: Refined, setup: Setup, seed: int) -> Refined:
    generator = torch.Generator().manual_seed(seed)
    scenes = settle_depths(
        images, refined.scenes, setup.view, setup.sampler.depth, generator, DepthSpec()
    )
    return Refined(scenes, (hard_image(scenes, setup.view) - images).abs().sum((1, 2)))


def _join(parts: list[Inferred]) -> Inferred:
    from lerf_wild.render.primitive_scenes import concatenate

    return Inferred(
        concatenate([part.scenes for part in parts]),
        torch.cat([part.confidence_BK for part in parts]),
        torch.cat([part.expected_error_BK3 for part in parts]),
        torch.cat([part.error_B for part in parts]),
    )


def describe(inferred: Inferred, index: int) -> dict[str, object]:
    """One image's objects as plain values: the entry of the command's JSON."""
    from lerf_wild.render.primitive_scenes import KINDS

    scene = inferred.scenes[index]
    objects = [
        {
            "type": KINDS[int(kind)],
            "position": [round(v, 6) for v in scene.positions_BK3[k].tolist()],
            "rotation": [[round(v, 7) for v in r] for r in scene.rotations_BK33[k].tolist()],
            "confidence": round(float(inferred.confidence_BK[index, k]), 6),
            "expected_error": [round(v, 6) for v in inferred.expected_error_BK3[index, k].tolist()],
        }
        for k, kind in enumerate(scene.kinds_BK.tolist())
        if kind >= 0
    ]
    error = round(float(inferred.error_B[index]), 4)
    return {"count": len(objects), "unexplained": error, "objects": objects}
