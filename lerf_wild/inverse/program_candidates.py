"""Candidates for objects: peaks of the detector's heat that count, each box but once.

Symbols: B pictures, K candidates a picture, N cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import nms

from lerf_wild.inverse.program_counting import Counting, Seen
from lerf_wild.inverse.program_detector import (
    SIZE,
    Found,
    ProgramDetector,
    boxes_from_map,
    seen_often,
)
from lerf_wild.inverse.program_samples import Sample
from lerf_wild.program.statements import KINDS

MOST = 25
OVERLAP = 0.7
"""Of two boxes that overlap more than this (intersection over union) the surer one stays; found on
the validation scenes."""
LEAST_SCORE = 0.01
"""Weaker centres are none."""
LEAST_SHARE = 1e-3
"""No kind is less likely."""


class Candidates(NamedTuple):
    """Boxes of pictures, filled up to one number a picture."""

    box_BK4: Tensor
    """In pixels."""
    score_BK: Tensor
    """Chances that they count."""
    there_BK: Tensor
    """Which of them are real."""
    kind_BK6: Tensor
    """Log shares of the kinds in the heat; 0 where there is no box."""


@torch.no_grad()
def candidates(found: Found, counting: Counting, threshold: float) -> Candidates:
    """What the detector takes for objects, by falling box area.

    Args:
        found: What it says of pictures.
        counting: What weighs its scores.
        threshold: Least chance that a box counts, 0 to 1.
    """
    parts = []
    for boxes_N4, score_N, kind_N6 in peaks(found):
        chance_N = counting(boxes_N4, score_N, SIZE)
        rows = kept(boxes_N4, chance_N, threshold)[:MOST]
        area = (boxes_N4[rows, 2:] - boxes_N4[rows, :2]).prod(dim=1)
        rows = rows[area.argsort(descending=True)]
        parts.append((boxes_N4[rows], chance_N[rows], kind_N6[rows]))
    return _filled(parts)


def kept(boxes_N4: Tensor, score_N: Tensor, least: float) -> Tensor:
    """Places of the boxes with more than the least score, each but once, the surest first."""
    rows = (score_N > least).nonzero()[:, 0]
    return rows[nms(boxes_N4[rows], score_N[rows], OVERLAP)]


@torch.no_grad()
def peaks(found: Found) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Boxes (N, 4) in pixels, scores (N,) and log shares of the kinds (N, 6) of the centres of each
    picture; of nearly equal boxes the one with the highest score."""
    heat = found.heat_BKhw.float().sigmoid()
    highest = heat.amax(dim=1, keepdim=True)
    score_BN = (highest * (functional.max_pool2d(highest, 3, 1, 1) == highest)).flatten(1)
    share = (heat / heat.sum(dim=1, keepdim=True)).clamp(min=LEAST_SHARE).log()
    kind_BN6 = share.flatten(2).transpose(1, 2)
    box_BN4 = boxes_from_map(found.box_B4hw).clamp(0, SIZE)
    rows = [kept(boxes, score, LEAST_SCORE) for boxes, score in zip(box_BN4, score_BN)]
    return [(box_BN4[b, r], score_BN[b, r], kind_BN6[b, r]) for b, r in enumerate(rows)]


def _filled(rows: Sequence[tuple[Tensor, ...]]) -> Candidates:
    most = max(1, *(len(score) for _, score, _ in rows))
    box_BK4, score_BK = torch.zeros(len(rows), most, 4), torch.zeros(len(rows), most)
    there_BK = torch.zeros(len(rows), most, dtype=torch.bool)
    kind_BK6 = torch.zeros(len(rows), most, len(KINDS))
    for b, (boxes, score, kind) in enumerate(rows):
        box_BK4[b, : len(score)], score_BK[b, : len(score)] = boxes, score
        there_BK[b, : len(score)], kind_BK6[b, : len(score)] = True, kind
    return Candidates(box_BK4, score_BK, there_BK, kind_BK6)


def boxes_seen(detector: ProgramDetector, samples: Sequence[Sample]) -> list[Seen]:
    """All centres that a detector sees in pictures, and the true boxes."""
    rows = []
    for sample in samples:
        rgb = torch.from_numpy(np.moveaxis(sample.rgb, 2, 0).copy())[None].float() / 255.0
        boxes, score, _ = peaks(seen_often(detector, rgb))[0]
        rows.append(Seen(boxes, score, torch.tensor(sample.boxes_K4).float().view(-1, 4)))
    return rows
