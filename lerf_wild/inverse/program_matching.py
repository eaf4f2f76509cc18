"""Crops compared with templates pixel by pixel: which asset, seen from which side.

No training is part of it, so that an asset that was added a minute ago is matched as well as any.
A template has no background of its own: it is laid over what is seen at the sides of the crop, row
by row, and the correlation of the two pictures is taken over all pixels and colours together. All
templates are compared at once, as the correlation splits into a few matrix products.

Symbols: N crops, M assets, Y yaws, T = M Y templates, S side of a crop, P = S S pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from lerf_wild.inverse.program_crops import cut_crops

SIDE = 24
SHIFTS = ((0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))
PASSES = ((0.12, (0.82, 1.0, 1.22)), (0.05, (0.93, 1.0, 1.07)))
"""Shift, as a share of the box, and scales that are tried: coarsely around the detector's box, then
finely around the best of these."""
BORDER = 2
"""Pixels at the left and right of a crop that tell its background."""


class TemplateSums(NamedTuple):
    """Templates as the matrices that crops are multiplied by; Q = 3 P."""

    colour_QT: Tensor
    """Colours, 0 where there is no asset."""
    bare_PT: Tensor
    """Share of each pixel that is background."""
    bare_squared_PT: Tensor
    mixed_QT: Tensor
    """Colour times background."""
    total_T: Tensor
    squares_T: Tensor


@dataclass(frozen=True)
class TemplateBank:
    """Small pictures of all templates; uint8."""

    rgb_MY3SS: Tensor
    mask_MYSS: Tensor
    """255 where a pixel is all asset."""

    @cached_property
    def sums(self) -> TemplateSums:
        """What all comparisons need of the templates, made once."""
        mask_TP = self.mask_MYSS.flatten(0, 1).flatten(1).float() / 255.0
        colour_T3P = self.rgb_MY3SS.flatten(0, 1).flatten(2).float() / 255.0 * mask_TP[:, None]
        bare_TP = 1.0 - mask_TP
        return TemplateSums(
            colour_T3P.flatten(1).T.contiguous(),
            bare_TP.T.contiguous(),
            bare_TP.square().T.contiguous(),
            (colour_T3P * bare_TP[:, None]).flatten(1).T.contiguous(),
            colour_T3P.sum(dim=(1, 2)),
            colour_T3P.square().sum(dim=(1, 2)),
        )

    def scores(self, crops_N3SS: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N M Y"]:
        """Correlation, -1 to 1, of each crop (0-1) with each template laid over its background."""
        of = self.sums
        ground_N3P = background(crops_N3SS).flatten(2)
        crops_N3P = crops_N3SS.flatten(2)
        own = crops_N3P.flatten(1)
        cross = own @ of.colour_QT + (crops_N3P * ground_N3P).sum(dim=1) @ of.bare_PT
        total = of.total_T + ground_N3P.sum(dim=1) @ of.bare_PT
        # Where asset and background share a pixel the square of the mixture has a cross term.
        squares = of.squares_T + ground_N3P.square().sum(dim=1) @ of.bare_squared_PT
        squares = squares + 2.0 * ground_N3P.flatten(1) @ of.mixed_QT
        count = own.shape[1]
        spread = (own.square().sum(dim=1) - own.sum(dim=1) ** 2 / count)[:, None]
        covariance = cross - own.sum(dim=1)[:, None] * total / count
        other = (squares - total**2 / count).clamp(min=1e-6)
        result = covariance / (spread.clamp(min=1e-6) * other).sqrt()
        return result.unflatten(1, self.mask_MYSS.shape[:2])


def background(crops_N3SS: Tensor) -> Tensor:
    """What lies behind a crop's object, (N, 3, S, S): each row's mean at both sides."""
    sides = torch.cat([crops_N3SS[..., :BORDER], crops_N3SS[..., -BORDER:]], dim=-1)
    return sides.mean(dim=-1, keepdim=True).expand_as(crops_N3SS)


def make_bank(pictures_MY3SS: Tensor, masks_MYSS: Tensor) -> TemplateBank:
    """The bank of template crops (M, Y, 3, 64, 64) in 0-1 and their masks (M, Y, 64, 64)."""
    rgb = functional.interpolate(pictures_MY3SS.flatten(0, 1), (SIDE, SIDE), mode="area")
    mask = functional.interpolate(masks_MYSS.flatten(0, 1)[:, None], (SIDE, SIDE), mode="area")
    shape = masks_MYSS.shape[:2]
    return TemplateBank(
        (255 * rgb).round().to(torch.uint8).unflatten(0, shape),
        (255 * mask[:, 0]).round().to(torch.uint8).unflatten(0, shape),
    )


def match_boxes(
    bank: TemplateBank, rgb_B3HW: Tensor, picture_N: Tensor, boxes_N4: Tensor
) -> Float[Tensor, "N M Y"]:
    """Best correlation of each box, a little shifted and scaled, with each template."""
    if len(boxes_N4) == 0:
        return torch.zeros(0, *bank.mask_MYSS.shape[:2])
    best = torch.full((len(boxes_N4), *bank.mask_MYSS.shape[:2]), -1.0)
    for step, scales in PASSES:
        tried = [_moved(boxes_N4, shift, step, scale) for scale in scales for shift in SHIFTS]
        reached = []
        for boxes in tried:
            crops = cut_crops(rgb_B3HW, picture_N, boxes)
            scores = bank.scores(functional.interpolate(crops, (SIDE, SIDE), mode="area"))
            best = torch.maximum(best, scores)
            reached.append(scores.flatten(1).amax(dim=1))
        winner = torch.stack(reached).argmax(dim=0)
        boxes_N4 = torch.stack(tried)[winner, torch.arange(len(winner))]
    return best


def _moved(boxes_N4: Tensor, shift: tuple[float, float], step: float, scale: float) -> Tensor:
    size = boxes_N4[:, 2:] - boxes_N4[:, :2]
    middle = (boxes_N4[:, 2:] + boxes_N4[:, :2]) / 2 + step * size * torch.tensor(shift)
    return torch.cat([middle - scale * size / 2, middle + scale * size / 2], dim=1)


def best_yaw(scores_Y: Tensor) -> float:
    """Yaw (rad) of the highest of equally spaced scores, refined by a parabola through it and its
    neighbours."""
    count = len(scores_Y)
    top = int(scores_Y.argmax())
    left, middle, right = (float(scores_Y[(top + k) % count]) for k in (-1, 0, 1))
    bend = left - 2.0 * middle + right
    offset = 0.5 * (left - right) / bend if bend < -1e-9 else 0.0
    return float((top + np.clip(offset, -0.5, 0.5)) * 2.0 * np.pi / count)
