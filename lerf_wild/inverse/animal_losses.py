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
    skin: float = 150.0
    camera: float = 5.0
    betas: float = 0.5
    presence: float = 1.0


def answers_losses(
    answers: Sequence[AnimalOutputs],
    batch: AnimalBatch,
    part: BodyPart,
    weights: LossWeights | None = None,
) -> dict[str, Tensor]:
    """The weighted parts of the loss of all answers of a network, the last one the best; only
    presence counts where there is no animal."""
    weights = weights or LossWeights()
    # All answers at once: their bodies are many small products, whose cost is that of the calls.
    found, truth = _joined(answers), batch.again(len(answers))
    shares = answers[0].betas_BK.new_tensor([EARLIER] * (len(answers) - 1) + [1.0])
    shares_R = shares.repeat_interleave(len(batch.present_B))
    present_R = shares_R * truth.present_B / batch.present_B.sum().clamp_min(1.0)

    def mean(values: Tensor) -> Tensor:
        return (present_R * values.flatten(1).mean(1)).sum()

    unseen = functional.binary_cross_entropy_with_logits(
        found.presence_B, truth.present_B, shares_R, reduction="sum"
    )
    skin = part.placed(batch.betas_BK, batch.rotations_BJ33)[1].repeat(len(answers), 1, 1)
    parts = {name: mean(value) for name, value in _errors(found, truth, skin, part).items()}
    parts["presence"] = unseen / len(batch.present_B)
    maps = [
        share * map_loss(one.maps_BQGG, batch.points_BQ2, batch.present_B)
        for share, one in zip(shares, answers)
        if one.maps_BQGG is not None
    ]
    if maps:
        parts["maps"] = torch.stack(maps).sum()
    return {name: getattr(weights, name) * value for name, value in parts.items()}


def _joined(answers: Sequence[AnimalOutputs]) -> AnimalOutputs:
    """Several answers as one about as many times more crops, without maps."""
    matrices = [
        one.rotations_BJ33 if one.matrices_BJ33 is None else one.matrices_BJ33 for one in answers
    ]
    parts = [torch.cat(part) for part in zip(*(one[:5] for one in answers))]
    return AnimalOutputs(*parts, torch.cat(matrices))


def _errors(
    found: AnimalOutputs, batch: AnimalBatch, true_skin_BU3: Tensor, part: BodyPart
) -> dict[str, Tensor]:
    """What the parts of the loss of each crop are the means of, but presence and maps."""
    joints, skin = part.placed(found.betas_BK, found.rotations_BJ33)
    joints = joints + (_root(found, batch) - joints[:, 0])[:, None]
    joint_count = joints.shape[1]
    shown = 0.5 * (batch.project(joints) - batch.points_BQ2[:, -joint_count:])
    turned = (found.matrices_BJ33 - batch.rotations_BJ33).square().flatten(2).mean(-1)
    change = found.betas_BK - batch.betas_BK
    moved = torch.einsum("bk,uck->buc", change, part.shaped_U3K).abs().sum(-1)
    camera = functional.smooth_l1_loss(found.camera_B4, batch.camera_B4, reduction="none", beta=0.1)
    return {
        "projection": PAPER_BATCH * 2 * joint_count * shown.abs().clamp_max(2.0),
        "rotation": turned[:, :1] + turned[:, 1:].mean(1, keepdim=True),
        "shape": moved,
        "points": (found.points_BQ2 - batch.points_BQ2).abs().clamp_max(1.0),
        "joints": (joints - joints[:, :1] - (batch.joints_BJ3 - batch.joints_BJ3[:, :1])).abs(),
        "skin": skin_errors(skin, true_skin_BU3),
        "camera": camera,
        "betas": change.square(),
    }


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


def _root(outputs: AnimalOutputs, batch: AnimalBatch) -> Tensor:
    """Root joints (B, 3) in the crops' camera axes, at the distance that the true camera gives."""
    # Distance and perspective are told apart by little in a picture; in space they aren't asked.
    camera = torch.cat([outputs.camera_B4[:, :3], batch.camera_B4[:, 3:]], -1)
    return outputs._replace(camera_B4=camera).root_B3()


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
