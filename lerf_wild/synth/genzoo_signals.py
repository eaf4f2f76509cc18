"""What the picture of an animal is known to show, from its parameters: the control signals.

Symbols: H, W picture size (square), P keypoints, J joints, V vertices. Camera axes here are
OpenCV's, as in GenZoo's files: x right, y down, z forward, model units; the camera stands at the
origin. Places in the picture are -1 to 1 from the left and from the top.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from numpy.typing import NDArray

from lerf_wild.animals.body import BodyModel, PosedBody
from lerf_wild.animals.coats import make_canvas
from lerf_wild.render.raycast import Camera, Floats, vertex_normals

CANNY_THRESHOLDS = 100, 200
HIDDEN, SEEN = 1, 2
"""Visibility of a keypoint, as COCO counts it; 0 is outside of the picture."""
OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class Parameters:
    """An animal before a camera: all that a regressor can be asked for."""

    betas_K: NDArray[np.float32]
    rotations_J33: NDArray[np.float32]
    """The root's includes the camera's."""
    translation_3: NDArray[np.float32]
    """Model units."""
    fov_rad: float
    """Whole field of view."""

    def posed(self, model: BodyModel) -> PosedBody:
        """The body in camera axes, model units."""
        parts = (self.betas_K, self.rotations_J33, self.translation_3)
        with torch.no_grad():
            return model.pose(*(torch.from_numpy(part) for part in parts))

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Places (..., 2) in the picture of points (..., 3)."""
        scale = 1.0 / np.tan(0.5 * self.fov_rad)
        return (scale * points[..., :2] / points[..., 2:]).astype(np.float32)


@dataclass(frozen=True)
class Signals:
    """Control signals of one picture; they know nothing of what stands in front of the animal."""

    mask_HW: NDArray[np.bool_]
    normals_HW3: NDArray[np.uint8]
    """(n + 1) / 2 with x right, y up, z towards the viewer; black elsewhere."""
    depth_HW: NDArray[np.uint8]
    """255 nearest, 0 at the animal's farthest point and elsewhere, as GenZoo writes it."""
    canny_HW: NDArray[np.uint8]
    distance_HW: Floats
    """Depth along the optical axis, model units, 0 elsewhere."""


def camera_parameters(
    model: BodyModel,
    betas_K: Floats,
    rotations_J33: Floats,
    translation_3: Floats,
    yaw_turn_33: Floats,
    metres_per_unit: float,
    camera: Camera,
) -> Parameters:
    """The parameters in the camera's axes of an animal that stands in the world, turned by
    ``yaw_turn_33`` about the origin."""
    world_to_camera = OPENGL_TO_OPENCV @ camera.camera_to_world_34[:, :3].T
    turn = world_to_camera @ yaw_turn_33
    betas = torch.from_numpy(np.asarray(betas_K, np.float32))
    pivot = model.rest_joints(betas)[0].numpy().astype(np.float64)
    eye = world_to_camera @ camera.camera_to_world_34[:, 3] / metres_per_unit
    rotations = np.array(rotations_J33, np.float64)
    rotations[0] = turn @ rotations[0]
    # The root turns about its joint, which lies off the origin.
    shift = turn @ (pivot + translation_3) - eye - pivot
    return Parameters(
        np.asarray(betas_K, np.float32),
        rotations.astype(np.float32),
        shift.astype(np.float32),
        float(2.0 * np.arctan(0.5 * camera.width / camera.focal_px)),
    )


def make_signals(model: BodyModel, parameters: Parameters, size: int, refined: int = 1) -> Signals:
    """Casts rays at the animal alone.

    Args:
        model: The bundled quadruped for ``refined`` > 0, or any body.
        parameters: Shape, pose, camera.
        size: Side of the picture, pixels.
        refined: Subdivisions of the mesh, 0 or those of the coats' canvas.
    """
    vertices = parameters.posed(model).vertices.numpy()
    faces = model.faces_F3.numpy().astype(np.int32)
    if refined:
        canvas = make_canvas(refined)
        vertices, faces = canvas.refined(vertices), canvas.faces_F3
    distance, normals = _cast(vertices, faces, parameters, size)
    mask = distance > 0
    return Signals(
        mask_HW=mask,
        normals_HW3=normals,
        depth_HW=relative_depth(distance),
        canny_HW=cv2.Canny(normals, *CANNY_THRESHOLDS),
        distance_HW=distance,
    )


def relative_depth(distance_HW: Floats) -> NDArray[np.uint8]:
    """GenZoo's depth picture: 1 - (d - nearest) / (farthest - nearest) over the animal."""
    mask = distance_HW > 0
    if not mask.any():
        return np.zeros(distance_HW.shape, np.uint8)
    near, far = distance_HW[mask].min(), distance_HW[mask].max()
    share = 1.0 - (distance_HW - near) / max(float(far - near), 1e-9)
    return np.where(mask, np.rint(255.0 * share), 0).astype(np.uint8)


def keypoint_table(
    points_P3: NDArray[np.floating],
    parameters: Parameters,
    signals: Signals,
    hidden_HW: NDArray[np.bool_],
    tolerance: float = 0.05,
) -> NDArray[np.float32]:
    """Places and visibility (P, 3) of points: seen where neither the animal itself, by more than
    ``tolerance`` model units, nor anything of ``hidden_HW`` is in front."""
    spots = parameters.project(points_P3)
    size = signals.mask_HW.shape[0]
    inside = (np.abs(spots) < 1.0).all(axis=1)
    column, row = np.clip(((spots + 1.0) * 0.5 * size).astype(int), 0, size - 1).T
    surface = signals.distance_HW[row, column]
    behind = (surface > 0) & (points_P3[:, 2] > surface + tolerance)
    seen = np.where(behind | hidden_HW[row, column], HIDDEN, SEEN)
    return np.column_stack([spots, np.where(inside, seen, 0)]).astype(np.float32)


def silhouette_iou(first_HW: NDArray[np.bool_], second_HW: NDArray[np.bool_]) -> float:
    """Intersection over union of two silhouettes; 1 where both are empty."""
    union = int((first_HW | second_HW).sum())
    return 1.0 if union == 0 else int((first_HW & second_HW).sum()) / union


def _cast(vertices, faces, parameters: Parameters, size: int) -> tuple[Floats, NDArray[np.uint8]]:
    """Distance (H, W) and normal picture (H, W, 3); only rays at the animal's box are cast."""
    distance = np.zeros((size, size), np.float32)
    picture = np.zeros((size, size, 3), np.uint8)
    spots = 0.5 * size * (parameters.project(vertices) + 1.0)
    low = np.clip(np.floor(spots.min(axis=0)).astype(int) - 1, 0, size)
    high = np.clip(np.ceil(spots.max(axis=0)).astype(int) + 1, 0, size)
    if (high <= low).any() or vertices[:, 2].min() <= 0:
        return distance, picture
    columns, rows = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
    slope = np.tan(0.5 * parameters.fov_rad)
    rays = np.stack([(columns + 0.5) * 2 / size - 1, (rows + 0.5) * 2 / size - 1], axis=-1) * slope
    rays = np.concatenate([rays, np.ones_like(rays[..., :1])], -1).reshape(-1, 3).astype(np.float32)
    scene = rtcore_scene.EmbreeScene()
    mesh = TriangleMesh(scene, np.ascontiguousarray(vertices, np.float32), faces)
    found = scene.run(np.zeros_like(rays), rays, output=True)
    del mesh
    hit = found["primID"] >= 0
    part = (slice(low[1], high[1]), slice(low[0], high[0]))
    distance[part] = np.where(hit, found["tfar"], 0.0).reshape(columns.shape)
    corners = faces[found["primID"][hit]]
    u, v = found["u"][hit, None], found["v"][hit, None]
    smooth = vertex_normals(vertices, faces)[corners]
    normal = (1 - u - v) * smooth[:, 0] + u * smooth[:, 1] + v * smooth[:, 2]
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    colours = np.zeros((len(hit), 3), np.uint8)
    colours[hit] = np.rint(127.5 * (normal * [1.0, -1.0, -1.0] + 1.0))
    picture[part] = colours.reshape(*columns.shape, 3)
    return distance, picture
