"""The contraction against nerfstudio's own."""

from __future__ import annotations

import torch
from nerfstudio.field_components.spatial_distortions import SceneContraction
from torch import nn

from lerf_wild.methods.lerf_wild.contraction import CubeContraction, use_fast_contraction


def positions_of_every_kind() -> torch.Tensor:
    draw = torch.Generator().manual_seed(3)
    spread = torch.randn(500, 3, generator=draw) * torch.logspace(-3, 6, 500)[:, None]
    return torch.cat([spread, torch.zeros(1, 3), torch.ones(1, 3), torch.eye(3), -2 * torch.eye(3)])


def test_agrees_with_nerfstudio():
    positions = positions_of_every_kind()
    expected = SceneContraction(order=float("inf"))(positions)
    assert torch.allclose(CubeContraction()(positions), expected, atol=1e-6)


def test_gradients_agree_with_nerfstudio():
    gradients = []
    for contract in (SceneContraction(order=float("inf")), CubeContraction()):
        positions = positions_of_every_kind()[:500].requires_grad_()
        (contract(positions) * torch.arange(1.0, 4.0)).sum().backward()
        gradients.append(positions.grad)
    assert torch.allclose(*gradients, atol=1e-5)


def test_other_contractions_are_left_alone():
    part = nn.Module()
    part.spatial_distortion = SceneContraction()
    cube, bare = nn.Module(), nn.Module()
    cube.spatial_distortion = SceneContraction(order=float("inf"))
    use_fast_contraction(part, cube, bare)
    assert type(part.spatial_distortion) is SceneContraction
    assert type(cube.spatial_distortion) is CubeContraction
