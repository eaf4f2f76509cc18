"""Candidates for objects: what the detector finds, looked at once more box by box.

The detector sees a picture in cells of eight pixels, and takes a head for a small animal or a bough
for a tree. The crop network sees each box at its own size, and has learned to tell a box around one
whole object from one around a part, a pair, or bare ground.

Symbols: B pictures, K candidates a picture, N boxes in all, Q true objects of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_iou, nms

from lerf_wild.inverse.program_crops import CropNetwork, cut_crops
from lerf_wild.inverse.program_detector import SIZE, Found, boxes_from_map
from lerf_wild.inverse.program_samples import Batch

MOST_ALIKE = 0.4
"""A box that overlaps more than this (intersection over union) with an object is no fragment."""
LEAST_SIDE_PX = 6.0
LEAST = 0.4
"""What the detector alone must reach, as a share of the threshold, to be looked at once more."""
WHOLE_WEIGHT = 0.5
"""What the second look counts beside the detector's log odds."""
MOST_LOOKED_AT, MOST = 40, 25
OVERLAP = 0.3
"""Of two boxes that overlap more than this (intersection over union) the surer one stays. This and
the weights above were found on validation scenes."""


class Candidates(NamedTuple):
    """Boxes of pictures, filled up to one number a picture."""

    box_BK4: Tensor
    """In pixels."""
    score_BK: Tensor
    there_BK: Tensor
    """Which of them are real."""


@torch.no_grad()
def candidates(
    network: CropNetwork, rgb_B3HW: Tensor, found: Found, threshold: float
) -> Candidates:
    """What counts as an object by the detector and by a second look, by falling box area.

    Args:
        network: What looks at boxes.
        rgb_B3HW: Pictures in 0-1.
        found: What the detector says of them.
        threshold: Least score, 0 to 1.
    """
    heat = found.heat_BKhw.float().sigmoid().amax(dim=1, keepdim=True)
    score_BN = (heat * (functional.max_pool2d(heat, 3, 1, 1) == heat)).flatten(1)
    box_BN4 = boxes_from_map(found.box_B4hw).clamp(0, SIZE)
    kept = []
    for b in range(len(heat)):
        rows = (score_BN[b] > LEAST * threshold).nonzero()[:, 0]
        rows = rows[score_BN[b, rows].argsort(descending=True)][:MOST_LOOKED_AT]
        boxes = box_BN4[b, rows]
        whole = _whole(network, rgb_B3HW[b : b + 1], boxes)
        score = (score_BN[b, rows].logit(eps=1e-6) + WHOLE_WEIGHT * whole).sigmoid()
        sure = (score > threshold).nonzero()[:, 0]
        sure = sure[nms(boxes[sure], score[sure], OVERLAP)][:MOST]
        area = (boxes[sure, 2:] - boxes[sure, :2]).prod(dim=1)
        sure = sure[area.argsort(descending=True)]
        kept.append((boxes[sure], score[sure]))
    return _filled(kept)


def _whole(network: CropNetwork, rgb_13HW: Tensor, boxes_N4: Tensor) -> Tensor:
    """Logits (N,) that boxes frame one whole object, by the picture and its mirror image."""
    if len(boxes_N4) == 0:
        return boxes_N4.new_zeros(0)
    crops = cut_crops(rgb_13HW, torch.zeros(len(boxes_N4), dtype=torch.long), boxes_N4)
    both = network(torch.cat([crops, crops.flip(-1)])).whole_N
    return both.unflatten(0, (2, -1)).mean(dim=0)


def _filled(rows: Sequence[tuple[Tensor, Tensor]]) -> Candidates:
    most = max(1, *(len(score) for _, score in rows))
    box_BK4, score_BK = torch.zeros(len(rows), most, 4), torch.zeros(len(rows), most)
    there_BK = torch.zeros(len(rows), most, dtype=torch.bool)
    for b, (boxes, score) in enumerate(rows):
        box_BK4[b, : len(score)], score_BK[b, : len(score)] = boxes, score
        there_BK[b, : len(score)] = True
    return Candidates(box_BK4, score_BK, there_BK)


def fragments(batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Boxes of no whole object, which the crop network learns to refuse: parts of objects, boxes
    beside them and boxes far too large.

    Returns:
        The picture (N,) of each and the boxes (N, 4) in pixels, one an object at most.
    """
    picture, place = batch.there_NK.nonzero(as_tuple=True)
    true = batch.boxes_NK4[picture, place]
    low, size = true[:, :2], true[:, 2:] - true[:, :2]

    def drawn(first: float, last: float) -> Tensor:
        return first + (last - first) * torch.rand(len(true), 2, generator=generator).to(true)

    share = drawn(0.25, 0.8)
    part = low + drawn(0.0, 1.0) * (1.0 - share) * size
    away = low + torch.where(drawn(-1.0, 1.0) < 0.0, -1.0, 1.0) * drawn(0.3, 1.0) * size
    factor = drawn(1.3, 2.4)
    around = low - drawn(0.0, 1.0) * (factor - 1.0) * size
    boxes_3N4 = torch.stack(
        [
            torch.cat([part, part + share * size], dim=1),
            torch.cat([away, away + size], dim=1),
            torch.cat([around, around + factor * size], dim=1),
        ]
    )
    # Half are parts, the detector's commonest mistake.
    sort = (drawn(0.0, 4.0)[:, 0].floor().long() - 1).clamp(min=0)
    boxes = boxes_3N4[sort, torch.arange(len(true))].clamp(0, batch.rgb_N3HW.shape[-1])
    wide = (boxes[:, 2:] - boxes[:, :2]).amin(dim=1) > LEAST_SIDE_PX
    kept = wide & (_nearest(batch, picture, boxes) < MOST_ALIKE)
    return picture[kept], boxes[kept]


def _nearest(batch: Batch, picture_N: Tensor, boxes_N4: Tensor) -> Tensor:
    """Largest intersection over union (N,) of each box with an object of its picture."""
    there_NQ = batch.there_NK[picture_N]
    own_NQ4 = batch.boxes_NK4[picture_N]
    rows = [box_iou(box[None], own)[0] for box, own in zip(boxes_N4, own_NQ4)]
    alike = torch.stack(rows) if rows else torch.zeros(0, there_NQ.shape[1])
    return alike.masked_fill(~there_NQ, 0.0).amax(dim=1)
