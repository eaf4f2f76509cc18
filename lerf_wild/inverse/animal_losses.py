"""What the regressor is trained by: GenZoo's three losses with their weights, and four more.

Symbols: B crops, J joints (35), V vertices, K betas, Q points. GenZoo's: 0.01 x the sum over joints
of the distance in the crop (L1, crop widths, over a batch of 128), 100 x the mean square of
rotations (as nine numbers, before they go to the nearest rotation), 50 x the mean distance of rest
vertices (L1). The others teach what a small network with few pictures does not find by itself:
where points are, where the animal is, its camera, and its joints in space.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lerf_wild.inverse.animal_bodies import JointBody
from lerf_wild.inverse.animal_network import AnimalOutputs
from lerf_wild.inverse.animal_samples import AnimalBatch

PAPER_BATCH = 128
MAP_SPREAD = 0.7
"""Spread of the aim of a point's map, in cells."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the parts; the first three are the paper's."""

    projection: float = 0.01
    rotation: float = 100.0
    shape: float = 50.0
    points: float = 20.0
    maps: float = 3.0
    joints: float = 20.0
    camera: float = 5.0
    betas: float = 0.5
    presence: float = 1.0


def animal_losses(
    outputs: AnimalOutputs,
    batch: AnimalBatch,
    body: JointBody,
    shapedirs_V3K: Tensor,
    weights: LossWeights | None = None,
) -> dict[str, Tensor]:
    """The weighted parts of the loss; only presence counts where there is no animal."""
    weights = weights or LossWeights()
    share = batch.present_B / batch.present_B.sum().clamp_min(1.0)

    def mean(values: Tensor) -> Tensor:
        return (share * values.flatten(1).mean(1)).sum()

    kappa_true = batch.camera_B4[:, 3:]
    # Distance and perspective are told apart by little in a picture; in space they aren't asked.
    camera = torch.cat([outputs.camera_B4[:, :3], kappa_true], -1)
    root = outputs._replace(camera_B4=camera).root_B3()
    joints = body.joints(outputs.betas_BK, outputs.rotations_BJ33, root)
    shown = 0.5 * (batch.project(joints) - batch.points_BQ2[:, -joints.shape[1] :])
    apart = joints - joints[:, :1] - (batch.joints_BJ3 - batch.joints_BJ3[:, :1])
    matrices = outputs.rotations_BJ33 if outputs.matrices_BJ33 is None else outputs.matrices_BJ33
    turned = (matrices - batch.rotations_BJ33).square()
    change = outputs.betas_BK - batch.betas_BK
    moved = torch.einsum("bk,vck->bvc", change, shapedirs_V3K).abs().sum(-1)
    joint_count = joints.shape[1]
    parts = {
        "projection": PAPER_BATCH * 2 * joint_count * mean(shown.abs().clamp_max(2.0)),
        "rotation": mean(turned[:, :1]) + mean(turned[:, 1:]),
        "shape": mean(moved),
        "points": mean((outputs.points_BQ2 - batch.points_BQ2).abs().clamp_max(1.0)),
        "joints": mean(apart.abs()),
        "camera": mean(
            functional.smooth_l1_loss(
                outputs.camera_B4, batch.camera_B4, reduction="none", beta=0.1
            )
        ),
        "betas": mean(change.square()),
        "presence": functional.binary_cross_entropy_with_logits(
            outputs.presence_B, batch.present_B
        ),
    }
    if outputs.maps_BQGG is not None:
        parts["maps"] = map_loss(outputs.maps_BQGG, batch.points_BQ2, batch.present_B)
    return {name: getattr(weights, name) * part for name, part in parts.items()}


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
