"""Skinning weights, joint regressor and keypoints of the bundled quadruped.

Symbols: V vertices, H vertices of the left half, J joints, S sample animals.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.sparse import csr_matrix, diags, eye
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from lerf_wild.animals import schema
from lerf_wild.animals.quadruped.anatomy import Anatomy
from lerf_wild.animals.quadruped.parts import Part, head_frame, joint_positions
from lerf_wild.animals.quadruped.transfer import part_weights

Floats = NDArray[np.float64]
MAX_INFLUENCES = 4
LIMB_ADVANTAGE = 8.0


def skinning_weights(
    anatomy: Anatomy,
    parts: Sequence[Part],
    vertices_V3: Floats,
    faces_F3: NDArray[np.int64],
    mirror_V: NDArray[np.int64],
) -> Floats:
    """Weights (V, 35), at most four joints a vertex, the right an exact mirror of the left.

    Vertices belong to the joints of their parts; spine and tail are shared along x among their
    joints; heat then flows along the skin for a moment, which rounds the borders off.
    """
    joints = joint_positions(anatomy)
    share = part_weights(parts, vertices_V3, softness=0.015)
    # Upper limbs lie in the trunk; without an advantage they would hardly move their own skin.
    limbs = [part.region in ("front upper", "hind upper", "thigh") for part in parts]
    share[:, limbs] *= LIMB_ADVANTAGE
    share /= share.sum(axis=1, keepdims=True)
    weights = np.zeros((len(vertices_V3), schema.JOINT_COUNT))
    for part, column in zip(parts, share.T):
        weights[:, part.joint] += column
    for region, chain in (("trunk", (0, *schema.SPINE)), ("tail", schema.TAIL)):
        inside = [part.region == region for part in parts]
        weights[:, list(chain)] = 0.0
        total = share[:, inside].sum(axis=1)
        weights[:, list(chain)] += total[:, None] * _along(
            vertices_V3[:, 0], joints[list(chain), 0]
        )
    shoulder = share[:, [part.region == "shoulder" for part in parts]].sum(axis=1)
    weights[:, 6] += shoulder
    weights = _diffused(weights, vertices_V3, faces_F3, strength=6.0)
    return _tidied(weights, mirror_V)


def joint_regressor(
    samples_SH3: Floats, joints_SJ3: Floats, left: NDArray[np.int64], mirror_V: NDArray[np.int64]
) -> Floats:
    """Non-negative rows (J, V) that sum to 1 and find the joints of the sample animals.

    Each joint is a mean of skin around it, fitted by least squares over all samples; joints of the
    right are mirrors of the left, and the spine's use both sides alike.
    """
    others = schema.joint_mirror()
    regressor = np.zeros((schema.JOINT_COUNT, len(mirror_V)))
    for joint in range(schema.JOINT_COUNT):
        if others[joint] < joint:
            continue
        near = _ring(samples_SH3[0], joints_SJ3[0, joint], count=90)
        central = others[joint] == joint
        row = _fitted(samples_SH3[:, near], joints_SJ3[:, joint], central)
        columns = left[near]
        regressor[joint, columns] = row
        if central:
            regressor[joint] = 0.5 * (regressor[joint] + regressor[joint, mirror_V])
        else:
            regressor[others[joint]] = regressor[joint, mirror_V]
    return regressor


def keypoint_regressor(anatomy: Anatomy, vertices_V3: Floats, mirror_V: NDArray) -> Floats:
    """Rows (26, V): means of the skin around each of the 26 keypoints, mirrored exactly."""
    rows = np.zeros((len(schema.KEYPOINT_NAMES), len(vertices_V3)))
    tree = cKDTree(vertices_V3)
    for index, (place, count) in enumerate(_keypoint_places(anatomy)):
        other = schema.KEYPOINT_MIRROR[index]
        if other < index:
            rows[index] = rows[other, mirror_V]
            continue
        rows[index, tree.query(place, k=count)[1]] = 1.0 / count
        if other == index:
            rows[index] = 0.5 * (rows[index] + rows[index, mirror_V])
    return rows


def _keypoint_places(a: Anatomy) -> list[tuple[Floats, int]]:
    """Where each keypoint is on the template, and how many vertices to take around it."""
    joints = joint_positions(a)
    origin, axes = head_frame(a)
    s = a.skull

    def face(forward: float, side: float, up: float) -> Floats:
        return origin + axes @ np.array([forward, side, up])

    nose_x = 0.55 * s + a.snout
    tip_z = min(-0.2 * s, 0.3 * s - a.snout_tip) - 0.1 * a.snout
    toe, heel = joints[10] + [a.foot_length, 0, 0], joints[20] + [a.foot_length, 0, 0]
    toe[2] = heel[2] = 0.3 * a.foot
    out = np.array([0.0, 0.08, 0.0])
    tail = joints[list(schema.TAIL)]
    tilt = np.radians(a.ear_tilt)
    ear = joints[schema.LEFT_EAR] + axes @ (a.ear * np.array([-0.18, np.sin(tilt), np.cos(tilt)]))
    mouth = face(nose_x - 2.0 * a.snout_tip, 0.8 * a.snout_tip, tip_z - 0.9 * a.snout_tip)
    left = {
        0: (face(0.8 * s, 0.72 * s, 0.34 * s), 4),
        3: (toe, 6),
        5: (heel, 6),
        8: (joints[8], 14),
        10: (joints[18] + 0.3 * out, 14),
        12: (joints[7] + out, 8),
        14: (joints[9], 14),
        16: (joints[19], 14),
        20: (ear, 6),
        22: (mouth, 5),
    }
    middle = {
        2: (face(nose_x, 0.0, tip_z - 1.1 * a.snout_tip), 4),
        7: (tail[0] + [0.0, 0.0, a.tail_base], 4),
        18: (0.5 * (joints[schema.NECK] + joints[schema.HEAD]) + [-0.06, 0.0, 0.1], 6),
        19: (tail[0] - [a.tail, 0.0, 0.0], 5),
        24: (face(nose_x + 0.3 * a.snout_tip, 0.0, tip_z + 0.35 * a.snout_tip), 6),
        25: (tail[0] - [0.5 * a.tail, 0.0, 0.0], 8),
    }
    found = left | middle
    return [found.get(i, (np.zeros(3), 1)) for i in range(len(schema.KEYPOINT_NAMES))]


def _along(x_V: Floats, stations_C: Floats) -> Floats:
    """Shares (V, C) of the segments between stations, each station owning what follows it."""
    ends = np.append(stations_C, 2 * stations_C[-1] - stations_C[-2])
    middles = 0.5 * (ends[:-1] + ends[1:])
    sign = np.sign(stations_C[-1] - stations_C[0])
    place = np.interp(sign * x_V, sign * middles, np.arange(len(middles)))
    return np.maximum(1.0 - np.abs(place[:, None] - np.arange(len(middles))), 0.0)


def _diffused(
    weights: Floats, vertices: Floats, faces: NDArray[np.int64], strength: float
) -> Floats:
    count = len(vertices)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    # Half-edges run once each way round a closed mesh, so the matrix is symmetric as it is.
    near = csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count))
    laplacian = diags(np.asarray(near.sum(axis=1)).ravel()) - near
    return splu((eye(count) + strength / 6.0 * laplacian).tocsc()).solve(weights)


def _tidied(weights: Floats, mirror_V: NDArray[np.int64]) -> Floats:
    order = schema.joint_mirror()
    weights = np.maximum(0.5 * (weights + weights[mirror_V][:, order]), 0.0)
    # Strictly above the next one: of two equal weights, left and right, none is kept alone.
    next_one = np.sort(weights, axis=1)[:, -MAX_INFLUENCES - 1, None]
    weights = np.where(weights > np.maximum(next_one, 0.01), weights, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


def _ring(vertices_H3: Floats, joint_3: Floats, count: int) -> NDArray[np.int64]:
    return np.argsort(np.linalg.norm(vertices_H3 - joint_3, axis=1), kind="stable")[:count]


def _fitted(skin_SN3: Floats, joint_S3: Floats, central: bool) -> Floats:
    axes = [0, 2] if central else [0, 1, 2]
    matrix = skin_SN3[..., axes].transpose(0, 2, 1).reshape(-1, skin_SN3.shape[1])
    wanted = joint_S3[:, axes].reshape(-1)
    count = skin_SN3.shape[1]
    heavy = 100.0 * np.ones((1, count))
    # A little ridge spreads the weight over the ring instead of a few vertices.
    system = np.concatenate([matrix, heavy, 0.02 * len(skin_SN3) ** 0.5 * np.eye(count)])
    row = nnls(system, np.concatenate([wanted, [100.0], np.zeros(count)]))[0]
    return row / row.sum()
