"""The joints of a body without its skin, a part of its skin, a mean pose, and its own directions.

Symbols: B animals, J joints (35), K betas, D directions, Q points (keypoints, then joints), U some
vertices. Camera axes and model units. Skinning 3889 vertices costs more than the network; joints
alone follow from 35 rotations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lerf_wild.animals import schema
from lerf_wild.animals.body import BodyModel
from lerf_wild.animals.poses.library import draw_pose
from lerf_wild.animals.skinning import blend_shapes, joint_transforms, skin

POSE_DIRECTIONS = 64
LIBRARY_POSES = 600
POINTS = len(schema.KEYPOINT_NAMES) + schema.JOINT_COUNT


@dataclass(frozen=True)
class JointBody:
    """Rest joints as a linear function of shape."""

    rest_J3: Tensor
    shaped_J3K: Tensor
    parents: tuple[int, ...]

    def to(self, device: torch.device | str) -> JointBody:
        """The same on a device."""
        return JointBody(self.rest_J3.to(device), self.shaped_J3K.to(device), self.parents)

    def joints(self, betas_BK: Tensor, rotations_BJ33: Tensor, root_B3: Tensor) -> Tensor:
        """Joints (B, J, 3) of shapes in poses, their root joint at ``root_B3``."""
        rest = self.rest_J3 + torch.einsum("bk,jck->bjc", betas_BK, self.shaped_J3K)
        linear, offset = joint_transforms(rotations_BJ33, rest, self.parents)
        joints = (linear @ rest[..., None])[..., 0] + offset
        return joints + (root_B3 - rest[:, 0])[:, None]

    def pivot(self, betas_BK: Tensor) -> Tensor:
        """Rest place (B, 3) of the root joint, which turns with nothing."""
        return self.rest_J3[0] + betas_BK @ self.shaped_J3K[0].T


def joint_body(model: BodyModel) -> JointBody:
    """The joints of a body model."""
    regressor = model.joint_regressor_JV
    rest = regressor @ model.template_V3
    shaped = torch.einsum("jv,vck->jck", regressor, model.shapedirs_V3K)
    return JointBody(rest, shaped, model.parents)


@dataclass(frozen=True)
class BodyPart:
    """Some vertices of a body and the joints that move them."""

    rest_U3: Tensor
    shaped_U3K: Tensor
    weights_UJ: Tensor
    body: JointBody

    def to(self, device: torch.device | str) -> BodyPart:
        """The same on a device."""
        parts = (self.rest_U3, self.shaped_U3K, self.weights_UJ, self.body)
        return BodyPart(*(part.to(device) for part in parts))

    def placed(self, betas_BK: Tensor, rotations_BJ33: Tensor) -> tuple[Tensor, Tensor]:
        """Joints (B, J, 3) and vertices (B, U, 3) of shapes in poses, before they are moved."""
        body = self.body
        rest = blend_shapes(body.rest_J3, body.shaped_J3K, betas_BK)
        linear, offset = joint_transforms(rotations_BJ33, rest, body.parents)
        joints = (linear @ rest[..., None])[..., 0] + offset
        shaped = blend_shapes(self.rest_U3, self.shaped_U3K, betas_BK)
        return joints, skin(shaped, self.weights_UJ, linear, offset)


def body_part(model: BodyModel, every: int) -> BodyPart:
    """Every so manyth vertex of a body model."""
    some = slice(0, None, every)
    parts = model.template_V3[some], model.shapedirs_V3K[some], model.weights_VJ[some]
    return BodyPart(*parts, joint_body(model))


class PointBody(nn.Module):
    """The points that the network looks for, as a function of shape and pose.

    A keypoint is taken for a point that moves with the mean of its vertices' joints, so that a file
    of weights holds all that is needed, whatever the number of vertices behind it.
    """

    def __init__(self, model: BodyModel | None, betas: int) -> None:
        super().__init__()
        self.register_buffer("rest_Q3", torch.zeros(POINTS, 3))
        self.register_buffer("shaped_Q3K", torch.zeros(POINTS, 3, betas))
        self.register_buffer("weights_QJ", torch.zeros(POINTS, schema.JOINT_COUNT))
        self.parents = schema.PARENTS
        if model is not None and model.keypoint_regressor_PV is not None:
            joints = torch.eye(schema.JOINT_COUNT)
            points = torch.cat([model.keypoint_regressor_PV, model.joint_regressor_JV])
            moved = model.keypoint_regressor_PV @ model.weights_VJ
            self.rest_Q3.copy_(points @ model.template_V3)
            self.shaped_Q3K.copy_(torch.einsum("qv,vck->qck", points, model.shapedirs_V3K))
            self.weights_QJ.copy_(torch.cat([moved, joints]))

    def forward(self, betas_BK: Tensor, rotations_BJ33: Tensor, root_B3: Tensor) -> Tensor:
        """Points (B, Q, 3), their root joint at ``root_B3``."""
        rest = blend_shapes(self.rest_Q3, self.shaped_Q3K, betas_BK)
        joints = rest[:, -schema.JOINT_COUNT :]
        linear, offset = joint_transforms(rotations_BJ33, joints, self.parents)
        posed = skin(rest, self.weights_QJ, linear, offset)
        return posed + (root_B3 - joints[:, 0])[:, None]


@dataclass(frozen=True)
class PoseSpace:
    """Mean and principal directions of what a pose library holds, as raw matrices."""

    mean_P: Tensor
    """Nine entries of each joint but the root, P = 306."""
    directions_PD: Tensor
    """Scaled to a standard deviation of 1."""


def pose_space(model: BodyModel, seed: int = 0, count: int = LIBRARY_POSES) -> PoseSpace:
    """Principal components of drawn poses; the same seed gives the same."""
    rng = np.random.default_rng([seed, 0x905E])
    poses = [draw_pose(model, None, rng)[1].rotations[1:] for _ in range(count)]
    flat = torch.stack(poses).flatten(1).double()
    mean = flat.mean(0)
    _, values, right = torch.linalg.svd(flat - mean, full_matrices=False)
    spread = values[:POSE_DIRECTIONS] / (count - 1) ** 0.5
    directions = right[:POSE_DIRECTIONS].T * spread
    # The sign of a component is arbitrary; the largest entry is made positive.
    largest = directions.abs().argmax(0)
    directions = directions * directions[largest, torch.arange(POSE_DIRECTIONS)].sign()
    return PoseSpace(mean.float(), directions.float())
