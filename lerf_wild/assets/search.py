"""Nearest assets by their templates: blocked dot products, the best yaw of each asset, margins.

Symbols: Q queries, A assets, T templates of an asset, D embedding dimensions. Embeddings have
length one, so that a dot product is a cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

BLOCK_ROWS = 1 << 14
"""Templates that are compared at a time; a block of 1,024 dimensions is 64 MB as float32."""


@dataclass(frozen=True)
class Match:
    """One asset that was found."""

    name: str
    kind: str
    score: float
    """Cosine of the query and the asset's best template."""
    yaw_deg: float
    """Yaw of that template."""


@dataclass(frozen=True)
class Answer:
    """What was found for one query, best first."""

    matches: tuple[Match, ...]
    margin: float
    """Score of the first match less that of the second; 0 when there is no second."""
    is_known: bool
    """Whether the first match reaches the threshold; else nothing in the library is like it."""

    @property
    def best(self) -> Match | None:
        """The first match, or None in an empty library."""
        return self.matches[0] if self.matches else None


def asset_scores(
    queries_QD: Float[Tensor, "Q D"], templates_ATD: Tensor, block_rows: int = BLOCK_ROWS
) -> tuple[Float[Tensor, "Q A"], Int[Tensor, "Q A"]]:
    """Score of every asset for every query, and the number of its best template.

    Args:
        queries_QD: Unit vectors, float32.
        templates_ATD: Unit vectors of any float type; a block at a time is made float32.
        block_rows: Templates in a block.
    """
    assets, per_asset, dim = templates_ATD.shape
    queries = len(queries_QD)
    scores = queries_QD.new_zeros(queries, assets)
    best = torch.zeros(queries, assets, dtype=torch.int64)
    step = max(block_rows // max(per_asset, 1), 1)
    for start in range(0, assets, step):
        block = templates_ATD[start : start + step]
        cosines = queries_QD @ block.reshape(-1, dim).to(queries_QD.dtype).T
        highest = cosines.view(queries, len(block), per_asset).max(dim=2)
        scores[:, start : start + step] = highest.values
        best[:, start : start + step] = highest.indices
    return scores, best


def top_assets(
    scores_QA: Float[Tensor, "Q A"], k: int, allowed_A: Bool[Tensor, " A"] | None = None
) -> tuple[Float[Tensor, "Q k"], Int[Tensor, "Q k"]]:
    """The k best scores of each query, best first, and their assets; ties go to the earlier one.

    Assets that are not allowed are passed over; fewer than k columns come back when fewer are
    left.
    """
    if allowed_A is None:
        places = torch.arange(scores_QA.shape[1])
    else:
        places = allowed_A.nonzero().flatten()
    left = scores_QA[:, places]
    k = min(k, left.shape[1])
    if k == 0:
        return left, torch.zeros(len(left), 0, dtype=torch.int64)
    order = torch.argsort(left, dim=1, descending=True, stable=True)[:, :k]
    return left.gather(1, order), places[order]


def margins(ordered_Qk: Float[Tensor, "Q k"]) -> Float[Tensor, " Q"]:
    """First score less the second, 0 where there is no second."""
    if ordered_Qk.shape[1] < 2:
        return ordered_Qk.new_zeros(len(ordered_Qk))
    return ordered_Qk[:, 0] - ordered_Qk[:, 1]


def answers(
    scores_QA: Float[Tensor, "Q A"],
    best_QA: Int[Tensor, "Q A"],
    names: Sequence[str],
    kinds: Sequence[str],
    step_deg: float,
    k: int,
    threshold: float,
    allowed_A: Bool[Tensor, " A"] | None = None,
) -> list[Answer]:
    """Put scores into words, one answer a query."""
    # The margin wants a second match even where one is asked for.
    ordered, places = top_assets(scores_QA, max(k, 2), allowed_A)
    gaps = margins(ordered)
    found = []
    for query in range(len(scores_QA)):
        matches = tuple(
            Match(
                names[place],
                kinds[place],
                float(score),
                float(best_QA[query, place]) * step_deg,
            )
            for score, place in zip(ordered[query, :k], places[query, :k].tolist())
        )
        is_known = bool(matches) and matches[0].score >= threshold
        found.append(Answer(matches, float(gaps[query]), is_known))
    return found
