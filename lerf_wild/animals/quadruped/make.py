"""Makes the bundled quadruped: `python -m lerf_wild.animals.quadruped.make --output-dir FOLDER`.

A template is cut from the mean anatomy, carried to a few hundred animals of
`lerf_wild.animals.quadruped.anatomy`, and their principal components become the shape directions.
Symbols: V vertices, H vertices of the left half, S sample animals, K shape coefficients.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lerf_wild.animals import schema
from lerf_wild.animals.quadruped import anatomy as anatomies
from lerf_wild.animals.quadruped.anatomy import SPECIES, Anatomy
from lerf_wild.animals.quadruped.half_mesh import build_half, mirrored_whole
from lerf_wild.animals.quadruped.parts import body_parts, joint_positions
from lerf_wild.animals.quadruped.skin_weights import (
    joint_regressor,
    keypoint_regressor,
    skinning_weights,
)
from lerf_wild.animals.quadruped.transfer import carried, edge_size, part_weights

Floats = NDArray[np.float64]
BETA_COUNT = 41
SPECIES_WEIGHT = 4.0
"""How much more a species counts than an individual when the shape space is fitted."""
NOSE_TO_TAIL = 1.55
"""Length of the template from nose to tail base in model units, as SMAL has it."""

REGIONS: tuple[str, ...] = (
    *("trunk", "neck", "head", "snout", "nose", "jaw", "eye", "ear", "tail", "foot"),
    *("front leg", "hind leg"),
)


@dataclass(frozen=True)
class Left:
    """The left half of the template and how it becomes the whole."""

    anatomy: Anatomy
    points_H3: Floats
    faces_F3: NDArray[np.int64]
    mirror_V: NDArray[np.int64]

    def whole(self, points_H3: Floats) -> Floats:
        """All vertices (..., V, 3) of a left half (..., H, 3)."""
        right = points_H3[..., self.mirror_V[points_H3.shape[-2] :], :] * [1.0, -1.0, 1.0]
        return np.concatenate([points_H3, right], axis=-2)

    def carried_to(self, anatomy: Anatomy) -> Floats:
        """The left half (H, 3) of another animal."""
        points = carried(body_parts(self.anatomy), body_parts(anatomy), self.points_H3)
        points[self.points_H3[:, 1] == 0.0, 1] = 0.0
        return points


def make_template(anatomy: Anatomy, vertex_count: int = schema.VERTEX_COUNT) -> Left:
    """Cuts the template from an anatomy."""
    parts = body_parts(anatomy)
    points, faces = build_half(parts, functools.partial(edge_size, parts), vertex_count)
    _, whole_faces, mirror = mirrored_whole(points, faces)
    return Left(anatomy, points, whole_faces, mirror)


def sample_anatomies(rng: np.random.Generator, per_species: int, blends: int) -> list[Anatomy]:
    """All species first, then individuals of each, then blends of two."""
    kinds = list(SPECIES.values())
    samples = list(kinds)
    for kind in kinds:
        samples += [anatomies.varied(kind, rng, 0.09) for _ in range(per_species)]
    for _ in range(blends):
        first, second = rng.choice(len(kinds), 2, replace=False)
        mixed = anatomies.blended(kinds[first], kinds[second], rng.uniform(0.2, 0.8))
        samples.append(anatomies.varied(mixed, rng, 0.05))
    return samples


def principal_shapes(samples_SH3: Floats, weights_S: Floats, count: int) -> tuple[Floats, ...]:
    """Weighted mean (H, 3), directions (H, 3, K) of unit variance, and coefficients (S, K)."""
    share = weights_S / weights_S.sum()
    mean = np.einsum("s,shc->hc", share, samples_SH3)
    rows = (samples_SH3 - mean).reshape(len(samples_SH3), -1)
    _, values, right = np.linalg.svd(np.sqrt(share)[:, None] * rows, full_matrices=False)
    # The sign of a component is arbitrary; the largest entry is made positive.
    sign = np.sign(right[np.arange(count), np.abs(right[:count]).argmax(axis=1)])
    directions = (sign[:, None] * right[:count] * values[:count, None]).T
    coefficients = rows @ (right[:count].T * sign) / values[:count]
    return mean, directions.reshape(*mean.shape, count), coefficients


def region_weights(left: Left) -> Floats:
    """How much each vertex belongs to each of ``REGIONS``, (V, R), for painting coats."""
    parts = body_parts(left.anatomy)
    share = part_weights(parts, left.points_H3, softness=0.012)
    table = np.zeros((len(left.points_H3), len(REGIONS)))
    for part, column in zip(parts, share.T):
        table[:, REGIONS.index(_region(part.region))] += column
    return np.concatenate([table, table[left.mirror_V[len(table) :]]])


def make_tensors(
    rng: np.random.Generator,
    per_species: int = 7,
    blends: int = 60,
    kinds: Sequence[str] = tuple(SPECIES),
) -> tuple[dict[str, NDArray], dict[str, str]]:
    """Everything that the file of the bundled quadruped holds: tensors and text."""
    left = make_template(Anatomy())
    samples = sample_anatomies(rng, per_species, blends)
    points = np.stack([left.carried_to(sample) for sample in samples])
    joints = np.stack([joint_positions(sample) for sample in samples])
    half = np.arange(points.shape[1])
    regressor = joint_regressor(points, joints, half, left.mirror_V).astype(np.float32)
    whole = left.whole(points)
    points = points - (regressor[0] @ whole)[:, None] * [1.0, 0.0, 1.0]
    mean, directions, coefficients = principal_shapes(
        points, np.where(np.arange(len(samples)) < len(kinds), SPECIES_WEIGHT, 1.0), BETA_COUNT
    )
    # Rounding in the decomposition must not move the midline off its plane.
    directions[left.points_H3[:, 1] == 0.0, 1] = 0.0
    template = left.whole(mean)
    keypoints = keypoint_regressor(left.anatomy, left.whole(left.points_H3), left.mirror_V)
    scale = NOSE_TO_TAIL / float((keypoints[24] - keypoints[7]) @ template[:, 0])
    stacked = left.whole(directions.transpose(2, 0, 1)).transpose(1, 2, 0)
    tensors = {
        "v_template": scale * template,
        "shapedirs": scale * stacked,
        "faces": left.faces_F3.astype(np.int32),
        "J_regressor": regressor,
        "weights": _weights(left),
        "keypoint_regressor": keypoints,
        "mirror": left.mirror_V.astype(np.int32),
        "regions": region_weights(left),
        "species_betas": coefficients[: len(kinds)],
        "species_height_m": np.array([anatomies.HEIGHTS_M[name] for name in kinds]),
    }
    floats = {name: t.astype(np.float32) for name, t in tensors.items() if t.dtype.kind == "f"}
    return {**tensors, **floats}, _metadata(kinds)


def make(output_dir: Path, seed: int = 0) -> None:
    """Writes quadruped.safetensors into a folder; the same seed gives the same file.

    Args:
        output_dir: Folder to write to.
        seed: What decides the sample animals.
    """
    from safetensors.numpy import save

    from lerf_wild.storage.atomic import write_bytes

    tensors, metadata = make_tensors(np.random.default_rng(seed))
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    write_bytes(output_dir / "quadruped.safetensors", save(contiguous, metadata))


def _weights(left: Left) -> Floats:
    parts = body_parts(left.anatomy)
    whole = left.whole(left.points_H3)
    return skinning_weights(left.anatomy, parts, whole, left.faces_F3, left.mirror_V)


def _metadata(kinds: Sequence[str]) -> dict[str, str]:
    return {
        "format": "lerf-wild body 1",
        "name": "quadruped",
        "licence": "Apache-2.0",
        "parents": json.dumps(schema.PARENTS),
        "joint_names": json.dumps(schema.JOINT_NAMES),
        "keypoint_names": json.dumps(schema.KEYPOINT_NAMES),
        "region_names": json.dumps(REGIONS),
        "species": json.dumps(list(kinds)),
    }


def _region(part: str) -> str:
    if part in REGIONS:
        return part
    return "hind leg" if part.startswith(("hind", "thigh")) else "front leg"


if __name__ == "__main__":
    import tyro

    tyro.cli(make)
