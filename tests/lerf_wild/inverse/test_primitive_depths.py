import dataclasses

import pytest
import torch

from lerf_wild.inverse.primitive_depths import (
    DepthSpec,
    _contested_error,
    draw_depths,
    proposal_density,
    settle_depths,
)
from lerf_wild.inverse.primitive_setups import REFERENCE
from lerf_wild.render.primitive_scenes import PrimitiveScenes, with_positions
from lerf_wild.render.primitives_soft import hard_image

VIEW, LIMIT = REFERENCE.view, 0.3


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def spheres(*positions):
    count = len(positions)
    return PrimitiveScenes(
        torch.zeros(1, count, dtype=torch.long),
        torch.tensor([positions]),
        torch.eye(3).expand(1, count, 3, 3),
    )


def at_depths(scenes, *depths):
    positions = scenes.positions_BK3.clone()
    positions[..., 2] = torch.tensor(depths)
    return with_positions(scenes, positions)


def settled(images, scenes):
    return settle_depths(images, scenes, VIEW, LIMIT, generator(), DepthSpec()).positions_BK3


def test_bodies_that_cut_into_each_other_tell_their_relative_depth():
    truth = spheres((-0.15, 0.0, 0.1), (0.15, 0.1, -0.02))
    images = hard_image(truth, VIEW)
    depths = settled(images, at_depths(truth, 0.0, 0.0))[0, :, 2]
    assert float(depths[0] - depths[1]) == pytest.approx(0.12, abs=0.02)
    # The common depth stays open: its median is that of the prior.
    assert float(depths.mean()) == pytest.approx(0.0, abs=0.08)


def test_a_lone_object_goes_to_the_middle_of_the_prior():
    truth = spheres((0.3, 0.2, 0.25))
    assert abs(float(settled(hard_image(truth, VIEW), truth)[0, 0, 2])) < 0.05


def test_depths_that_explain_less_are_not_taken():
    truth = spheres((-0.15, 0.0, 0.1), (0.15, 0.1, -0.02), (0.0, -0.2, 0.28))
    images = hard_image(truth, VIEW)
    after = with_positions(truth, settled(images, truth))
    assert float((hard_image(after, VIEW) - images).abs().sum()) <= DepthSpec().tolerance


def test_contested_error_is_the_change_of_the_image():
    _, scenes = REFERENCE.draw(6, generator(20_060))
    images, _ = REFERENCE.draw(6, generator(20_061))
    change = 0.4 * torch.rand(6, 5, 3, generator=generator()) - 0.2
    spec = DepthSpec(pixels=4096)
    fast = _contested_error(images, scenes, VIEW, change, generator(), spec)
    slow = torch.stack(
        [
            (hard_image(moved_by(scenes, change[:, draw]), VIEW) - images).abs().sum((1, 2))
            for draw in range(5)
        ],
        1,
    )
    assert torch.allclose(fast - fast[:, :1], slow - slow[:, :1], atol=0.3)


def moved_by(scenes, change_BK):
    positions = scenes.positions_BK3.clone()
    positions[..., 2] += change_BK
    return with_positions(scenes, positions)


def test_density_turns_draws_into_the_prior():
    current = torch.tensor([[0.1, -0.05]])
    spec = DepthSpec(draws=200_000, local_std=0.05)
    drawn = draw_depths(current, LIMIT, generator(), spec)
    present = torch.ones(1, 2, dtype=torch.bool)
    weight = 1.0 / proposal_density(drawn - current[:, None], present, LIMIT, spec)
    weight = weight * (drawn.abs() <= LIMIT).all(-1)
    share = [float((weight * (drawn[..., 0] < edge)).sum() / weight.sum()) for edge in (-0.1, 0.2)]
    assert share == pytest.approx([1 / 3, 5 / 6], abs=0.02)
    assert float(weight.mean()) == pytest.approx(1.0, abs=0.02)


def test_draws_are_deterministic():
    images, scenes = REFERENCE.draw(3, generator(20_062))
    assert torch.equal(settled(images, scenes), settled(images, scenes))
    fewer = dataclasses.replace(DepthSpec(), draws=16)
    assert settle_depths(images, scenes, VIEW, LIMIT, generator(), fewer).kinds_BK.shape == (3, 3)
