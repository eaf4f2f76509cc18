"""What the regressor is trained by: GenZoo's three losses with their weights, and seven more.

Symbols: B crops, J joints (35), U some vertices, K betas, Q points. GenZoo's: 0.01 x the sum over
joints of the distance in the crop (L1, crop widths, over a batch of 128), 100 x the mean square of
rotations (as nine numbers, before they go to the nearest rotation), 50 x the mean distance of rest
vertices (L1; of some of them). The others teach what a small network with few pictures does not
find by itself: where points are, where the animal is, its camera, its joints in space, and how far
its skin is off once place, heading and size are forgiven.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import roma
import torch
from torch import Tensor
from torch.nn import functional

from lerf_wild.inverse.animal_bodies import BodyPart
from lerf_wild.inverse.animal_network import AnimalOutputs
from lerf_wild.inverse.animal_samples import AnimalBatch

PAPER_BATCH = 128
MAP_SPREAD = 0.7
"""Spread of the aim of a point's map, in cells."""
EARLIER = 0.3
"""What an answer counts that is corrected afterwards."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the parts; the first three are the paper's."""

    projection: float = 0.01
    rotation: float = 100.0
    shape: float = 50.0
    points: float = 20.0
    maps: float = 3.0
    joints: float = 20.0
    skin: float = 60.0
    camera: float = 5.0
    betas: float = 0.5
    presence: float = 1.0


def answers_losses(
    answers: Sequence[AnimalOutputs],
    batch: AnimalBatch,
    part: BodyPart,
    weights: LossWeights | None = None,
) -> dict[str, Tensor]:
    """The weighted parts of the loss of all answers of a network, the last one the best."""
    total: dict[str, Tensor] = {}
    for number, outputs in enumerate(answers, 1):
        share = 1.0 if number == len(answers) else EARLIER
        for name, value in animal_losses(outputs, batch, part, weights).items():
            total[name] = total.get(name, 0.0) + share * value
    return total


def animal_losses(
    outputs: AnimalOutputs,
    batch: AnimalBatch,
    part: BodyPart,
    weights: LossWeights | None = None,
) -> dict[str, Tensor]:
    """The weighted parts of the loss; only presence counts where there is no animal."""
    weights = weights or LossWeights()
    share = batch.present_B / batch.present_B.sum().clamp_min(1.0)

    def mean(values: Tensor) -> Tensor:
        return (share * values.flatten(1).mean(1)).sum()

    joints = _own_joints(outputs, batch, part)
    joint_count = joints.shape[1]
    shown = 0.5 * (batch.project(joints) - batch.points_BQ2[:, -joint_count:])
    apart = joints - joints[:, :1] - (batch.joints_BJ3 - batch.joints_BJ3[:, :1])
    matrices = outputs.rotations_BJ33 if outputs.matrices_BJ33 is None else outputs.matrices_BJ33
    turned = (matrices - batch.rotations_BJ33).square()
    change = outputs.betas_BK - batch.betas_BK
    moved = torch.einsum("bk,uck->buc", change, part.shaped_U3K).abs().sum(-1)
    found = part.posed(outputs.betas_BK, outputs.rotations_BJ33)
    off = skin_errors(found, part.posed(batch.betas_BK, batch.rotations_BJ33))
    camera = functional.smooth_l1_loss(
        outputs.camera_B4, batch.camera_B4, reduction="none", beta=0.1
    )
    parts = {
        "projection": PAPER_BATCH * 2 * joint_count * mean(shown.abs().clamp_max(2.0)),
        "rotation": mean(turned[:, :1]) + mean(turned[:, 1:]),
        "shape": mean(moved),
        "points": mean((outputs.points_BQ2 - batch.points_BQ2).abs().clamp_max(1.0)),
        "joints": mean(apart.abs()),
        "skin": mean(off),
        "camera": mean(camera),
        "betas": mean(change.square()),
        "presence": functional.binary_cross_entropy_with_logits(
            outputs.presence_B, batch.present_B
        ),
    }
    if outputs.maps_BQGG is not None:
        parts["maps"] = map_loss(outputs.maps_BQGG, batch.points_BQ2, batch.present_B)
    return {name: getattr(weights, name) * value for name, value in parts.items()}


def skin_errors(found_BU3: Tensor, true_BU3: Tensor) -> Tensor:
    """Distances (B, U) of vertices once moved, turned and scaled onto the true ones.

    The turn and the scale are taken as they are: they are the best ones, so that a small change of
    them changes next to nothing.
    """
    found = found_BU3 - found_BU3.mean(1, keepdim=True)
    true = true_BU3 - true_BU3.mean(1, keepdim=True)
    with torch.no_grad():
        turn = roma.special_procrustes(true.transpose(1, 2) @ found)
        size = found.square().sum((1, 2)).clamp_min(1e-6)
        scale = (true * (found @ turn.transpose(1, 2))).sum((1, 2)) / size
    return (scale[:, None, None] * found @ turn.transpose(1, 2) - true).norm(dim=-1)


def _own_joints(outputs: AnimalOutputs, batch: AnimalBatch, part: BodyPart) -> Tensor:
    """Joints (B, J, 3) in the crops' camera axes, at the distance that the true camera gives."""
    # Distance and perspective are told apart by little in a picture; in space they aren't asked.
    camera = torch.cat([outputs.camera_B4[:, :3], batch.camera_B4[:, 3:]], -1)
    root = outputs._replace(camera_B4=camera).root_B3()
    return part.body.joints(outputs.betas_BK, outputs.rotations_BJ33, root)


def map_loss(maps_BQGG: Tensor, points_BQ2: Tensor, present_B: Tensor) -> Tensor:
    """Cross entropy of maps with bells around the points that lie inside the crop."""
    side = maps_BQGG.shape[-1]
    cells = torch.arange(side, device=maps_BQGG.device)
    away = cells - ((points_BQ2 + 1.0) * (side / 2.0) - 0.5)[..., None]
    x, y = torch.exp(-0.5 * (away / MAP_SPREAD).square()).unbind(-2)
    aim = (y[..., :, None] * x[..., None, :]).flatten(2)
    counted = (points_BQ2.abs().amax(-1) <= 1.0) * present_B[:, None]
    aim = aim / aim.sum(-1, keepdim=True).clamp_min(1e-6)
    entropy = -(aim * maps_BQGG.flatten(2).log_softmax(-1)).sum(-1)
    return (entropy * counted).sum() / counted.sum().clamp_min(1.0)
