"""Looks at animals that face right once more, in a mirror: all are described facing left.

Symbols: B crops, Q points (26 keypoints, then 35 joints), J joints (35). An animal in a mirror is
one with its sides swapped (`lerf_wild.inverse.animal_samples.mirrored`). Which of two legs is the
left one is told by which is nearer only for an animal whose heading is known; a network that sees
nearly all animals facing left need not work out both.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lerf_wild.animals import schema
from lerf_wild.animals.body import mirrored_pose
from lerf_wild.inverse.animal_network import AnimalNetwork, AnimalOutputs
from lerf_wild.inverse.animal_samples import faces_right


def look_facing_left(network: AnimalNetwork, crops_B3SS: Tensor) -> AnimalOutputs:
    """What a network says of crops, or of their mirror images where the animal faces right."""
    own = network(crops_B3SS.contiguous(memory_format=torch.channels_last))
    own = own._replace(matrices_BJ33=None, maps_BQGG=None)
    right_B = faces_right(own.rotations_BJ33)
    if not right_B.any():
        return own
    flipped = crops_B3SS[right_B].flip(-1).contiguous(memory_format=torch.channels_last)
    other = mirrored_answer(network(flipped))
    parts = []
    for first, second in zip(own[:5], other[:5], strict=True):
        part = first.clone()
        part[right_B] = second
        parts.append(part)
    return AnimalOutputs(*parts)


def mirrored_answer(outputs: AnimalOutputs) -> AnimalOutputs:
    """What an answer about a mirror image says of the crop itself; without matrices and maps."""
    order = torch.from_numpy(schema.joint_mirror()).to(outputs.betas_BK.device)
    sign = outputs.betas_BK.new_tensor([-1.0, 1.0, 1.0])
    rotations = mirrored_pose(outputs.rotations_BJ33, order)
    # The mirror is that of the camera, not of the body: both at once leave a rotation.
    rotations[:, 0] = sign[:, None] * outputs.rotations_BJ33[:, 0] * sign[[1, 0, 1]]
    keypoints = torch.tensor(schema.KEYPOINT_MIRROR, device=order.device)
    points = torch.cat([keypoints, len(keypoints) + order])
    return outputs._replace(
        rotations_BJ33=rotations,
        camera_B4=outputs.camera_B4 * sign[[0, 1, 1, 1]],
        points_BQ2=outputs.points_BQ2[:, points] * sign[:2],
        matrices_BJ33=None,
        maps_BQGG=None,
    )
