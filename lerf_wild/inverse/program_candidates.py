"""Candidates for objects: peaks of the detector's heat, each box but once.

Symbols: B pictures, K candidates a picture, N cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import nms

from lerf_wild.inverse.program_detector import SIZE, Found, boxes_from_map
from lerf_wild.program.statements import KINDS

MOST = 25
OVERLAP = 0.3
"""Of two boxes that overlap more than this (intersection over union) the surer one stays; found on
the validation scenes."""
LEAST_SHARE = 1e-3
"""No kind is less likely."""


class Candidates(NamedTuple):
    """Boxes of pictures, filled up to one number a picture."""

    box_BK4: Tensor
    """In pixels."""
    score_BK: Tensor
    there_BK: Tensor
    """Which of them are real."""
    kind_BK6: Tensor
    """Log shares of the kinds in the heat; 0 where there is no box."""


@torch.no_grad()
def candidates(found: Found, threshold: float) -> Candidates:
    """What the detector takes for objects, by falling box area.

    Args:
        found: What it says of pictures.
        threshold: Least score, 0 to 1.
    """
    heat = found.heat_BKhw.float().sigmoid()
    highest = heat.amax(dim=1, keepdim=True)
    score_BN = (highest * (functional.max_pool2d(highest, 3, 1, 1) == highest)).flatten(1)
    share = (heat / heat.sum(dim=1, keepdim=True)).clamp(min=LEAST_SHARE).log()
    kind_BN6 = share.flatten(2).transpose(1, 2)
    box_BN4 = boxes_from_map(found.box_B4hw).clamp(0, SIZE)
    kept = [_kept(boxes, score, threshold) for boxes, score in zip(box_BN4, score_BN)]
    parts = [
        (box_BN4[b, rows], score_BN[b, rows], kind_BN6[b, rows]) for b, rows in enumerate(kept)
    ]
    return _filled(parts)


def _kept(boxes_N4: Tensor, score_N: Tensor, threshold: float) -> Tensor:
    rows = (score_N > threshold).nonzero()[:, 0]
    rows = rows[nms(boxes_N4[rows], score_N[rows], OVERLAP)][:MOST]
    area = (boxes_N4[rows, 2:] - boxes_N4[rows, :2]).prod(dim=1)
    return rows[area.argsort(descending=True)]


def _filled(rows: Sequence[tuple[Tensor, ...]]) -> Candidates:
    most = max(1, *(len(score) for _, score, _ in rows))
    box_BK4, score_BK = torch.zeros(len(rows), most, 4), torch.zeros(len(rows), most)
    there_BK = torch.zeros(len(rows), most, dtype=torch.bool)
    kind_BK6 = torch.zeros(len(rows), most, len(KINDS))
    for b, (boxes, score, kind) in enumerate(rows):
        box_BK4[b, : len(score)], score_BK[b, : len(score)] = boxes, score
        there_BK[b, : len(score)], kind_BK6[b, : len(score)] = True, kind
    return Candidates(box_BK4, score_BK, there_BK, kind_BK6)
