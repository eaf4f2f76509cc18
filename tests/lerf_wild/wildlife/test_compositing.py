"""Items among samples, against a loop that marches a ray in tiny steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lerf_wild.wildlife.compositing import mean_depth, median_depth, mixed, mixed_answer


def marched(densities, starts, ends, hit, steps=4000):
    """Weights of samples and of an opaque hit, by adding up thin slices."""
    weights, left = [0.0] * len(densities), 1.0
    for i, (density, start, end) in enumerate(zip(densities, starts, ends)):
        width = (end - start) / steps
        for step in range(steps):
            if start + (step + 0.5) * width > hit:
                break
            lost = left * (1 - math.exp(-density * width))
            weights[i] += lost
            left -= lost
    return weights, left


@pytest.mark.parametrize("hit", [0.2, 0.75, 1.0, 1.9, 2.6, 5.0, math.inf])
def test_a_hit_leaves_what_is_before_it_and_hides_the_rest(hit):
    densities, edges = [0.4, 3.0, 0.05, 1.2], [0.3, 1.0, 1.6, 2.2, 3.0]
    starts, ends = torch.tensor([edges[:-1]]), torch.tensor([edges[1:]])
    sigma = torch.tensor([densities])
    alpha = 1 - torch.exp(-sigma * (ends - starts))
    before = torch.cat([torch.ones(1, 1), torch.cumprod(1 - alpha, dim=1)[:, :-1]], dim=1)
    found = mixed(alpha * before, starts, ends, torch.tensor([[hit]]))
    weights, left = marched(densities, edges[:-1], edges[1:], hit)
    np.testing.assert_allclose(found.weights_RS[0], weights, atol=1e-3)
    expected = (0.0, left) if math.isinf(hit) else (left, 0.0)
    assert float(found.item_weights_RK) == pytest.approx(expected[0], abs=1e-3)
    assert float(found.behind_R1) == pytest.approx(expected[1], abs=1e-3)


def random_rays(seed: int, rays: int = 64, samples: int = 12, hits: int = 4):
    draw = torch.Generator().manual_seed(seed)
    edges = torch.rand(rays, samples + 1, generator=draw).sort(dim=1).values * 4
    sigma = torch.rand(rays, samples, generator=draw) ** 4 * 40
    alpha = 1 - torch.exp(-sigma * edges.diff(dim=1))
    before = torch.cat([torch.ones(rays, 1), torch.cumprod(1 - alpha, dim=1)[:, :-1]], dim=1)
    distance = torch.rand(rays, hits, generator=draw) * 5
    distance[torch.rand(rays, hits, generator=draw) < 0.4] = math.inf
    return alpha * before, edges[:, :-1], edges[:, 1:], distance


def test_light_is_neither_lost_nor_made():
    weights, starts, ends, distance = random_rays(0)
    found = mixed(weights, starts, ends, distance)
    total = found.weights_RS.sum(1) + found.item_weights_RK.sum(1) + found.behind_R1[:, 0]
    torch.testing.assert_close(total, torch.ones(len(total)), atol=1e-5, rtol=0)
    assert bool((found.weights_RS <= weights + 1e-6).all())


def test_without_hits_nothing_changes_and_several_hits_are_the_mean_of_each():
    weights, starts, ends, distance = random_rays(1)
    none = mixed(weights, starts, ends, torch.full_like(distance, math.inf))
    torch.testing.assert_close(none.weights_RS, weights, atol=1e-5, rtol=0)
    assert float(none.item_weights_RK.sum()) == 0.0
    both = mixed(weights, starts, ends, distance)
    single = [mixed(weights, starts, ends, distance[:, k : k + 1]) for k in range(4)]
    mean = torch.stack([one.weights_RS for one in single]).mean(0)
    torch.testing.assert_close(both.weights_RS, mean, atol=1e-6, rtol=0)


def test_depths_are_those_of_what_is_seen():
    weights, starts, ends, _ = random_rays(2)
    middle = (starts + ends) / 2
    near = torch.full((len(weights), 1), 1e-4)
    found = mixed(weights, starts, ends, near)
    args = (middle, found.weights_RS, near, found.item_weights_RK)
    torch.testing.assert_close(median_depth(*args), near)
    torch.testing.assert_close(mean_depth(*args), near, atol=2e-3, rtol=0)
    far = torch.full((len(weights), 1), math.inf)
    unhit = mixed(weights, starts, ends, far)
    args = (middle, unhit.weights_RS, far, unhit.item_weights_RK)
    total = weights.cumsum(1)
    for row in range(len(weights)):
        index = next((i for i in range(12) if total[row, i] >= 0.5), 11)
        assert float(median_depth(*args)[row]) == pytest.approx(float(middle[row, index]))


def test_answers_mix_by_what_shows():
    field, item = torch.tensor([[0.2, 0.9]]), torch.tensor([[1.0, 0.1]])
    one = torch.ones(1, 1)
    torch.testing.assert_close(mixed_answer(field, item, one, 0 * one), field)
    torch.testing.assert_close(mixed_answer(field, item, 0 * one, one), item)
    torch.testing.assert_close(mixed_answer(field, item, one, 3 * one), 0.25 * field + 0.75 * item)
