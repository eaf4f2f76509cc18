"""Skinning against a loop over joints and vertices, and what must hold exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from lerf_wild.animals.body import BodyModel, mirrored_pose
from lerf_wild.animals.schema import (
    JOINT_NAMES,
    KEYPOINT_MIRROR,
    KEYPOINT_NAMES,
    PARENTS,
    joint_mirror,
    limb_scale_mask,
    tree_levels,
)
from lerf_wild.animals.skinning import joint_transforms, limb_scales, skin
from lerf_wild.errors import InputError

VERTICES, BETAS = 40, 5


def make_model(seed: int = 0, dtype: torch.dtype = torch.float64) -> BodyModel:
    """A random model with few vertices, mirrored by construction, with pose blend shapes."""
    rng = np.random.default_rng(seed)
    half = VERTICES // 2
    mirror = np.concatenate([np.arange(half) + half, np.arange(half)])
    flip = np.array([1.0, -1.0, 1.0])
    template = rng.normal(size=(half, 3))
    shapedirs = rng.normal(size=(half, 3, BETAS))
    regressor = rng.random((35, VERTICES))
    weights = rng.random((VERTICES, 35)) ** 8
    order = joint_mirror()
    regressor = regressor + regressor[order][:, mirror]
    weights = weights + weights[mirror][:, order]
    tensors = {
        "template_V3": np.concatenate([template, template * flip]),
        "shapedirs_V3K": np.concatenate([shapedirs, shapedirs * flip[:, None]]),
        "joint_regressor_JV": regressor / regressor.sum(1, keepdims=True),
        "weights_VJ": weights / weights.sum(1, keepdims=True),
        "posedirs_V3Q": 0.01 * rng.normal(size=(VERTICES, 3, 306)),
        "keypoint_regressor_PV": np.eye(26, VERTICES),
    }
    made = {name: torch.from_numpy(value).to(dtype) for name, value in tensors.items()}
    faces = torch.from_numpy(rng.integers(0, VERTICES, (70, 3)))
    return BodyModel(faces_F3=faces, mirror_V=torch.from_numpy(mirror), **made)


def random_pose(seed: int, *batch: int) -> torch.Tensor:
    vectors = torch.from_numpy(np.random.default_rng(seed).normal(size=(*batch, 35, 3)))
    return roma.rotvec_to_rotmat(0.5 * vectors)


def loop_skinning(model: BodyModel, betas, rotations, scales=None):
    """One animal, written as the equations are, with 4 x 4 matrices and loops."""
    rest = model.template_V3.numpy().copy()
    for k, beta in enumerate(betas):
        rest += beta * model.shapedirs_V3K[:, :, k].numpy()
    joints = model.joint_regressor_JV.numpy() @ rest
    feature = np.concatenate([(rotation - np.eye(3)).ravel() for rotation in rotations[1:]])
    rest = rest + model.posedirs_V3Q.numpy() @ feature
    chain = []
    for j, parent in enumerate(model.parents):
        step = np.eye(4)
        own = np.diag(scales[j]) if scales is not None else np.eye(3)
        above = np.diag(scales[parent]) if scales is not None and parent >= 0 else np.eye(3)
        step[:3, :3] = np.linalg.inv(above) @ rotations[j] @ own
        step[:3, 3] = joints[j] - (joints[parent] if parent >= 0 else 0)
        chain.append(step if parent < 0 else chain[parent] @ step)
    out = np.zeros_like(rest)
    for v, point in enumerate(rest):
        for j, matrix in enumerate(chain):
            local = np.append(point - joints[j], 1.0)
            out[v] += model.weights_VJ[v, j].item() * (matrix @ local)[:3]
    return out, np.array([matrix[:3, 3] for matrix in chain])


@pytest.mark.parametrize("scale_count", [0, 6, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_loop(scale_count, dtype):
    model = make_model()
    rng = np.random.default_rng(3)
    betas = rng.normal(size=(2, BETAS))
    rotations = random_pose(4, 2)
    logs = torch.from_numpy(0.3 * rng.normal(size=(2, scale_count))) if scale_count else None
    posed = model.to(dtype).pose(
        torch.from_numpy(betas).to(dtype),
        rotations.to(dtype),
        log_limb_scales=None if logs is None else logs.to(dtype),
    )
    for row in range(2):
        scales = None if logs is None else limb_scales(logs[row]).numpy()
        vertices, joints = loop_skinning(model, betas[row], rotations[row].numpy(), scales)
        tolerance = 1e-5 if dtype == torch.float32 else 1e-12
        assert np.abs(posed.vertices[row].numpy() - vertices).max() < tolerance * 2
        assert np.abs(posed.joints[row].numpy() - joints).max() < tolerance * 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identity_pose_is_the_template_bit_for_bit(dtype):
    model = make_model(dtype=dtype)
    posed = model.pose(torch.zeros(3, BETAS, dtype=dtype), model.identity_pose(3))
    assert torch.equal(posed.vertices, model.template_V3.expand(3, -1, -1))
    assert torch.equal(model.pose().vertices, model.template_V3)


def test_batch_dimensions_are_free():
    model = make_model()
    betas = torch.randn(2, 3, BETAS, dtype=torch.float64, generator=torch.manual_seed(0))
    rotations = random_pose(1, 2, 3)
    shift = torch.ones(2, 3, 3, dtype=torch.float64)
    whole = model.pose(betas, rotations, shift)
    one = model.pose(betas[1, 2], rotations[1, 2], shift[1, 2])
    assert whole.vertices.shape == (2, 3, VERTICES, 3)
    assert whole.keypoints.shape == (2, 3, 26, 3)
    torch.testing.assert_close(whole.vertices[1, 2], one.vertices)
    torch.testing.assert_close(whole.joints[1, 2], one.joints)


def test_one_pose_serves_many_shapes_and_one_shape_many_poses():
    model = make_model()
    betas = torch.randn(4, BETAS, dtype=torch.float64, generator=torch.manual_seed(0))
    rotations = random_pose(1, 4)
    many = model.pose(betas, rotations[0])
    torch.testing.assert_close(many.vertices[2], model.pose(betas[2], rotations[0]).vertices)
    many = model.pose(betas[0], rotations)
    torch.testing.assert_close(many.vertices[2], model.pose(betas[0], rotations[2]).vertices)
    assert model.pose(betas, rotations[0]).joints.shape == (4, 35, 3)


def test_missing_betas_are_zero():
    model = make_model()
    betas = torch.zeros(BETAS, dtype=torch.float64)
    betas[:2] = torch.tensor([0.5, -1.0])
    torch.testing.assert_close(model.rest(betas), model.rest(betas[:2]))


def test_gradients():
    model = make_model()
    betas = torch.randn(BETAS, dtype=torch.float64, generator=torch.manual_seed(0))
    vectors = 0.3 * torch.randn(35, 3, dtype=torch.float64, generator=torch.manual_seed(1))
    logs = torch.full((7,), 0.1, dtype=torch.float64)

    def positions(betas, vectors, logs):
        posed = model.pose(betas, roma.rotvec_to_rotmat(vectors), log_limb_scales=logs)
        return posed.vertices[::13], posed.joints[::11]

    inputs = [tensor.requires_grad_() for tensor in (betas, vectors, logs)]
    assert torch.autograd.gradcheck(positions, inputs)


def test_swapping_sides_mirrors_the_mesh():
    model = make_model()
    flat = replace(model, posedirs_V3Q=None)
    betas = torch.randn(BETAS, dtype=torch.float64, generator=torch.manual_seed(2))
    rotations = random_pose(5)
    plain = flat.pose(betas, rotations)
    order = torch.from_numpy(joint_mirror())
    other = flat.pose(betas, mirrored_pose(rotations, order))
    flip = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(
        other.vertices, plain.vertices[flat.mirror_V] * flip, atol=1e-12, rtol=0
    )
    torch.testing.assert_close(other.joints, plain.joints[order] * flip, atol=1e-12, rtol=0)


def test_rigid_motion_of_the_root():
    model = make_model()
    turn = roma.rotvec_to_rotmat(torch.tensor([0.1, 0.7, -0.4], dtype=torch.float64))
    rotations = model.identity_pose()
    rotations[0] = turn
    root = model.rest_joints()[0]
    expected = (model.template_V3 - root) @ turn.T + root
    flat = replace(model, posedirs_V3Q=None)
    torch.testing.assert_close(flat.pose(rotations=rotations).vertices, expected)


def test_bad_input_is_refused():
    model = make_model()
    with pytest.raises(InputError, match="betas of one model mean nothing"):
        model.rest(torch.zeros(BETAS + 1, dtype=torch.float64))
    with pytest.raises(InputError, match="NaN"):
        model.rest(torch.full((BETAS,), float("nan"), dtype=torch.float64))
    with pytest.raises(InputError, match="rotation matrices"):
        model.pose(rotations=torch.eye(3, dtype=torch.float64).expand(33, 3, 3))


def test_the_tree():
    assert len(PARENTS) == len(JOINT_NAMES) == 35
    assert all(parent < joint for joint, parent in enumerate(PARENTS))
    assert sorted(joint for level in tree_levels() for joint in level) == list(range(35))
    order = joint_mirror()
    assert (order[order] == np.arange(35)).all()
    for joint, other in enumerate(order):
        swapped = JOINT_NAMES[joint]
        if joint != other:
            swapped = ("R" if swapped[0] == "L" else "L") + swapped[1:]
        assert JOINT_NAMES[other] == swapped
    assert len(KEYPOINT_NAMES) == len(KEYPOINT_MIRROR) == 26
    assert limb_scale_mask(6).sum() == 16 + 32 + 7 + 14 + 2 + 2


def test_the_hash_follows_the_shape_space():
    assert make_model(0).sha256 == make_model(0).sha256 != make_model(1).sha256


def test_functions_take_single_bodies():
    model = make_model()
    joints = model.rest_joints()
    linear, offset = joint_transforms(model.identity_pose(), joints, model.parents)
    assert torch.equal(skin(model.template_V3, model.weights_VJ, linear, offset), model.template_V3)
