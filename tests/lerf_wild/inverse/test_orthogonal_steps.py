"""Steps of large matrices are orthogonal, and those of the rest are AdamW's."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from lerf_wild.inverse.orthogonal_steps import ADAMS_SIZE, OrthogonalSteps, is_large, orthogonal


def drawn(*shape: int):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_singular_values_become_about_one_and_vectors_stay(dtype):
    for shape in ((60, 90), (90, 60), (64, 16, 3, 3)):
        matrix = drawn(*shape) * torch.logspace(0, 1, shape[0]).view(-1, *[1] * (len(shape) - 1))
        found = orthogonal(matrix, dtype).flatten(1)
        values = torch.linalg.svdvals(found)
        assert 0.5 < float(values.min()) and float(values.max()) < 1.35
        left, _, right = torch.linalg.svd(matrix.flatten(1), full_matrices=False)
        nearest = left @ right
        assert float((found * nearest).sum() / found.norm() / nearest.norm()) > 0.97
    assert torch.equal(orthogonal(torch.zeros(50, 50)), torch.zeros(50, 50))


def test_small_parameters_go_the_way_of_adamw():
    ours, theirs = (nn.Parameter(drawn(5, 7)) for _ in range(2))
    own = OrthogonalSteps([], [ours], 0.01, 0.1)
    usual = torch.optim.AdamW([theirs], 0.01, (0.9, 0.99), weight_decay=0.1)
    for number in range(4):
        for parameter, optimiser in ((ours, own), (theirs, usual)):
            parameter.grad = (parameter.detach() - number).sin()
            optimiser.step()
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_steps_of_matrices_are_as_large_as_adams_and_go_on_from_a_state():
    weight = nn.Parameter(torch.zeros(64, 200))
    optimiser = OrthogonalSteps([weight], [], 0.01, 0.0)
    weight.grad = drawn(64, 200)
    optimiser.step()
    size = float(weight.detach().square().mean().sqrt())
    assert 0.6 * ADAMS_SIZE * 0.01 < size < 1.4 * ADAMS_SIZE * 0.01
    again = nn.Parameter(weight.detach().clone())
    later = OrthogonalSteps([again], [], 0.01, 0.0)
    later.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    for parameter, one in ((weight, optimiser), (again, later)):
        parameter.grad = drawn(64, 200).flip(0)
        one.step()
    assert torch.equal(weight, again)
    before = weight.detach().clone()
    weight.grad = None
    optimiser.step()
    assert torch.equal(weight, before)


def test_what_is_a_large_matrix():
    assert is_large(torch.zeros(64, 32, 3, 3)) and not is_large(torch.zeros(64, 3, 3, 3))
    assert not is_large(torch.zeros(500)) and not is_large(torch.zeros(8, 500))
