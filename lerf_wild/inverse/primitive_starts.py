"""Other guesses at scenes, for images that the first guess doesn't explain.

A guess keeps the current objects or draws them anew from the network's beliefs; then objects
change kind, rotation and depth at random, and one may go, or appear where the image is least
explained.

Symbols: B scenes, K slots, Q predictions, N kinds.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from lerf_wild.inverse.primitive_decoding import Predictions
from lerf_wild.inverse.symmetry import quaternion_to_rotation
from lerf_wild.render.primitive_rays import look_at
from lerf_wild.render.primitive_scenes import ABSENT, PrimitiveScenes
from lerf_wild.render.primitives_soft import SoftView, hard_image, world_rays

CANDIDATES = 8
"""Guesses that are compared before one is improved, which costs as much as many comparisons."""


def other_start(
    images_BHW: Tensor,
    current: PrimitiveScenes,
    beliefs: Predictions,
    view: SoftView,
    kinds: tuple[int, ...],
    generator: torch.Generator,
) -> PrimitiveScenes:
    """Draws one new guess per scene."""
    allowed = torch.zeros(beliefs.kind_probability_BQN.shape[-1])
    allowed[list(kinds)] = 1.0
    beliefs = replace(beliefs, kind_probability_BQN=beliefs.kind_probability_BQN * allowed)
    drawn = draw_from_beliefs(beliefs, current.kinds_BK.shape[1], generator)
    anew = _chance(0.5, (len(current),), generator)
    guess = _choose(anew, drawn, current)
    guess = _shake(guess, beliefs, kinds, generator)
    guess = _drop_one(guess, _chance(0.25, (len(current),), generator), generator)
    peak = least_explained(images_BHW, current, view)
    return _add_one(guess, peak, _chance(0.6, (len(current),), generator), kinds, generator)


def promising_start(
    images_BHW: Tensor,
    current: PrimitiveScenes,
    beliefs: Predictions,
    view: SoftView,
    kinds: tuple[int, ...],
    generator: torch.Generator,
) -> PrimitiveScenes:
    """The best, as it stands, of several new guesses whose objects are of other kinds or number."""
    best, least = current, torch.full((len(current),), torch.inf)
    for _ in range(CANDIDATES):
        guess = other_start(images_BHW, current, beliefs, view, kinds, generator)
        error = (hard_image(guess, view) - images_BHW).abs().sum((1, 2))
        same = (guess.kinds_BK == current.kinds_BK).all(1)
        error = error.masked_fill(same, torch.finfo(error.dtype).max)
        best, least = _choose(error < least, guess, best), torch.minimum(error, least)
    return best


def draw_from_beliefs(
    beliefs: Predictions, slots: int, generator: torch.Generator
) -> PrimitiveScenes:
    """Draws presence, kind and rotation from flattened probabilities."""
    confidence = torch.logit(beliefs.confidence_BQ, 1e-4).div(2.0).sigmoid()
    present = torch.rand(confidence.shape, generator=generator) < confidence
    kinds = _draw_kinds(beliefs.kind_probability_BQN, generator)
    index = kinds[..., None, None, None].expand(-1, -1, 1, 3, 3)
    rotations = beliefs.rotations_BQN33.gather(2, index).squeeze(2)
    order = (present.float() + 0.5 * confidence).argsort(dim=1, descending=True)[:, :slots]
    rows = torch.arange(order.shape[0])[:, None]
    scenes = PrimitiveScenes(
        torch.where(present, kinds, ABSENT), beliefs.scenes.positions_BK3, rotations
    )
    return scenes[rows, order]


def least_explained(images_BHW: Tensor, scenes: PrimitiveScenes, view: SoftView) -> Tensor:
    """World point, in the plane of the camera's target, where the image is explained worst."""
    error = (hard_image(scenes, view) - images_BHW).abs()
    smooth = F.avg_pool2d(error[:, None], 7, stride=1, padding=3).flatten(1)
    origins, directions = world_rays(view, scenes.positions_BK3)
    position, target = (
        origins.new_tensor(point) for point in (view.camera.position_3, view.camera.target_3)
    )
    back = look_at(position, target)[2]
    reach = ((target - origins) @ back) / (directions @ back)
    return (origins + reach[:, None] * directions)[smooth.argmax(1)]


def _draw_kinds(probability_BQN: Tensor, generator: torch.Generator) -> Tensor:
    flattened = probability_BQN.sqrt()
    flat = flattened.reshape(-1, flattened.shape[-1])
    return torch.multinomial(flat, 1, generator=generator).view(probability_BQN.shape[:2])


def _shake(
    guess: PrimitiveScenes,
    beliefs: Predictions,
    kinds: tuple[int, ...],
    generator: torch.Generator,
) -> PrimitiveScenes:
    """Changes some kinds, rotations and depths."""
    shape = guess.kinds_BK.shape
    offset = guess.positions_BK3[:, :, None, :2] - beliefs.scenes.positions_BK3[:, None, :, :2]
    nearest = offset.square().sum(-1).argmin(-1)
    rows = torch.arange(shape[0])[:, None]
    other = _draw_kinds(beliefs.kind_probability_BQN[rows, nearest], generator)
    any_kind = torch.tensor(kinds)[torch.randint(len(kinds), shape, generator=generator)]
    other = torch.where(_chance(0.2, shape, generator), any_kind, other)
    changed = (guess.kinds_BK >= 0) & _chance(0.4, shape, generator)
    new_kinds = torch.where(changed, other, guess.kinds_BK)
    believed = beliefs.rotations_BQN33[rows, nearest, new_kinds.clamp(min=0)]
    rotations = torch.where(changed[..., None, None], believed, guess.rotations_BK33)
    anywhere = _chance(0.3, shape, generator)[..., None, None]
    rotations = torch.where(anywhere, _random_rotations(shape, generator), rotations)
    depth = 0.6 * torch.rand(shape, generator=generator) - 0.3
    positions = guess.positions_BK3.clone()
    moved = _chance(0.5, shape, generator)
    positions[..., 2] = torch.where(moved, depth, positions[..., 2])
    return PrimitiveScenes(new_kinds, positions, rotations)


def _drop_one(
    guess: PrimitiveScenes, chosen_B: Tensor, generator: torch.Generator
) -> PrimitiveScenes:
    weight = torch.rand(guess.kinds_BK.shape, generator=generator) + (guess.kinds_BK >= 0)
    gone = F.one_hot(weight.argmax(1), weight.shape[1]).bool()
    gone = gone & (chosen_B & (guess.counts_B > 1))[:, None]
    return PrimitiveScenes(
        torch.where(gone, ABSENT, guess.kinds_BK), guess.positions_BK3, guess.rotations_BK33
    )


def _add_one(
    guess: PrimitiveScenes,
    place_B3: Tensor,
    chosen_B: Tensor,
    kinds: tuple[int, ...],
    generator: torch.Generator,
) -> PrimitiveScenes:
    empty = guess.kinds_BK < 0
    slot = F.one_hot(empty.float().argmax(1), empty.shape[1]).bool()
    new = slot & (chosen_B & empty.any(1))[:, None]
    drawn = torch.tensor(kinds)[torch.randint(len(kinds), new.shape, generator=generator)]
    rotations = _random_rotations(new.shape, generator)
    return PrimitiveScenes(
        torch.where(new, drawn, guess.kinds_BK),
        torch.where(new[..., None], place_B3[:, None], guess.positions_BK3),
        torch.where(new[..., None, None], rotations, guess.rotations_BK33),
    )


def _random_rotations(shape: torch.Size, generator: torch.Generator) -> Tensor:
    return quaternion_to_rotation(torch.randn(*shape, 4, generator=generator))


def _chance(share: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator) < share


def _choose(first_B: Tensor, a: PrimitiveScenes, b: PrimitiveScenes) -> PrimitiveScenes:
    return PrimitiveScenes(
        torch.where(first_B[:, None], a.kinds_BK, b.kinds_BK),
        torch.where(first_B[:, None, None], a.positions_BK3, b.positions_BK3),
        torch.where(first_B[:, None, None, None], a.rotations_BK33, b.rotations_BK33),
    )
