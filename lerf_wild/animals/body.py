"""A body model of the SMAL schema as data, and the animal that it gives for a shape and a pose.

Symbols: V vertices, F faces, J joints (35), K shape coefficients (betas), P keypoints. One class
serves SMAL (41 betas), SMAL+ (145), BARC and BITE (30 and limb scales) and the bundled quadruped:
what differs between them is in their files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from lerf_wild.animals.schema import PARENTS
from lerf_wild.animals.skinning import (
    blend_shapes,
    joint_transforms,
    limb_scales,
    pose_feature,
    skin,
)
from lerf_wild.errors import InputError


class PosedBody(NamedTuple):
    """A posed animal in model units; leading dimensions are those of shape and pose."""

    vertices: Tensor
    """(..., V, 3)."""
    joints: Tensor
    """(..., J, 3), where the joints of the tree are."""
    keypoints: Tensor
    """(..., P, 3), means of posed vertices."""
    linear: Tensor
    """(..., J, 3, 3), linear part of what carries rest positions along with each joint."""


@dataclass(frozen=True)
class BodyModel:
    """The tensors of a body model; see `lerf_wild.animals.body_files` for reading one."""

    template_V3: Tensor
    faces_F3: Tensor
    """Outward triangles, int64."""
    shapedirs_V3K: Tensor
    joint_regressor_JV: Tensor
    """Rest joints as weighted sums of rest vertices."""
    weights_VJ: Tensor
    """Skinning weights; rows sum to 1."""
    posedirs_V3Q: Tensor | None = None
    """Pose blend shapes, Q = 9 (J - 1), or None where they are zero."""
    keypoint_regressor_PV: Tensor | None = None
    """Keypoints as weighted sums of posed vertices."""
    mirror_V: Tensor | None = None
    """Vertex on the other side of each vertex, int64."""
    parents: tuple[int, ...] = PARENTS
    keypoint_names: tuple[str, ...] = ()
    name: str = "unnamed"
    licence: str = "unknown"

    @property
    def beta_count(self) -> int:
        """Number of shape coefficients."""
        return self.shapedirs_V3K.shape[-1]

    @cached_property
    def sha256(self) -> str:
        """Hash of template, faces and shape directions: betas mean something only beside it."""
        digest = hashlib.sha256()
        for tensor in (self.template_V3, self.faces_F3, self.shapedirs_V3K):
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def to(self, where: torch.device | torch.dtype | str) -> BodyModel:
        """The same model on a device, or with floats of a dtype."""
        changes = {}
        for item in fields(self):
            value = getattr(self, item.name)
            is_dtype = isinstance(where, torch.dtype)
            if isinstance(value, Tensor) and not (is_dtype and not value.is_floating_point()):
                changes[item.name] = value.to(where)
        return replace(self, **changes)

    def identity_pose(self, *batch: int) -> Tensor:
        """Rotations (*batch, J, 3, 3) that leave the body in its rest pose."""
        identity = torch.eye(3, dtype=self.template_V3.dtype, device=self.template_V3.device)
        return identity.expand(*batch, len(self.parents), 3, 3).clone()

    def rest(self, betas: Tensor | None = None) -> Tensor:
        """Rest vertices (..., V, 3) of a shape (..., K' <= K); the template without one.

        Raises:
            InputError: more betas than the model has, or betas that aren't finite.
        """
        if betas is None:
            return self.template_V3
        if betas.shape[-1] > self.beta_count:
            raise InputError(
                f"{betas.shape[-1]} betas were given, but the model {self.name!r} has "
                f"{self.beta_count}; betas of one model mean nothing to another."
            )
        if not torch.isfinite(betas).all():
            raise InputError("The betas hold NaN or infinity; give finite shape coefficients.")
        return blend_shapes(self.template_V3, self.shapedirs_V3K, betas)

    def rest_joints(self, betas: Tensor | None = None) -> Tensor:
        """Joints (..., J, 3) of the rest shape."""
        return self.joint_regressor_JV @ self.rest(betas)

    def pose(
        self,
        betas: Tensor | None = None,
        rotations: Tensor | None = None,
        translation: Tensor | None = None,
        log_limb_scales: Tensor | None = None,
    ) -> PosedBody:
        """The animal of a shape, in a pose.

        Args:
            betas: (..., K' <= K); the template without them. Missing ones are zero.
            rotations: Local rotations (..., J, 3, 3), the root's first; the rest pose without.
            translation: (..., 3), added last.
            log_limb_scales: (..., 6 or 7), as BARC and SMALify use them.

        Raises:
            InputError: betas of another model or not finite, or a pose of the wrong shape.
        """
        rest = self.rest(betas)
        joints = self.joint_regressor_JV @ rest
        rotations = self.identity_pose() if rotations is None else self._checked(rotations)
        if self.posedirs_V3Q is not None:
            rest = rest + torch.einsum(
                "...q,vcq->...vc", pose_feature(rotations), self.posedirs_V3Q
            )
        scales = None if log_limb_scales is None else limb_scales(log_limb_scales)
        linear, offset = joint_transforms(rotations, joints, self.parents, scales)
        vertices = skin(rest, self.weights_VJ, linear, offset)
        joints = (linear @ joints[..., None])[..., 0] + offset
        if translation is not None:
            vertices, joints = (
                vertices + translation[..., None, :],
                joints + translation[..., None, :],
            )
        return PosedBody(vertices, joints, self.keypoints(vertices), linear)

    def keypoints(self, vertices: Tensor) -> Tensor:
        """Keypoints (..., P, 3) of posed vertices; P is 0 for a model without."""
        if self.keypoint_regressor_PV is None:
            return vertices[..., :0, :]
        return self.keypoint_regressor_PV @ vertices

    def _checked(self, rotations: Tensor) -> Tensor:
        if tuple(rotations.shape[-3:]) != (len(self.parents), 3, 3):
            raise InputError(
                f"A pose of this model is (..., {len(self.parents)}, 3, 3) rotation matrices; "
                f"got {tuple(rotations.shape)}."
            )
        return rotations


def mirrored_pose(rotations: Tensor, joint_order_J: Tensor) -> Tensor:
    """The pose (..., J, 3, 3) seen in a mirror at y = 0: sides swapped, rotations reflected."""
    sign = torch.tensor([1.0, -1.0, 1.0], dtype=rotations.dtype, device=rotations.device)
    return rotations[..., joint_order_J, :, :] * sign[:, None] * sign
