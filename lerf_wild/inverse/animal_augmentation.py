"""Training crops that differ each time: place, size, roll, mirror, light, blur, and patches.

Symbols: B crops, S side in pixels. Follows GenZoo's training (scale, rotation, shift, colour,
resizing, grey, occluders), with pictures mirrored so that most animals face left, as they do when
they are looked at (`lerf_wild.inverse.animal_views`).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lerf_wild.inverse.animal_bodies import JointBody
from lerf_wild.inverse.animal_crops import Crops, box_crops
from lerf_wild.inverse.animal_samples import (
    MARGIN,
    AnimalBatch,
    AnimalSamples,
    faces_right,
    make_batch,
    mirrored,
)

ABSENT_SHARE = 0.04
"""Share of crops that are moved off the animal, so that the network knows what none looks like."""

WIDE_SHARE = 0.15
"""Share of crops that show much around the animal, as the first look at a whole photo does."""

OTHER_WAY_SHARE = 0.1
"""Share of crops whose animal faces right. The others are mirrored where it does, as they are once
the network has seen it: the left side is then the near one, and which of two legs is whose need not
be found out anew for either side."""


def training_batch(
    samples: AnimalSamples,
    body: JointBody,
    size: int,
    generator: torch.Generator,
    augment: bool = True,
) -> AnimalBatch:
    """Crops of some samples; without ``augment`` plain ones around their boxes."""
    count = len(samples)
    if not augment:
        where = box_crops(samples.boxes_N4[:, :2], samples.boxes_N4[:, 2:], MARGIN)
        return make_batch(samples, where, body, size, torch.ones(count))
    other_way = torch.rand(count, generator=generator) < OTHER_WAY_SHARE
    samples = mirrored(samples, faces_right(samples.rotations_NJ33) ^ other_way)
    where, present = drawn_crops(samples, generator)
    batch = make_batch(samples, where, body, size, present)
    crops = patched(recoloured(batch.crops_B3SS, generator), generator)
    return AnimalBatch(**{**vars(batch), "crops_B3SS": crops})


def drawn_crops(samples: AnimalSamples, generator: torch.Generator) -> tuple[Crops, Tensor]:
    """Jittered squares around boxes, and whether the animal is in them."""
    count = len(samples)

    def normal(spread: float, most: float) -> Tensor:
        return spread * torch.randn(count, generator=generator).clamp(-most, most)

    low, high = samples.boxes_N4[:, :2], samples.boxes_N4[:, 2:]
    crops = box_crops(low, high, MARGIN)
    half = crops.half_B * (1.0 + normal(0.12, 2.0)).clamp(0.85, 1.5)
    wide = torch.rand(count, generator=generator) < WIDE_SHARE
    reach = 1.2 + 1.3 * torch.rand(count, generator=generator)
    half = torch.where(wide, reach * half, half)
    spread = torch.where(wide, 0.2, 0.06)[:, None]
    shift = spread * torch.stack([normal(1.0, 2.0), normal(1.0, 2.0)], -1)
    middle = crops.middle_B2 + shift * half[:, None]
    tilted = torch.rand(count, generator=generator) < 0.6
    roll = torch.where(tilted, normal(0.2, 2.0), torch.zeros(count))
    absent = torch.rand(count, generator=generator) < ABSENT_SHARE
    side = torch.rand(count, generator=generator) * 6.2832
    away = torch.stack([side.cos(), side.sin()], -1)
    # Far enough that no part of the animal's box is left in the square.
    away = 1.9 * away / away.abs().amax(-1, keepdim=True)
    aside = crops.middle_B2 + half[:, None] * away
    middle = torch.where(absent[:, None], aside, middle)
    return Crops(middle, half, roll), 1.0 - absent.float()


def recoloured(crops_B3SS: Tensor, generator: torch.Generator) -> Tensor:
    """Blur, colour, contrast, grey and noise, each crop for itself."""
    count = len(crops_B3SS)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        shape = shape or (1, 1, 1)
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    crops = crops_B3SS + draw(-1.0, 1.0).clamp_min(0.0) * (blurred(crops_B3SS) - crops_B3SS)
    crops = crops * draw(0.8, 1.2, 3, 1, 1) * draw(0.7, 1.3)
    grey = crops.mean(1, keepdim=True)
    share = torch.where(draw(0.0, 1.0) < 0.1, torch.zeros(()), draw(0.6, 1.4))
    crops = (grey + (crops - grey) * share).clamp(1e-4, 1.0) ** draw(0.8, 1.25)
    noise = torch.randn(crops.shape, generator=generator) * draw(0.0, 0.04)
    return (crops + noise).clamp(0.0, 1.0)


def blurred(crops_B3SS: Tensor) -> Tensor:
    """Each pixel as the mean of the 3x3 around it."""
    padded = functional.pad(crops_B3SS, (1, 1, 1, 1), mode="replicate")
    # Sums along each side, which take a third of the time of pooling on a processor.
    lines = padded[..., :-2, :] + padded[..., 1:-1, :] + padded[..., 2:, :]
    return (lines[..., :-2] + lines[..., 1:-1] + lines[..., 2:]) / 9.0


def patched(crops_B3SS: Tensor, generator: torch.Generator, share: float = 0.2) -> Tensor:
    """Some crops with a rectangle of another crop laid over a part."""
    count, _, side, _ = crops_B3SS.shape
    middle = torch.rand(count, 2, generator=generator)
    reach = 0.06 + 0.14 * torch.rand(count, 2, generator=generator)
    steps = (torch.arange(side) + 0.5) / side
    inside = (steps[None, None] - middle[:, :, None]).abs() < reach[:, :, None]
    chosen = torch.rand(count, generator=generator) < share
    cover = inside[:, 0, None, :] & inside[:, 1, :, None] & chosen[:, None, None]
    return torch.where(cover[:, None], crops_B3SS.roll(1, 0), crops_B3SS)
