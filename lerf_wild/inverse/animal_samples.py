"""Generated pictures of animals in memory, and batches of crops with what is to be learned.

Symbols: N samples, B crops, S side in pixels, J joints (35), K betas, P keypoints (26), Q points
(keypoints, then joints). Places in pictures are -1 to 1; crops' axes as in
`lerf_wild.inverse.animal_crops`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lerf_wild.animals import schema
from lerf_wild.animals.body import mirrored_pose
from lerf_wild.errors import DatasetError
from lerf_wild.inverse.animal_bodies import JointBody
from lerf_wild.inverse.animal_crops import (
    Crops,
    box_crops,
    crop_turns,
    cut_crops,
    to_crop,
)
from lerf_wild.synth.genzoo import decode
from lerf_wild.synth.shards import Sample, read_dataset

MARGIN = 1.2
"""Side of a crop over the longer side of the animal's box, as in GenZoo."""

MIN_DEPTH = 0.05
"""Points nearer to the camera, in the body's units, are projected as if they were this far."""


@dataclass(frozen=True)
class AnimalSamples:
    """Pictures and parameters; the root's rotation and place are in the pictures' camera axes."""

    pictures_N3SS: Tensor
    """uint8."""
    betas_NK: Tensor
    rotations_NJ33: Tensor
    root_N3: Tensor
    """The root joint, model units."""
    k_N: Tensor
    """1 / tan(half of the field of view)."""
    keypoints_NP3: Tensor
    """x, y, visibility."""
    boxes_N4: Tensor

    def rows(self, index: Tensor | slice) -> AnimalSamples:
        """Some of the samples."""
        return AnimalSamples(*(getattr(self, item.name)[index] for item in fields(self)))

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.betas_NK)


@dataclass(frozen=True)
class AnimalBatch:
    """Crops and what they show, in their own camera axes."""

    crops_B3SS: Tensor
    betas_BK: Tensor
    rotations_BJ33: Tensor
    camera_B4: Tensor
    """Root joint's place in the crop, log size, log kappa."""
    points_BQ2: Tensor
    """Places in the crop of keypoints, then joints."""
    joints_BJ3: Tensor
    """In the crop's camera axes."""
    present_B: Tensor
    where: Crops
    turns_B33: Tensor
    k_B: Tensor

    def to(self, device: torch.device | str) -> AnimalBatch:
        """The same on a device."""
        return AnimalBatch(**{name: part.to(device) for name, part in vars(self).items()})

    def again(self, times: int) -> AnimalBatch:
        """The same crops several times over, without their pixels."""
        which = torch.arange(len(self.betas_BK), device=self.betas_BK.device).repeat(times)
        pixels = {"crops_B3SS": self.crops_B3SS[:0], "where": self.where.rows(which)}
        rest = {name: part[which] for name, part in vars(self).items() if name not in pixels}
        return AnimalBatch(**rest, **pixels)

    def project(self, points_BN3: Tensor) -> Tensor:
        """Places (B, N, 2) in the crops of points in the crops' camera axes."""
        shown = points_BN3 @ self.turns_B33.transpose(1, 2)
        depth = shown[..., 2:].clamp_min(MIN_DEPTH)
        return to_crop(self.k_B[:, None, None] * shown[..., :2] / depth, self.where)


def load_samples(
    folder: Path, body: JointBody, body_sha256: str, most: int | None = None
) -> AnimalSamples:
    """Reads the shards of `lerf-wild synth genzoo` into memory.

    Raises:
        DatasetError: the folder holds no such shards, or betas of another body.
    """
    from lerf_wild.storage.json_files import read_json

    job = read_json(folder / "job.json")
    about = job.get("about") if isinstance(job, dict) else None
    if not isinstance(about, dict) or about.get("kind") != "genzoo":
        raise DatasetError(f"{folder}: no shards of `lerf-wild synth genzoo`.")
    if about.get("body") != body_sha256:
        raise DatasetError(
            f"{folder}: its betas belong to another body ({str(about.get('body'))[:12]}), and mean "
            "nothing to this one. Generate the pictures anew."
        )
    return collect(read_dataset(folder), body, most)


def collect(samples: Iterable[Sample], body: JointBody, most: int | None = None) -> AnimalSamples:
    """Decoded samples as tensors.

    Raises:
        DatasetError: there is none, one is broken, or sizes differ.
    """
    rows: list[tuple[Tensor, ...]] = []
    for key, parts in samples:
        found = decode(key, parts)
        parameters = found.parameters
        numbers = (parameters.betas_K, parameters.rotations_J33, parameters.translation_3)
        k = np.float32(1.0 / math.tan(0.5 * parameters.fov_rad))
        row = (found.rgb_HW3.transpose(2, 0, 1), *numbers, k, found.keypoints_P3, found.box_4)
        rows.append(tuple(torch.from_numpy(np.array(part)) for part in row))
        if len(rows) == most:
            break
    if not rows:
        raise DatasetError("The shards hold no sample. Generate more pictures.")
    _check_one_size({row[0].shape for row in rows})
    pictures, betas, rotations, shift, k, keypoints, boxes = (torch.stack(c) for c in zip(*rows))
    root = body.pivot(betas) + shift
    return AnimalSamples(pictures, betas, rotations, root, k, keypoints, boxes)


def joined(parts: Sequence[AnimalSamples]) -> AnimalSamples:
    """Several sets of samples as one; raises DatasetError where sizes differ."""
    _check_one_size({part.pictures_N3SS.shape[1:] for part in parts})
    columns = ([getattr(part, item.name) for part in parts] for item in fields(AnimalSamples))
    return AnimalSamples(*(torch.cat(column) for column in columns))


def _check_one_size(shapes: set[torch.Size]) -> None:
    if len(shapes) > 1:
        raise DatasetError("The shards hold pictures of several sizes; use one at a time.")


def faces_right(rotations_NJ33: Tensor) -> Tensor:
    """Whether (N,) noses are further right in the picture than tails, by the roots' rotations."""
    return rotations_NJ33[:, 0, 0, 0] > 0.0


def mirrored(samples: AnimalSamples, which_N: Tensor) -> AnimalSamples:
    """Some of the samples turned left to right; an animal in a mirror is one with its sides
    swapped."""
    sign = torch.tensor([-1.0, 1.0, 1.0])
    order = torch.from_numpy(schema.joint_mirror())
    rotations = mirrored_pose(samples.rotations_NJ33, order)
    # The mirror is that of the camera, not of the body: both at once leave a rotation.
    body_mirror = torch.tensor([1.0, -1.0, 1.0])
    rotations[:, 0] = sign[:, None] * samples.rotations_NJ33[:, 0] * body_mirror
    keypoints = samples.keypoints_NP3[:, list(schema.KEYPOINT_MIRROR)] * sign
    left, top, right, bottom = samples.boxes_N4.unbind(-1)
    changed = (
        samples.pictures_N3SS.flip(-1),
        samples.betas_NK,
        rotations,
        samples.root_N3 * sign,
        samples.k_N,
        keypoints,
        torch.stack([-right, top, -left, bottom], -1),
    )
    mixed = []
    for item, other in zip(fields(samples), changed):
        own = getattr(samples, item.name)
        mixed.append(torch.where(which_N.view(-1, *[1] * (own.ndim - 1)), other, own))
    return AnimalSamples(*mixed)


def make_batch(
    samples: AnimalSamples, where: Crops, body: JointBody, size: int, present_B: Tensor
) -> AnimalBatch:
    """Cuts crops and brings what they show into their own camera axes."""
    turns = crop_turns(where, samples.k_N)
    back = turns.transpose(1, 2)
    rotations = samples.rotations_NJ33.clone()
    rotations[:, 0] = back @ rotations[:, 0]
    root = (back @ samples.root_N3[..., None])[..., 0]
    joints = body.joints(samples.betas_NK, rotations, root)
    kappa = samples.k_N / where.half_B
    # The hips of an animal that all but touches the lens can lie behind it.
    nearness = kappa / root[:, 2].clamp_min(MIN_DEPTH)
    place = nearness[:, None] * root[:, :2]
    camera = torch.cat([place, nearness.log()[:, None], kappa.log()[:, None]], -1)
    batch = AnimalBatch(
        crops_B3SS=cut_crops(samples.pictures_N3SS.float() / 255.0, where, size),
        betas_BK=samples.betas_NK,
        rotations_BJ33=rotations,
        camera_B4=camera,
        points_BQ2=joints[..., :2],
        joints_BJ3=joints,
        present_B=present_B,
        where=where,
        turns_B33=turns,
        k_B=samples.k_N,
    )
    keypoints = to_crop(samples.keypoints_NP3[..., :2], where)
    points = torch.cat([keypoints, batch.project(joints)], 1)
    return AnimalBatch(**{**vars(batch), "points_BQ2": points})


def plain_batch(samples: AnimalSamples, body: JointBody, size: int) -> AnimalBatch:
    """Crops around the animals' boxes, nothing changed."""
    where = box_crops(samples.boxes_N4[:, :2], samples.boxes_N4[:, 2:], MARGIN)
    return make_batch(samples, where, body, size, torch.ones(len(samples)))
