"""Figures of a regressor on pictures whose truth is known, and of knowing nothing.

Symbols: N samples, B crops, J joints (35), V vertices, P keypoints (26). Errors in space are 1000 x
model units, in the pictures' camera axes; PCK counts visible and hidden keypoints in the picture,
where the animal that was found stands before the camera that was found with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lerf_wild.animals.body import BodyModel, PosedBody
from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.animals.metrics import (
    NOSE,
    TAIL_BASE,
    head_tail_px,
    keypoints_right,
    procrustes_error,
    scaled_error,
)
from lerf_wild.inverse.animal_bodies import joint_body
from lerf_wild.inverse.animal_crops import crop_turns
from lerf_wild.inverse.animal_network import AnimalNetwork, AnimalOutputs
from lerf_wild.inverse.animal_samples import AnimalBatch, AnimalSamples, plain_batch
from lerf_wild.inverse.animal_views import GLANCES, Glance, answers_at, mean_answer, spread

BATCH = 64
PCKS = ("pck_05", "pck_01", "pck_length")


def measure(
    network: AnimalNetwork | None,
    samples: AnimalSamples,
    narrow_crop: bool = False,
    vertices: bool = True,
    glances: Sequence[Glance] = GLANCES,
) -> dict[str, float]:
    """Means over the samples; without a network those of the mean pose and shape.

    Returns:
        ``pck_05`` (0-1), ``pck_01``, ``pck_length``, ``s_mpjpe``, ``pa_mpjpe`` and, with
        ``vertices``, ``s_v2v``, ``pa_v2v``; of a network also ``spread``
        (`lerf_wild.inverse.animal_views.spread`). The first two measure by the distance from nose
        to tail base in the picture, which is next to nothing for an animal that looks at the
        camera; ``pck_length`` counts keypoints within half of that distance as it is from the side.
    """
    rows = per_animal(network, samples, narrow_crop, vertices, glances)
    figures = {name: float(v.nanmean()) for name, v in rows.items() if "right" not in name}
    for name in PCKS:
        figures[name] = float(rows[f"{name}_right"].sum() / rows["counted_right"].sum())
    return figures


@torch.no_grad()
def per_animal(
    network: AnimalNetwork | None,
    samples: AnimalSamples,
    narrow_crop: bool = False,
    vertices: bool = True,
    glances: Sequence[Glance] = GLANCES,
) -> dict[str, Tensor]:
    """What `measure` takes the means of: one value a sample."""
    from lerf_wild.inverse.animal_training import narrowed

    model = load_quadruped().model
    body, rows = joint_body(model), []
    size = 96 if network is None else network.spec.input_px
    change = narrowed if narrow_crop else Tensor.contiguous
    for start in range(0, len(samples), BATCH):
        part = samples.rows(slice(start, start + BATCH))
        batch = plain_batch(part, body, size)
        if network is None:
            outputs = know_nothing(batch, model)
        else:
            pictures = part.pictures_N3SS.float() / 255.0
            answers = answers_at(network, pictures, batch.where, glances, change)
            outputs = mean_answer(answers, network.spec.raw_rotations)
        rows.append(_errors(outputs, batch, part, model, vertices))
        if network is not None:
            rows[-1]["spread"] = spread(model, answers)
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}


def know_nothing(batch: AnimalBatch, model: BodyModel) -> AnimalOutputs:
    """The mean pose and shape, seen from the side, in the middle of every crop: the baseline."""
    from lerf_wild.inverse.animal_bodies import pose_space
    from lerf_wild.inverse.animal_network import nearest_rotations

    count = len(batch.betas_BK)
    mean = nearest_rotations(pose_space(model).mean_P.unflatten(0, (-1, 3, 3)))
    side_on = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    rotations = torch.cat([side_on[None], mean]).expand(count, -1, -1, -1)
    camera = torch.tensor([-0.2, 0.0, -0.3, 1.3]).expand(count, -1)
    points = torch.zeros_like(batch.points_BQ2)
    betas = torch.zeros_like(batch.betas_BK)
    return AnimalOutputs(rotations, betas, camera, points, torch.ones(count))


def in_picture(outputs: AnimalOutputs, batch: AnimalBatch, model: BodyModel) -> PosedBody:
    """The animals that outputs describe, in the crops' camera axes."""
    root = outputs.root_B3()
    pivot = joint_body(model).pivot(outputs.betas_BK)
    return model.pose(outputs.betas_BK, outputs.rotations_BJ33, root - pivot)


def own_view(outputs: AnimalOutputs, batch: AnimalBatch) -> AnimalBatch:
    """The batch with the cameras that outputs speak of: an answer is drawn with its own focal
    length, as distance and focal length are hardly told apart in one picture."""
    k_B = outputs.camera_B4[:, 3].exp() * batch.where.half_B
    return replace(batch, k_B=k_B, turns_B33=crop_turns(batch.where, k_B))


def side_on_px(batch: AnimalBatch, keypoints_BP3: Tensor) -> Tensor:
    """Distance (B,) from nose to tail base in the crops if the animals stood side-on to the camera
    where they are."""
    length_B = (keypoints_BP3[:, NOSE] - keypoints_BP3[:, TAIL_BASE]).norm(dim=-1)
    middle_B13 = keypoints_BP3.mean(dim=1, keepdim=True)
    across_B13 = length_B[:, None, None] * batch.turns_B33[:, :1]
    ends_B22 = batch.project(middle_B13 + across_B13 * torch.tensor([-0.5, 0.5])[:, None])
    return (ends_B22[:, 1] - ends_B22[:, 0]).norm(dim=-1)


def _errors(
    outputs: AnimalOutputs,
    batch: AnimalBatch,
    samples: AnimalSamples,
    model: BodyModel,
    vertices: bool,
) -> dict[str, Tensor]:
    found = in_picture(outputs, batch, model)
    pivot = joint_body(model).pivot(batch.betas_BK)
    root = batch.joints_BJ3[:, 0]
    true = model.pose(batch.betas_BK, batch.rotations_BJ33, root - pivot)
    rows = {
        "s_mpjpe": scaled_error(found.joints, true.joints),
        "pa_mpjpe": procrustes_error(found.joints, true.joints),
    }
    if vertices:
        rows["s_v2v"] = scaled_error(found.vertices, true.vertices)
        rows["pa_v2v"] = procrustes_error(found.vertices, true.vertices)
    spots = own_view(outputs, batch).project(found.keypoints)
    shown = batch.project(true.keypoints)
    valid = samples.keypoints_NP3[..., 2] > 0
    seen, whole = head_tail_px(shown), side_on_px(batch, true.keypoints)
    for name, length, share in zip(PCKS, (seen, seen, whole), (0.5, 0.1, 0.5), strict=True):
        right, counted = keypoints_right(spots, shown, length, share, valid)
        rows[f"{name}_right"] = right.double()
    rows["counted_right"] = counted.double()
    return rows
