"""How the network is asked about an animal: several glances, each with the animal facing left.

Symbols: B crops, Q points (26 keypoints, then 35 joints), J joints (35). An animal in a mirror is
one with its sides swapped (`lerf_wild.inverse.animal_samples.mirrored`). Which of two legs is the
left one is told by which is nearer only for an animal whose heading is known; a network that sees
nearly all animals facing left need not work out both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from lerf_wild.animals import schema
from lerf_wild.animals.body import BodyModel, mirrored_pose
from lerf_wild.animals.metrics import procrustes_error
from lerf_wild.inverse.animal_crops import Crops, crop_turns, cut_crops, from_crop, to_crop
from lerf_wild.inverse.animal_network import AnimalNetwork, AnimalOutputs, nearest_rotations
from lerf_wild.inverse.animal_samples import faces_right


class Glance(NamedTuple):
    """A crop beside the one that is asked about."""

    size: float
    """Of that one's."""
    shift: float
    """To the right and down, of half of that one's side."""
    roll_rad: float


GLANCES = (Glance(1.0, 0.0, 0.0), Glance(0.95, 0.02, -0.12), Glance(1.07, -0.02, 0.12))


def answers_at(
    network: AnimalNetwork,
    pictures_B3HW: Tensor,
    where: Crops,
    glances: Sequence[Glance] = GLANCES,
    change: Callable[[Tensor], Tensor] = lambda crops: crops,
) -> list[AnimalOutputs]:
    """What a network says at each of several glances, as seen in ``where``.

    Args:
        network: What is asked.
        pictures_B3HW: Square pictures, 0-1.
        where: Crops of them; the answers are in their own camera axes.
        glances: The first ones of `GLANCES`, for a quick answer.
        change: What is done to crops before the network sees them.
    """
    found = []
    for glance in glances:
        middle = where.middle_B2 + glance.shift * where.half_B[:, None]
        crops = Crops(middle, glance.size * where.half_B, where.roll_B + glance.roll_rad)
        shown = change(cut_crops(pictures_B3HW, crops, network.spec.input_px))
        found.append(as_seen_in(where, look_facing_left(network, shown), crops))
    return found


def mean_answer(answers: Sequence[AnimalOutputs], raw_rotations: bool = False) -> AnimalOutputs:
    """The mean of several answers about the same crops; without matrices and maps."""
    parts = [torch.stack(part).mean(0) for part in zip(*(answer[:5] for answer in answers))]
    if not raw_rotations:
        parts[0] = nearest_rotations(parts[0])
    return AnimalOutputs(*parts)


def spread(model: BodyModel, answers: Sequence[AnimalOutputs]) -> Tensor:
    """How far answers about the same crops (B) are from each other: PA-MPJPE of their joints, mean
    over all pairs, 1000 x model units."""
    joints = [model.pose(one.betas_BK, one.rotations_BJ33).joints for one in answers]
    pairs = [procrustes_error(one, other) for one, other in combinations(joints, 2)]
    return torch.stack(pairs).mean(0) if pairs else joints[0].new_zeros(len(joints[0]))


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


def as_seen_in(where: Crops, outputs: AnimalOutputs, crops: Crops) -> AnimalOutputs:
    """What an answer about ``crops`` says of other crops of the same pictures."""
    k = outputs.camera_B4[:, 3].exp() * crops.half_B
    turn = crop_turns(where, k).transpose(1, 2) @ crop_turns(crops, k)
    rotations = outputs.rotations_BJ33.clone()
    rotations[:, 0] = turn @ rotations[:, 0]
    root = (turn @ outputs.root_B3()[..., None])[..., 0]
    kappa = k / where.half_B
    nearness = kappa / root[:, 2]
    place = nearness[:, None] * root[:, :2]
    return outputs._replace(
        rotations_BJ33=rotations,
        camera_B4=torch.cat([place, nearness.log()[:, None], kappa.log()[:, None]], -1),
        points_BQ2=to_crop(from_crop(outputs.points_BQ2, crops), where),
    )
