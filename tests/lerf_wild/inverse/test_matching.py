import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lerf_wild.inverse.matching import match_sets


def brute_force(cost, present, allowed):
    """Least total cost over all one-to-one pairings of as many as possible."""
    queries = [q for q in range(cost.shape[0]) if allowed[q]]
    slots = [k for k in range(cost.shape[1]) if present[k]]
    if len(queries) >= len(slots):
        choices = (zip(chosen, slots) for chosen in itertools.permutations(queries, len(slots)))
    else:
        choices = (zip(queries, chosen) for chosen in itertools.permutations(slots, len(queries)))
    return min(sum(float(cost[q, k]) for q, k in pairs) for pairs in choices)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 10_000))
def test_agrees_with_brute_force(queries, slots, seed):
    generator = torch.Generator().manual_seed(seed)
    cost = torch.randn(3, queries, slots, generator=generator)
    present = torch.rand(3, slots, generator=generator) < 0.7
    allowed = torch.rand(3, queries, generator=generator) < 0.7
    scene, query, slot = match_sets(cost, present, allowed)
    for b in range(3):
        mine = scene == b
        pairs = list(zip(query[mine].tolist(), slot[mine].tolist()))
        assert len(pairs) == min(int(present[b].sum()), int(allowed[b].sum()))
        assert len({q for q, _ in pairs}) == len({k for _, k in pairs}) == len(pairs)
        assert all(allowed[b, q] and present[b, k] for q, k in pairs)
        total = sum(float(cost[b, q, k]) for q, k in pairs)
        assert total == pytest.approx(brute_force(cost[b], present[b], allowed[b]), abs=1e-5)


def test_order_does_not_matter():
    cost = torch.randn(1, 6, 3, generator=torch.Generator().manual_seed(0))
    present = torch.ones(1, 3, dtype=torch.bool)
    _, query, slot = match_sets(cost, present)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    _, shuffled, shuffled_slot = match_sets(cost[:, order], present)
    pairs = set(zip(query.tolist(), slot.tolist()))
    assert {(int(order[q]), k) for q, k in zip(shuffled.tolist(), shuffled_slot.tolist())} == pairs


def test_nothing_to_pair():
    empty = match_sets(torch.zeros(2, 4, 3), torch.zeros(2, 3, dtype=torch.bool))
    assert all(part.shape == (0,) and part.dtype == torch.int64 for part in empty)
    assert all(part.shape == (0,) for part in match_sets(torch.zeros(0, 4, 3), torch.zeros(0, 3)))


def test_infinite_costs_are_survived():
    cost = torch.full((1, 2, 2), torch.inf)
    cost[0, 0, 1] = 0.0
    _, query, slot = match_sets(cost, torch.ones(1, 2, dtype=torch.bool))
    assert (0, 1) in set(zip(query.tolist(), slot.tolist()))


def test_costs_that_are_no_number_are_paired_last():
    cost = torch.tensor([[[torch.nan, 1.0], [2.0, torch.nan]]])
    _, queries, slots = match_sets(cost, torch.ones(1, 2, dtype=torch.bool))
    assert sorted(zip(queries.tolist(), slots.tolist())) == [(0, 1), (1, 0)]
