"""The joints of a body without its skin, a mean shape and pose, and the pose's own directions.

Symbols: B animals, J joints (35), K betas, D directions. Camera axes and model units. Skinning 3889
vertices costs more than the network; joints alone follow from 35 rotations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lerf_wild.animals.body import BodyModel
from lerf_wild.animals.poses.library import draw_pose
from lerf_wild.animals.skinning import joint_transforms

POSE_DIRECTIONS = 64
LIBRARY_POSES = 600


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
