"""Search by templates: the blocked search against a naive one, gates, margins and ties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lerf_wild.assets.search import answers, asset_scores, margins, top_assets


def unit(seed: int, *shape: int) -> torch.Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(values, dim=-1)


def naive(queries: np.ndarray, templates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine by cosine."""
    scores = np.full((len(queries), len(templates)), -2.0)
    best = np.zeros(scores.shape, int)
    for q, query in enumerate(queries):
        for a, asset in enumerate(templates):
            for t, template in enumerate(asset):
                cosine = float(sum(x * y for x, y in zip(query, template)))
                if cosine > scores[q, a]:
                    scores[q, a], best[q, a] = cosine, t
    return scores, best


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 999), st.integers(1, 4), st.integers(1, 9), st.integers(1, 5))
def test_blocks_find_what_the_naive_search_finds(seed, queries, assets, per_asset):
    q, t = unit(seed, queries, 6), unit(seed + 1, assets, per_asset, 6)
    expected, expected_best = naive(q.double().numpy(), t.double().numpy())
    for block in (1, 7, 1000):
        scores, best = asset_scores(q, t, block)
        np.testing.assert_allclose(scores.numpy(), expected, atol=1e-6)
        np.testing.assert_array_equal(best.numpy(), expected_best)


def test_half_precision_templates_cost_little_accuracy():
    q, t = unit(0, 5, 128), unit(1, 30, 4, 128)
    exact, _ = asset_scores(q, t)
    rough, _ = asset_scores(q, t.half())
    assert (exact - rough).abs().max() < 1e-3


def test_ties_go_to_the_earlier_asset_and_gates_pass_assets_over():
    scores = torch.tensor([[0.2, 0.9, 0.9, 0.5]])
    values, places = top_assets(scores, 3)
    assert places.tolist() == [[1, 2, 3]] and values[0, 0] == 0.9
    values, places = top_assets(scores, 3, torch.tensor([True, False, True, False]))
    assert places.tolist() == [[2, 0]]
    values, places = top_assets(scores, 3, torch.zeros(4, dtype=torch.bool))
    assert places.shape == (1, 0) and margins(values).tolist() == [0.0]


def test_answers_say_name_yaw_margin_and_what_is_unknown():
    scores = torch.tensor([[0.2, 0.9, 0.6], [0.1, 0.3, 0.2]])
    best = torch.tensor([[0, 3, 1], [0, 2, 0]])
    kinds = ("bird", "tree", "rock")
    first, second = answers(scores, best, ("a", "b", "c"), kinds, 5.0, 1, 0.5)
    assert (first.best.name, first.best.kind, first.best.yaw_deg) == ("b", "tree", 15.0)
    assert first.margin == pytest.approx(0.3) and first.is_known and len(first.matches) == 1
    assert not second.is_known and second.best.name == "b"
    gate = torch.tensor([True, False, False])
    gated = answers(scores, best, ("a", "b", "c"), kinds, 5.0, 2, 0.0, gate)[0]
    assert [match.name for match in gated.matches] == ["a"] and gated.margin == 0.0
