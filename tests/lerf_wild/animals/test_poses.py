"""Gaits and postures: feet on the ground, angles in limits, legs that reach."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from lerf_wild.animals import schema
from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.animals.poses import legs
from lerf_wild.animals.poses.gaits import GAITS, cycle, foot_path, leg_length
from lerf_wild.animals.poses.library import (
    ACTIONS,
    draw_pose,
    gait_cycle,
    joint_limits,
    within_limits,
)
from lerf_wild.animals.size import ground_shift, metres_per_unit, withers_height
from lerf_wild.errors import InputError

SPECIES = ("dog", "horse", "dachshund", "giraffe", "hippo")


def betas_of(name):
    return load_quadruped().betas_of(name)


@pytest.mark.parametrize("leg", range(4))
def test_legs_reach_where_they_can(leg):
    rest = load_quadruped().model.rest_joints().numpy().astype(float)
    chain = rest[list(legs.LEG_CHAINS[leg])]
    upper, lower, _ = np.diff(chain, axis=0)
    full = np.linalg.norm(upper) + np.linalg.norm(lower)
    rng = np.random.default_rng(leg)
    angle, far = rng.uniform(-2.2, -0.9, 50), rng.uniform(0.5, 0.95, 50) * full
    wrist = chain[0] + np.stack([far * np.cos(angle), 0 * far, far * np.sin(angle)], 1)
    first, second = legs.reach(np.repeat(chain[:1], 50, 0), wrist, upper, lower)
    found = chain[0] + legs.turned(upper, first) + legs.turned(lower, second)
    # Segments lean a little sideways, which the side plane knows nothing of.
    np.testing.assert_allclose(found[:, [0, 2]], wrist[:, [0, 2]], atol=0.02)


def test_rest_needs_no_turn():
    rest = load_quadruped().model.rest_joints().numpy().astype(float)
    for chain in legs.LEG_CHAINS:
        points = rest[list(chain)]
        upper, lower, _ = np.diff(points, axis=0)
        first, second = legs.reach(points[:1], points[2:3], upper, lower)
        assert abs(first[0]) < 0.12 and abs(second[0]) < 0.12


def test_turned_is_a_rotation_about_left():
    vector, pitch = np.array([0.3, 0.2, -0.7]), 0.6
    matrix = roma.rotvec_to_rotmat(torch.tensor([0.0, pitch, 0.0], dtype=torch.float64)).numpy()
    np.testing.assert_allclose(legs.turned(vector, np.array(pitch)), matrix @ vector)


@pytest.mark.parametrize("gait", list(GAITS))
def test_a_carrying_foot_moves_back_evenly_and_stays_down(gait):
    times = np.linspace(0, 1, 400, endpoint=False)
    for leg in range(4):
        forward, up, _ = foot_path(GAITS[gait], times, leg)
        carrying = ((times - GAITS[gait].phases[leg]) % 1.0) < GAITS[gait].duty
        assert (up[carrying] == 0).all() and up.max() > 0.9
        steps = np.diff(forward)[carrying[:-1] & carrying[1:]]
        assert np.ptp(steps[steps < 0]) < 1e-9
        assert forward.max() <= 0.5 and forward.min() >= -0.5


@pytest.mark.parametrize("name", SPECIES)
@pytest.mark.parametrize("gait", list(GAITS))
def test_gaits_keep_to_the_ground_and_the_limits(name, gait):
    model = load_quadruped().model
    pose = gait_cycle(model, betas_of(name), gait, 8)
    posed = model.pose(betas_of(name), pose.rotations.float(), pose.translation.float())
    lowest = posed.vertices[..., 2].amin(-1)
    assert lowest.min() > -2e-3
    assert lowest.max() < (0.3 if gait == "gallop" else 2e-3)
    assert torch.isfinite(posed.vertices).all()
    vectors = roma.rotmat_to_rotvec(pose.rotations).numpy()
    limits = joint_limits()
    assert (vectors >= limits[..., 0] - 1e-6).all() and (vectors <= limits[..., 1] + 1e-6).all()


def test_carrying_feet_slide_little():
    """Seen from the moving trunk, a carrying foot goes straight back at one speed."""
    model = load_quadruped().model
    betas = betas_of("horse")
    rest = model.rest_joints(betas).numpy().astype(float)
    times = np.arange(50) / 50
    vectors, shift = cycle(GAITS["walk"], rest, times)
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(vectors))
    posed = model.to(torch.float64).pose(betas.double(), rotations, torch.from_numpy(shift))
    stride = GAITS["walk"].stride * leg_length(rest)
    for leg, chain in enumerate(legs.LEG_CHAINS):
        forward, up, _ = foot_path(GAITS["walk"], times, leg)
        foot = posed.joints[:, chain[3]].numpy()
        down = up == 0
        gap = foot[down, 0] - rest[chain[3], 0] - stride * forward[down]
        assert np.abs(gap).max() < 0.05 * stride
        assert np.abs(foot[down, 2] - rest[chain[3], 2]).max() < 0.03


@pytest.mark.parametrize("name", SPECIES)
@pytest.mark.parametrize("action", ACTIONS)
def test_poses_stand_on_the_ground(name, action):
    model = load_quadruped().model
    found, pose = draw_pose(model, betas_of(name), np.random.default_rng(3), action)
    assert found == action
    posed = model.pose(betas_of(name), pose.rotations.float(), pose.translation.float())
    assert abs(float(posed.vertices[:, 2].min())) < 1e-4
    upright = float(posed.vertices[:, 2].max())
    standing = float(withers_height(model, model.rest(betas_of(name))))
    assert upright < 3.2 * standing
    if action == "lie":
        assert posed.joints[0, 2] < 0.75 * standing


def test_postures_look_as_they_should():
    model = load_quadruped().model
    joints = {}
    for action in ("stand", "graze", "sit", "lie"):
        _, pose = draw_pose(model, betas_of("dog"), np.random.default_rng(0), action, spread=0.0)
        joints[action] = model.pose(
            betas_of("dog"), pose.rotations.float(), pose.translation.float()
        ).joints
    head, hip = schema.HEAD, 0
    assert joints["graze"][head, 2] < 0.7 * joints["stand"][head, 2]
    assert joints["sit"][hip, 2] < 0.7 * joints["stand"][hip, 2]
    assert joints["sit"][6, 2] > joints["sit"][hip, 2] + 0.2
    assert joints["lie"][6, 2] < 0.7 * joints["stand"][6, 2]


def test_draws_follow_the_seed():
    model = load_quadruped().model
    first = draw_pose(model, None, np.random.default_rng(1))
    again = draw_pose(model, None, np.random.default_rng(1))
    other = draw_pose(model, None, np.random.default_rng(2))
    assert first[0] == again[0] and torch.equal(first[1].rotations, again[1].rotations)
    assert not torch.equal(first[1].rotations, other[1].rotations)


def test_limits_hold_any_vector():
    wild = np.random.default_rng(0).normal(0, 5, (10, 35, 3))
    tame, limits = within_limits(wild), joint_limits()
    assert (tame >= limits[..., 0]).all() and (tame <= limits[..., 1]).all()
    order = schema.joint_mirror()
    np.testing.assert_array_equal(limits[order], limits)


def test_unknown_words_are_named():
    model = load_quadruped().model
    with pytest.raises(InputError, match="moonwalk"):
        gait_cycle(model, None, "moonwalk", 4)
    with pytest.raises(InputError, match="actions are walk"):
        draw_pose(model, None, np.random.default_rng(0), "fly")


def test_metric_size():
    quadruped = load_quadruped()
    model = quadruped.model
    for name, betas in quadruped.species_betas.items():
        height = quadruped.species_height_m[name]
        factor = metres_per_unit(model, betas, height)
        assert float(withers_height(model, model.rest(betas) * factor)) == pytest.approx(height)
    both = torch.stack([betas_of("dog"), betas_of("horse")])
    assert metres_per_unit(model, both, 1.0).shape == (2,)
    with pytest.raises(InputError, match="withers height"):
        metres_per_unit(model, None, 0.0)
    shifted = model.template_V3 + ground_shift(model.template_V3)
    assert float(shifted[:, 2].min()) == 0.0


@pytest.mark.parametrize("action", ["sit", "lie"])
@pytest.mark.parametrize("name", ["leopard", "red fox", "horse", "dog"])
def test_no_animal_stands_on_its_tail(name, action):
    model = load_quadruped().model
    owner = model.weights_VJ.argmax(1)
    tail = (owner >= schema.TAIL[0]) & (owner <= schema.TAIL[-1])
    for seed in range(3):
        _, pose = draw_pose(model, betas_of(name), np.random.default_rng(seed), action)
        posed = model.pose(betas_of(name), pose.rotations.float(), pose.translation.float())
        assert abs(posed.vertices[~tail, 2].min()) < 0.02
