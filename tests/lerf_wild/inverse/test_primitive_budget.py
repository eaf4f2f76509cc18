"""A varied picture must be what rendering its varied objects gives."""

import pytest
import torch

from lerf_wild.inverse.primitive_budget import draw_varied, flipped, shifted, turned
from lerf_wild.inverse.primitive_setups import REFERENCE
from lerf_wild.render.primitives import render_orthographic


def drawn(count=12):
    return REFERENCE.draw(count, torch.Generator().manual_seed(20_050))


def assert_same_picture(images, scenes):
    # Pixels exactly on an edge may fall on either side.
    differing = (render_orthographic(scenes) - images).abs() > 2e-3
    assert differing.float().mean() < 1e-3
    determinant = torch.linalg.det(scenes.rotations_BK33)
    assert torch.allclose(determinant, torch.ones_like(determinant), atol=1e-4)


def test_flips():
    images, scenes = drawn()
    flip = torch.arange(12) % 2 == 0
    mirrored, objects = flipped(images, scenes, flip)
    assert_same_picture(mirrored, objects)
    assert torch.equal(mirrored[1], images[1]) and not torch.equal(mirrored[0], images[0])


@pytest.mark.parametrize("quarters", range(4))
def test_quarter_turns(quarters):
    images, scenes = drawn()
    assert_same_picture(*turned(images, scenes, torch.full((12,), quarters)))


@pytest.mark.parametrize("share", [(0.0, 0.0), (1.0, 1.0), (0.3, 0.9)])
def test_shifts(share):
    images, scenes = drawn()
    moved, objects = shifted(images, scenes, torch.tensor([share]).expand(12, 2))
    assert_same_picture(moved, objects)
    present = objects.positions_BK3[objects.kinds_BK >= 0]
    assert present[:, :2].abs().max() <= 0.9 + 1e-5


def test_all_together():
    images, scenes = drawn(40)
    generator = torch.Generator().manual_seed(1)
    varied, objects = draw_varied(images, scenes, 30, generator)
    assert varied.shape == (30, 64, 64)
    assert_same_picture(varied, objects)
