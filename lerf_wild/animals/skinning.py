"""Linear blend skinning of the SMAL schema in batched torch.

Symbols: ``...`` any leading batch dimensions, V vertices, J joints, K shape coefficients (betas).
``rotations`` are local joint rotations as matrices, the root's first; ``A`` maps a rest position of
the body to its posed position for one joint. All lengths are model units in the body's frame.

Written so that the identity pose gives the rest shape back bit for bit: each A is built from
rotations about the joint itself, and vertices move by the weighted *difference* from the identity.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lerf_wild.animals.schema import limb_scale_mask, tree_levels


def blend_shapes(template_V3: Tensor, shapedirs_V3K: Tensor, betas: Tensor) -> Tensor:
    """Rest vertices (..., V, 3) of shape coefficients (..., K); SMPL eq. 8."""
    count = betas.shape[-1]
    return template_V3 + torch.einsum("...k,vck->...vc", betas, shapedirs_V3K[..., :count])


def pose_feature(rotations: Tensor) -> Tensor:
    """The feature (..., (J - 1) * 9) of pose blend shapes: vec(R - I) without the root's."""
    identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    return (rotations[..., 1:, :, :] - identity).flatten(-3)


def limb_scales(log_scales: Tensor) -> Tensor:
    """Scale of each joint's axes, shape (..., 35, 3), from 6 or 7 log scales (..., S)."""
    mask = torch.as_tensor(limb_scale_mask(log_scales.shape[-1])).to(log_scales)
    return torch.einsum("...s,sja->...ja", log_scales, mask).exp()


def joint_transforms(
    rotations: Tensor,
    joints: Tensor,
    parents: tuple[int, ...],
    scales: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Linear part (..., J, 3, 3) and offset (..., J, 3) of each joint's A.

    With scales S the local matrix is ``S_parent^-1 R S`` (WLDO, Biggs et al. 2020): a limb's scale
    acts in the limb's own axes and is not handed on to its children's shape, only to where they
    hang.

    Args:
        rotations: (..., J, 3, 3).
        joints: Rest positions, (..., J, 3).
        parents: Parent of each joint, -1 for the root.
        scales: Scale of each joint along its axes, (..., J, 3), or None for ones.
    """
    local = rotations if scales is None else _scaled(rotations, scales, parents)
    batch = torch.broadcast_shapes(local.shape[:-3], joints.shape[:-2])
    local = local.expand(*batch, *local.shape[-3:])
    offsets = joints - (local @ joints[..., None])[..., 0]
    linear_of: list[Tensor] = [local[..., 0, :, :]] * len(parents)
    offset_of: list[Tensor] = [offsets[..., 0, :]] * len(parents)
    for level in tree_levels(parents)[1:]:
        above = [parents[joint] for joint in level]
        linear = torch.stack([linear_of[parent] for parent in above], -3)
        moved = (linear @ offsets[..., level, :, None])[..., 0]
        moved = moved + torch.stack([offset_of[parent] for parent in above], -2)
        linear = linear @ local[..., level, :, :]
        for place, joint in enumerate(level):
            linear_of[joint] = linear[..., place, :, :]
            offset_of[joint] = moved[..., place, :]
    return torch.stack(linear_of, -3), torch.stack(offset_of, -2)


def skin(vertices: Tensor, weights_VJ: Tensor, linear: Tensor, offset: Tensor) -> Tensor:
    """Posed vertices (..., V, 3) of rest vertices (..., V, 3) under the A of each joint."""
    identity = torch.eye(3, dtype=linear.dtype, device=linear.device)
    change = torch.cat([linear - identity, offset[..., None]], -1).flatten(-2)
    blended = (weights_VJ @ change).unflatten(-1, (3, 4))
    return vertices + (blended[..., :3] @ vertices[..., None])[..., 0] + blended[..., 3]


def _scaled(rotations: Tensor, scales: Tensor, parents: tuple[int, ...]) -> Tensor:
    above = torch.ones_like(scales)
    above[..., 1:, :] = scales[..., list(parents[1:]), :]
    return rotations * scales[..., None, :] / above[..., :, None]
