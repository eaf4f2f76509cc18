"""The language field's algebra: what is deferred must equal what it is deferred from."""

from __future__ import annotations

import math

import pytest
import torch

from lerf_wild.language.relevancy import Query, relevancy
from lerf_wild.methods.lerf_wild.field import (
    GridSpec,
    LanguageField,
    render_linear,
    safe_normalise,
    scale_basis,
)
from lerf_wild.methods.lerf_wild.scale_search import (
    MIN_SAMPLE_WEIGHT,
    MIN_VISIBLE_WEIGHT,
    TopSamples,
    best_indices,
    fold_query,
    log_spaced_sizes,
    relevancy_at_indices,
    relevancy_over_sizes,
)

RANGE = torch.tensor([-4.0, 1.0])


def make_field(clip_dim=24, width=16, hidden_layers=2):
    torch.manual_seed(0)
    field = LanguageField(
        (GridSpec(3, 4, 16, 8, 2), GridSpec(2, 16, 32, 8, 4)), width, hidden_layers, clip_dim, 5, 8
    )
    for parameter in field.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return field


def make_query(dim, phrases=3):
    unit = torch.nn.functional.normalize(torch.randn(phrases + 4, dim), dim=-1)
    names = tuple(f"phrase {i}" for i in range(phrases))
    return Query(names, unit[:phrases], ("object", "things", "stuff", "texture"), unit[phrases:])


def make_samples(rays=9, samples=5):
    torch.manual_seed(1)
    weights = torch.rand(rays, samples) / samples
    weights[0] = 0.0
    return TopSamples(torch.rand(rays, samples, 3), weights)


def relevancy_naive(field, samples, query, size):
    """The official order: every sample to D dimensions, rendered, normalised, compared."""
    features = field.encode(samples.positions_RK3)
    sizes = torch.full(samples.weights_RK.shape, float(size))
    hidden = field.clip_hidden(
        field.clip_position_part(features), field.clip_scale_part(sizes, RANGE)
    )
    embeddings = field.clip_head(hidden)
    rendered = (samples.weights_RK[..., None] * embeddings).sum(dim=1)
    visible = samples.weights_RK.sum(dim=1, keepdim=True) >= MIN_VISIBLE_WEIGHT
    return relevancy(rendered, query) * visible


@pytest.mark.parametrize(("clip_dim", "width"), [(24, 16), (12, 16), (16, 16), (17, 16)])
def test_folded_relevancy_is_exact(clip_dim, width):
    field = make_field(clip_dim, width)
    query, samples = make_query(clip_dim), make_samples()
    sizes = log_spaced_sizes(RANGE, 6)
    folded = fold_query(query, field.clip_head)
    with torch.no_grad():
        found = relevancy_over_sizes(field, samples, folded, sizes, RANGE)
        for index, size in enumerate(sizes):
            expected = relevancy_naive(field, samples, query, size)
            assert torch.allclose(found[:, index], expected, atol=1e-5)
    assert found.min() >= 0 and found.max() <= 1
    assert (found[0] == 0).all()


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_sizes_and_relevancy_do_not_depend_on_the_chunk(chunk):
    field, samples = make_field(), make_samples()
    folded, sizes = fold_query(make_query(24), field.clip_head), log_spaced_sizes(RANGE, 5)
    with torch.no_grad():
        table = relevancy_over_sizes(field, samples, folded, sizes, RANGE)
        index = best_indices(field, samples, folded, sizes, RANGE, chunk)
        found = relevancy_at_indices(field, samples, folded, sizes, index, RANGE, chunk)
    assert torch.equal(index, table.amax(dim=0).argmax(dim=0))
    assert torch.allclose(found, table[:, index, torch.arange(3)], atol=1e-6)
    assert torch.allclose(found.amax(dim=0), table.amax(dim=(0, 1)), atol=1e-6)


def test_light_samples_are_left_out():
    field, samples = make_field(), make_samples()
    folded, sizes = fold_query(make_query(24), field.clip_head), log_spaced_sizes(RANGE, 2)
    light = samples.weights_RK.clone()
    light[:, 0] = 0.9 * MIN_SAMPLE_WEIGHT
    without = light.clone()
    without[:, 0] = 0.0
    with torch.no_grad():
        pair = [
            relevancy_over_sizes(
                field, TopSamples(samples.positions_RK3, weights), folded, sizes, RANGE
            )
            for weights in (light, without)
        ]
    assert torch.equal(*pair)


def test_rendering_through_a_linear_head_is_deferred_exactly():
    head = torch.nn.Linear(6, 4)
    hidden, weights = torch.randn(7, 5, 6), torch.rand(7, 5)
    expected = (weights[..., None] * head(hidden)).sum(dim=1)
    assert torch.allclose(render_linear(head, hidden, weights), expected, atol=1e-6)


def test_safe_normalise_of_zero_has_finite_gradient():
    vectors = torch.zeros(3, 4, requires_grad=True)
    unit = safe_normalise(vectors)
    unit.sum().backward()
    assert torch.equal(unit, torch.zeros(3, 4))
    assert torch.isfinite(vectors.grad).all()


def test_safe_normalise_gives_unit_vectors():
    vectors = torch.randn(10, 4) * torch.logspace(-3, 3, 10)[:, None]
    assert torch.allclose(safe_normalise(vectors).norm(dim=-1), torch.ones(10), atol=1e-5)


def test_scale_basis_tells_sizes_apart_and_is_bounded():
    sizes = torch.logspace(-4, 1, 40, base=2.0)
    basis = scale_basis(sizes, RANGE)
    assert basis.abs().max() <= 2.0
    assert torch.cdist(basis, basis).add(10 * torch.eye(40)).min() > 0.01


def test_scale_basis_holds_sizes_outside_the_training_set():
    far = scale_basis(torch.tensor([0.0, 1e-9, 1e9, math.inf]), RANGE)
    assert torch.isfinite(far).all()
    assert torch.equal(far[0], far[1])


def test_sizes_are_even_in_their_logarithm():
    sizes = log_spaced_sizes(RANGE, 6)
    assert torch.allclose(sizes.log2(), torch.arange(-4.0, 2.0), atol=1e-5)


def test_encoding_gives_no_gradient_to_positions():
    positions = torch.rand(4, 3, requires_grad=True)
    make_field().encode(positions).sum().backward()
    assert positions.grad is None
