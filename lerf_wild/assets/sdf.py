"""Bodies from bones: a smooth union of tapered capsules, turned into triangles by marching cubes.

Symbols: B bones, V vertices. A bone runs from ``start`` to ``end`` with a radius at each end;
``width`` scales it sideways (y). Distances are approximate (exact for an unscaled capsule of
constant radius), which is all that a zero crossing needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import marching_cubes

Floats = NDArray[np.float32]
FAR = 10.0


@dataclass(frozen=True)
class Bone:
    """One tapered capsule of a body; ``region`` names the body part for painting."""

    region: str
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius_start: float
    radius_end: float
    width: float = 1.0
    blend: float = 0.06


def bone_distance(bone: Bone, points: Floats) -> tuple[Floats, Floats]:
    """Distance of points (..., 3) to a bone, and the share 0-1 along it, each of shape (...)."""
    start = np.asarray(bone.start, np.float32)
    axis = np.asarray(bone.end, np.float32) - start
    offset = points - start
    share = np.clip(offset @ (axis / max(float(axis @ axis), 1e-12)), 0.0, 1.0)
    radial = offset - share[..., None] * axis
    radial[..., 1] /= bone.width
    radius = bone.radius_start + share * (bone.radius_end - bone.radius_start)
    distance = np.sqrt(np.einsum("...i,...i->...", radial, radial)) - radius
    return distance * min(1.0, bone.width), share


def smooth_min(first: Floats, second: Floats, blend: float) -> Floats:
    """Minimum of two distances, rounded over a band of width ``blend``."""
    overlap = np.maximum(blend - np.abs(first - second), 0.0)
    return np.minimum(first, second) - overlap * overlap * (0.25 / blend)


def polygonise(bones: Sequence[Bone], cell: float) -> tuple[Floats, NDArray[np.int32]]:
    """Triangles of the union of bones on a grid of spacing ``cell``; faces wind outwards."""
    boxes = [_box(bone, bone.blend / min(1.0, bone.width) + 2 * cell) for bone in bones]
    low = np.min([box[0] for box in boxes], axis=0)
    shape = np.ceil((np.max([box[1] for box in boxes], axis=0) - low) / cell).astype(int) + 2
    field = np.full(shape, FAR, np.float32)
    axes = [low[axis] + cell * np.arange(shape[axis]) for axis in range(3)]
    for bone, box in zip(bones, boxes, strict=True):
        first = np.floor((box[0] - low) / cell).astype(int)
        last = np.ceil((box[1] - low) / cell).astype(int) + 1
        window = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        local = [axis[part] for axis, part in zip(axes, window, strict=True)]
        points = np.stack(np.meshgrid(*local, indexing="ij"), axis=-1).astype(np.float32)
        field[window] = smooth_min(field[window], bone_distance(bone, points)[0], bone.blend)
    vertices, faces, _, _ = marching_cubes(field, 0.0, spacing=(cell, cell, cell))
    return relaxed((vertices + low).astype(np.float32), faces.astype(np.int32))


def relaxed(
    vertices_V3: Floats, faces_F3: NDArray[np.int32], steps: int = 3
) -> tuple[Floats, NDArray[np.int32]]:
    """Slide vertices along the surface towards their neighbours, so that slivers become fair."""
    source = np.concatenate([faces_F3[:, [0, 1, 2]], faces_F3[:, [1, 2, 0]]]).ravel()
    target = np.concatenate([faces_F3[:, [1, 2, 0]], faces_F3[:, [0, 1, 2]]]).ravel()
    degree = np.maximum(np.bincount(source, minlength=len(vertices_V3)), 1)[:, None]
    vertices = vertices_V3
    for _ in range(steps):
        drift = _scatter(source, vertices[target], len(vertices)) / degree - vertices
        normals = surface_normals(vertices, faces_F3)
        drift -= np.sum(drift * normals, axis=1, keepdims=True) * normals
        vertices = (vertices + 0.6 * drift).astype(np.float32)
    return vertices, faces_F3


def surface_normals(vertices_V3: Floats, faces_F3: NDArray[np.int32]) -> Floats:
    """Unit normals of vertices, the mean of their faces by area, shape (V, 3)."""
    corners = vertices_V3[faces_F3]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = _scatter(faces_F3.ravel(), np.repeat(cross, 3, axis=0), len(vertices_V3))
    return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-20)).astype(
        np.float32
    )


def _scatter(index_N: NDArray[np.integer], values_N3: Floats, count: int) -> NDArray[np.float64]:
    """Sum of the rows of ``values_N3`` that go to each index, shape (count, 3)."""
    columns = [np.bincount(index_N, values_N3[:, axis], minlength=count) for axis in range(3)]
    return np.stack(columns, axis=1)


def _box(bone: Bone, margin: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ends = np.array([bone.start, bone.end])
    radius = max(bone.radius_start, bone.radius_end) * np.array([1.0, bone.width, 1.0])
    return ends.min(axis=0) - radius - margin, ends.max(axis=0) + radius + margin
