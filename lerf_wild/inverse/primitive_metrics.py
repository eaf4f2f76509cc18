"""How close predicted sets of primitives are to the true ones.

Objects are paired by Hungarian matching on the distance of their centres; every figure but the
count is over pairs. The reference's own protocol, slot by slot in order of x, is in
`reference_metrics`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lerf_wild.inverse.matching import match_sets
from lerf_wild.inverse.symmetry import rotation_error_deg
from lerf_wild.render.primitive_scenes import KINDS, SPHERE, PrimitiveScenes, sort_by_x

Figures = dict[str, float]


def match_scenes(
    predicted: PrimitiveScenes, truth: PrimitiveScenes
) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs (scene, predicted slot, true slot) of least total distance between centres."""
    cost = torch.cdist(predicted.positions_BK3.double(), truth.positions_BK3.double())
    return match_sets(cost, truth.kinds_BK >= 0, predicted.kinds_BK >= 0)


def set_metrics(predicted: PrimitiveScenes, truth: PrimitiveScenes) -> Figures:
    """Count, type, position and rotation figures under the flat names of the reports.

    Rotation figures are medians over all pairs whose true object is of that kind, whether or not
    its kind was recognised. Figures without any pair are NaN.
    """
    scene, slot, true_slot = match_scenes(predicted, truth)
    found, real = predicted[scene, slot], truth[scene, true_slot]
    errors = (found.positions_BK3 - real.positions_BK3).abs().double()
    angle = rotation_error_deg(real.kinds_BK, found.rotations_BK33, real.rotations_BK33)
    figures = {
        "scenes": float(len(truth)),
        "objects": float((truth.kinds_BK >= 0).sum()),
        "pairs": float(scene.shape[0]),
        "count_exact": _mean(predicted.counts_B == truth.counts_B),
        "type_accuracy": _mean(found.kinds_BK == real.kinds_BK),
    }
    figures |= {f"{axis}_mae": _mean(errors[:, i]) for i, axis in enumerate("xyz")}
    for kind, name in enumerate(KINDS):
        chosen = angle[real.kinds_BK == kind]
        if kind != SPHERE and chosen.numel() > 0:
            suffix = "rotation" if name == "cube" else "axis"
            figures[f"{name}_{suffix}_deg"] = float(chosen.median())
            figures[f"{name}_{suffix}_mean_deg"] = _mean(chosen)
    return figures


def confusion(predicted: PrimitiveScenes, truth: PrimitiveScenes) -> Tensor:
    """Pairs by true kind (row) and predicted kind (column), int64 [kinds, kinds]."""
    scene, slot, true_slot = match_scenes(predicted, truth)
    real = truth.kinds_BK[scene, true_slot]
    cell = real * len(KINDS) + predicted.kinds_BK[scene, slot]
    return torch.bincount(cell, minlength=len(KINDS) ** 2).view(len(KINDS), len(KINDS))


def reference_metrics(predicted: PrimitiveScenes, truth: PrimitiveScenes) -> Figures:
    """The reference's protocol: both sorted by x, compared slot by slot wherever truth has one.

    A true slot without a prediction counts as wrong in type and, for its position and angles, as
    a prediction of zeros. Angles are Euler ZYX in [0, pi), their error min(d, pi - d), and
    spheres are included, so that even a perfect observer scores about 0.6 rad.
    """
    guess, real = sort_by_x(predicted), sort_by_x(truth)
    slots = truth.kinds_BK.shape[1]
    guess = _fit_slots(guess, slots)
    present = real.kinds_BK >= 0
    known = (guess.kinds_BK >= 0)[..., None]
    positions = torch.where(known, guess.positions_BK3, 0.0)
    error = (positions - real.positions_BK3).abs()[present]
    guessed = torch.where(known, euler_in_range(guess.rotations_BK33), 0.0)
    difference = (guessed - euler_in_range(real.rotations_BK33)).abs()[present]
    angle = torch.minimum(difference, math.pi - difference)
    same = (guess.kinds_BK == real.kinds_BK)[present]
    figures = {
        "reference_presence_accuracy": _mean((guess.kinds_BK >= 0) == present),
        "reference_type_accuracy": _mean(same),
    }
    figures |= {f"reference_{axis}_mae": _mean(error[:, i]) for i, axis in enumerate("xyz")}
    return figures | {
        f"reference_rotation_{axis}_rad": _mean(angle[:, i]) for i, axis in enumerate("zyx")
    }


def euler_in_range(rotation_33: Tensor) -> Tensor:
    """Euler ZYX angles of a rotation in [0, pi) where a triple of that kind exists.

    A rotation has two triples, (a, b, c) and (a + pi, pi - b, c + pi). The one with more angles
    in [0, pi) is chosen, and what still lies outside is taken modulo pi.
    """
    from lerf_wild.render.primitive_scenes import rotation_to_euler

    first = rotation_to_euler(rotation_33) % (2 * math.pi)
    a, b, c = first.unbind(-1)
    second = torch.stack([a + math.pi, math.pi - b, c + math.pi], -1) % (2 * math.pi)
    better = (second < math.pi).sum(-1) > (first < math.pi).sum(-1)
    return torch.where(better[..., None], second, first) % math.pi


def _fit_slots(scenes: PrimitiveScenes, slots: int) -> PrimitiveScenes:
    missing = slots - scenes.kinds_BK.shape[1]
    if missing <= 0:
        return scenes[:, :slots]
    batch = len(scenes)
    return PrimitiveScenes(
        torch.cat([scenes.kinds_BK, torch.full((batch, missing), -1)], 1),
        torch.cat([scenes.positions_BK3, torch.zeros(batch, missing, 3)], 1),
        torch.cat([scenes.rotations_BK33, torch.eye(3).expand(batch, missing, 3, 3)], 1),
    )


def _mean(values: Tensor) -> float:
    return float(values.double().mean()) if values.numel() else math.nan
