"""What the primitive network is trained on.

Positions are regressed by their absolute error, so that a coordinate that the image leaves open
(depth under an orthographic camera) becomes a conditional median. Rotations are regressed through
the symmetric targets of `symmetry`. Expected errors are fitted to detached errors: they inform the
user but do not let the network give up on hard objects.

Symbols: B scenes, Q queries, K slots, T tokens, M matched pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lerf_wild.inverse import symmetry
from lerf_wild.inverse.matching import match_sets
from lerf_wild.inverse.primitive_network import CELL
from lerf_wild.render.primitive_scenes import CONE, CUBE, PrimitiveScenes

Fields = dict[str, Tensor]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the parts; the dense parts teach the encoder where objects are."""

    presence: float = 1.0
    kind: float = 1.0
    lateral: float = 5.0
    depth: float = 1.0
    rotation: float = 1.0
    expected_error: float = 0.05
    dense: float = 0.5


def primitive_losses(
    queries: Fields, dense: Fields, scenes: PrimitiveScenes, weights: LossWeights
) -> Fields:
    """Weighted parts of the loss, by name; their sum is what to minimise."""
    present = scenes.kinds_BK >= 0
    scene, query, slot = match_sets(matching_cost(queries, scenes), present)
    target = torch.zeros_like(queries["presence"])
    target[scene, query] = 1.0
    # Summed over the queries: the mean would shrink as queries are added.
    presence = F.binary_cross_entropy_with_logits(queries["presence"], target, reduction="none")
    parts = {"presence": weights.presence * presence.sum(1).mean()}
    found = {name: value[scene, query] for name, value in queries.items()}
    parts |= object_losses(found, scenes[scene, slot], weights)
    near, nearest, heat = dense_targets(scenes, dense["presence"].shape[1])
    heat_loss = _focal(dense["presence"], heat) / present.sum().clamp(min=1)
    row, token = torch.nonzero(near, as_tuple=True)
    seen = {name: value[row, token] for name, value in dense.items()}
    around = object_losses(seen, scenes[row, nearest[row, token]], weights)
    parts["dense"] = weights.dense * (heat_loss + sum(around.values()))
    return parts


def matching_cost(queries: Fields, scenes: PrimitiveScenes) -> Tensor:
    """Cost [B, Q, K] of pairing each query with each true object."""
    offset = queries["lateral"][:, :, None] - scenes.positions_BK3[:, None, :, :2]
    probability = queries["kind"].softmax(-1)
    kinds = scenes.kinds_BK.clamp(min=0)[:, None, :].expand(-1, probability.shape[1], -1)
    likely = probability.gather(2, kinds)
    return 4.0 * offset.abs().sum(-1) - likely - queries["presence"].sigmoid()[:, :, None]


def object_losses(found: Fields, truth: PrimitiveScenes, weights: LossWeights) -> Fields:
    """Losses of M predictions against M objects."""
    count = max(truth.kinds_BK.shape[0], 1)
    errors = position_errors(found, truth.positions_BK3)
    rotation, rotated = rotation_errors(found, truth)
    scale = found["log_scale"]
    measured = torch.cat([errors, rotation[:, None]], 1).detach()
    # Negative log likelihood of Laplace's distribution with the given scale.
    surprise = measured * torch.exp(-scale) + scale
    surprise[:, 3] = surprise[:, 3] * rotated
    return {
        "kind": weights.kind
        * F.cross_entropy(found["kind"], truth.kinds_BK, reduction="sum")
        / count,
        "lateral": weights.lateral * errors[:, :2].sum() / count,
        "depth": weights.depth * errors[:, 2].sum() / count,
        "rotation": weights.rotation * rotation.sum() / count,
        "expected_error": weights.expected_error * surprise.sum() / count,
    }


def position_errors(found: Fields, positions_M3: Tensor) -> Tensor:
    """Absolute errors of x, y and z, shape [M, 3]."""
    predicted = torch.cat([found["lateral"], found["depth"][:, None]], 1)
    return (predicted - positions_M3).abs()


def rotation_errors(found: Fields, truth: PrimitiveScenes) -> tuple[Tensor, Tensor]:
    """Squared distance of the symmetric target and whether the object has one, each [M]."""
    R, kinds = truth.rotations_BK33, truth.kinds_BK
    cube = (found["cube"] - symmetry.cube_target(R)).square().sum(-1)
    line = (found["line"] - symmetry.line_target(R)).square().sum(-1)
    arrow = (found["arrow"] - symmetry.arrow_target(R)).square().sum(-1)
    is_line = torch.isin(kinds, torch.tensor(symmetry.LINE_KINDS, device=kinds.device))
    is_cube, is_cone = kinds == CUBE, kinds == CONE
    return cube * is_cube + line * is_line + arrow * is_cone, is_cube | is_line | is_cone


def dense_targets(scenes: PrimitiveScenes, tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which tokens lie near a centre, the nearest object's slot, and the heat, each [B, T]."""
    from lerf_wild.inverse.primitive_network import token_centres

    centres = token_centres().to(scenes.positions_BK3.device)
    assert centres.shape[0] == tokens
    offset = centres[None, :, None] - scenes.positions_BK3[:, None, :, :2]
    absent = (scenes.kinds_BK < 0)[:, None, :]
    distance = (offset.norm(dim=-1) / CELL).masked_fill(absent, torch.inf)
    closest, nearest = distance.min(-1)
    heat = torch.exp(-0.5 * (closest / 0.7).square())
    inside = (offset.abs().amax(-1) <= 0.5 * CELL).masked_fill(absent, False).any(-1)
    return closest < 1.2, nearest, torch.where(inside, 1.0, heat)


def _focal(logits: Tensor, heat: Tensor) -> Tensor:
    """Penalty-reduced focal loss of a heat map (CornerNet eq. 1), summed."""
    probability = logits.sigmoid()
    peak = heat >= 1.0
    at_peaks = (1.0 - probability).square() * F.logsigmoid(logits)
    elsewhere = (1.0 - heat).pow(4) * probability.square() * F.logsigmoid(-logits)
    return -torch.where(peak, at_peaks, elsewhere).sum()
