"""RAW's baseline: an asset and its yaw as one number of a random order, written digit by digit.

Symbols: N objects, D width of the decoder, W beams.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lerf_wild.inverse.program_decoder import DigitHead
from lerf_wild.inverse.program_samples import Batch

YAWS = 72
BEAMS = 25
MOST_NAMES = 5


class Numbered(NamedTuple):
    """What the digits of an object say."""

    names: tuple[str, ...]
    """Assets, the likeliest first."""
    yaw_rad: float
    """Seen yaw of the likeliest."""
    margin: float
    """By how much its log probability exceeds that of the next asset."""


def number_order(assets: int) -> Tensor:
    """Number of each asset at each of 72 yaws, in a random order that is always the same: numbers
    that stand near each other mean nothing."""
    return torch.from_numpy(np.random.default_rng(0).permutation(assets * YAWS))


def permuted_ids(batch: Batch, assets: int) -> Tensor:
    """Number (B, K) of each object's asset at the nearest yaw."""
    step = (batch.yaw_NK.rad2deg() / (360 / YAWS)).round().long() % YAWS
    order = number_order(assets).to(step.device)
    return order[batch.asset_NK.clamp(min=0) * YAWS + step]


@torch.no_grad()
def likeliest_numbers(head: DigitHead, state_ND: Tensor, beams: int) -> tuple[Tensor, Tensor]:
    """Numbers (N, W) and their log probabilities, the likeliest first, by beam search."""
    number = torch.zeros(len(state_ND), 1, dtype=torch.long, device=state_ND.device)
    score, known = torch.zeros_like(number, dtype=state_ND.dtype), state_ND[:, None]
    for place in head.places:
        total = (score[..., None] + functional.log_softmax(place(known), dim=-1)).flatten(1)
        score, picked = total.topk(min(beams, total.shape[1]), dim=1)
        beam, digit = picked // 10, picked % 10
        number = 10 * number.gather(1, beam) + digit
        before = known.gather(1, beam[..., None].expand(-1, -1, known.shape[2]))
        known = torch.cat([before, functional.one_hot(digit, 10).to(before)], dim=2)
    return number, score


def read_numbers(head: DigitHead, state_ND: Tensor, names: Sequence[str]) -> list[Numbered]:
    """What the digits of N objects say, of a reader whose training had the named assets."""
    places = number_order(len(names)).argsort()
    numbers, scores = likeliest_numbers(head, state_ND, BEAMS)
    return [
        _numbered(row.tolist(), score.tolist(), names, places)
        for row, score in zip(numbers, scores)
    ]


def _numbered(
    numbers: list[int], scores: list[float], names: Sequence[str], places: Tensor
) -> Numbered:
    # Of five digits most numbers stand for nothing; should no beam end well, the first one's
    # remainder does.
    valid = [(n, s) for n, s in zip(numbers, scores) if n < len(places)]
    valid = valid or [(numbers[0] % len(places), scores[0])]
    first = int(places[valid[0][0]])
    found: dict[str, float] = {}
    for number, score in valid:
        found.setdefault(names[int(places[number]) // YAWS], score)
    best = list(found.values())
    margin = best[0] - best[1] if len(best) > 1 else 0.0
    return Numbered(tuple(found)[:MOST_NAMES], 2 * np.pi * (first % YAWS) / YAWS, margin)
