"""The fast hash grid against a plain loop and against nerfstudio's own."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from nerfstudio.field_components.encodings import HashEncoding

from lerf_wild.methods.lerf_wild.hash_grid import hash_lookup, use_fast_lookup


def make_grid(levels=4, table=8, features=3):
    torch.manual_seed(0)
    return HashEncoding(levels, 4, 64, table, features, 1.0, implementation="torch")


def hash_grid_naive(grid: HashEncoding, point: list[float]) -> list[float]:
    """Instant-NGP's lookup, one corner after the other, in exact integers."""
    found = []
    for level in range(grid.num_levels):
        scale = float(grid.scalings[level])
        value = [0.0] * grid.features_per_level
        for corner in itertools.product((0, 1), repeat=3):
            weight, code = 1.0, 0
            for axis, upper in enumerate(corner):
                scaled = point[axis] * scale
                share = scaled - math.floor(scaled)
                weight *= share if upper else 1 - share
                cell = math.ceil(scaled) if upper else math.floor(scaled)
                code ^= cell * (1, 2654435761, 805459861)[axis]
            row = grid.hash_table[code % grid.hash_table_size + level * grid.hash_table_size]
            value = [v + weight * float(r) for v, r in zip(value, row)]
        found += value
    return found


def test_values_are_those_of_the_plain_loop():
    grid = make_grid()
    points = torch.rand(20, 3, generator=torch.Generator().manual_seed(1))
    expected = torch.tensor([hash_grid_naive(grid, point.tolist()) for point in points])
    assert torch.allclose(hash_lookup(grid, points), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(50, 3), (5, 7, 3), (0, 3)])
def test_agrees_with_nerfstudio(shape):
    grid = make_grid()
    points = torch.rand(shape)
    assert torch.allclose(hash_lookup(grid, points), grid.pytorch_fwd(points), atol=1e-6)


def test_gradients_agree_with_nerfstudio():
    points, weights = torch.rand(200, 3), torch.randn(200, 12)
    gradients = []
    for lookup in (lambda g, x: g.pytorch_fwd(x), hash_lookup):
        grid = make_grid()
        (lookup(grid, points) * weights).sum().backward()
        gradients.append(grid.hash_table.grad)
    assert torch.allclose(*gradients, atol=1e-4)


def test_corners_of_the_unit_cube():
    grid = make_grid()
    points = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)))
    assert torch.allclose(hash_lookup(grid, points), grid.pytorch_fwd(points), atol=1e-6)


def test_use_fast_lookup_counts_grids():
    module = torch.nn.ModuleList([make_grid(), torch.nn.Linear(2, 2), make_grid()])
    assert use_fast_lookup(module) == 2
    assert torch.allclose(module[0](torch.zeros(1, 3)), make_grid()(torch.zeros(1, 3)), atol=1e-6)
