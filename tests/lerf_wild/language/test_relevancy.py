from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lerf_wild.errors import QueryError
from lerf_wild.language.relevancy import (
    CANONICAL_PHRASES,
    Query,
    clean_phrases,
    make_query,
    relevancy,
    relevancy_from_cosines,
)


def relevancy_slowly(embedding, query) -> list[float]:
    """The formula of the paper, one exponential at a time."""
    e = [float(x) for x in embedding]
    length = math.sqrt(sum(x * x for x in e)) or 1.0
    e = [x / length for x in e]

    def weight(other) -> float:
        return math.exp(query.temperature * sum(a * float(b) for a, b in zip(e, other)))

    return [
        min(weight(q) / (weight(q) + weight(c)) for c in query.canonical_CD)
        for q in query.embeddings_PD
    ]


@pytest.mark.parametrize("count", [1, 200])
def test_agrees_with_loops(fake_encoder, generator, count):
    query = make_query([f"animal {i}" for i in range(count)], fake_encoder)
    embeddings = torch.randn(7, fake_encoder.dim, generator=generator) * 3
    got = relevancy(embeddings, query)
    assert got.shape == (7, count)
    expected = torch.tensor([relevancy_slowly(e, query) for e in embeddings])
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


def test_any_batch_dimensions_and_chunks(fake_encoder, generator):
    query = make_query(["fox", "oak"], fake_encoder)
    embeddings = torch.randn(4, 5, fake_encoder.dim, generator=generator)
    whole = relevancy(embeddings, query)
    assert whole.shape == (4, 5, 2)
    torch.testing.assert_close(torch.stack([relevancy(e, query) for e in embeddings]), whole)


def test_cosines_are_enough(fake_encoder, generator):
    query = make_query(["fox", "oak"], fake_encoder)
    unit = torch.nn.functional.normalize(torch.randn(9, fake_encoder.dim, generator=generator))
    from_cosines = relevancy_from_cosines(unit @ query.embeddings_PD.T, unit @ query.canonical_CD.T)
    torch.testing.assert_close(from_cosines, relevancy(unit, query))


def test_zero_embeddings_are_undecided(fake_encoder):
    query = make_query(["fox"], fake_encoder)
    embeddings = torch.zeros(3, fake_encoder.dim, requires_grad=True)
    scores = relevancy(embeddings, query)
    assert (scores == 0.5).all()
    scores.sum().backward()
    assert embeddings.grad.isfinite().all()


def test_half_precision_stays_close(fake_encoder, generator):
    query = make_query(["fox", "oak"], fake_encoder)
    embeddings = torch.randn(50, fake_encoder.dim, generator=generator)
    torch.testing.assert_close(
        relevancy(embeddings.half(), query), relevancy(embeddings, query), atol=2e-3, rtol=0
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 100))
def test_scores_are_shares_and_half_means_winning(seed, temperature):
    generator = torch.Generator().manual_seed(seed)
    positive, canonical = (torch.rand(20, n, generator=generator) * 2 - 1 for n in (3, 4))
    scores = relevancy_from_cosines(positive, canonical, temperature)
    assert ((scores >= 0) & (scores <= 1)).all()
    margin = positive - canonical.max(dim=-1, keepdim=True).values
    decided = margin.abs() > 1e-4
    assert torch.equal((scores > 0.5)[decided], (margin > 0)[decided])


def test_a_query_can_move(fake_encoder):
    query = make_query(["fox"], fake_encoder, temperature=5.0)
    moved = query.to("cpu")
    assert isinstance(moved, Query)
    assert moved.temperature == 5.0
    assert moved.canonical == CANONICAL_PHRASES


def test_phrases_are_cleaned():
    phrases = clean_phrases(["  red\tfox \n", "chêne", "a\x00b", "lone \ud800 surrogate"])
    assert phrases == ("red fox", "chêne", "a b", "lone surrogate")


@pytest.mark.parametrize(
    ("phrases", "expected"),
    [
        ([], "1 to 200"),
        (["x"] * 201, "201"),
        (["fox", " \n\x07 "], "empty"),
        (["x" * 257], "257 characters"),
        ("fox", "list"),
        ([3], "int"),
    ],
)
def test_wrong_phrases_are_refused(fake_encoder, phrases, expected):
    with pytest.raises(QueryError, match=expected):
        make_query(phrases, fake_encoder)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_wrong_temperature_is_refused(fake_encoder, temperature):
    with pytest.raises(QueryError, match="temperature"):
        make_query(["fox"], fake_encoder, temperature=temperature)
