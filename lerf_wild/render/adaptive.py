"""One ray a pixel, and four more where the picture has an edge: soft outlines at little cost.

Symbols: H, W size of the picture, E pixels on edges.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lerf_wild.render.light import to_srgb
from lerf_wild.render.raycast import (
    Camera,
    Floats,
    Picture,
    RayScene,
    jittered_sun,
    pixel_rays,
)

CORNERS_42 = np.float32([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]])
EDGE_STEP = 0.16
"""Difference of gamma-encoded brightness (0-1) between neighbours that counts as an edge."""
GAMMA = 1.0 / 2.2


def render_adaptive(scene: RayScene, camera: Camera, seed: int = 0) -> Picture:
    """Render one view; depth (metres) and instances come from the pixel centres.

    Pixels whose neighbour is another object, or much brighter or darker, get the mean of five rays.
    """
    shape = (camera.height, camera.width)
    origins, directions = pixel_rays(camera, np.full((1, 2), 0.5, np.float32))
    hits = scene.trace(origins, directions)
    sun = jittered_sun(scene.light, len(directions), seed)
    colour = scene.shade_hits(hits, directions, sun)
    instances = hits.object_id_N.reshape(shape)
    forward = -camera.camera_to_world_34[:3, 2].astype(np.float32)
    depth = (hits.distance_N * (directions @ forward)).reshape(shape).astype(np.float32)
    rows = np.flatnonzero(edge_pixels(instances, colour.reshape(*shape, 3)))
    if len(rows):
        extra = _corner_colours(scene, camera, rows, seed + 1)
        colour[rows] = (colour[rows] + extra.sum(axis=0)) / (1 + len(CORNERS_42))
    return Picture(to_srgb(colour.reshape(*shape, 3)), depth, instances)


def edge_pixels(instances_HW: NDArray[np.int32], colour_HW3: Floats) -> NDArray[np.bool_]:
    """Pixels (H, W) that differ from a neighbour in object or clearly in brightness."""
    bright = np.clip(colour_HW3[..., 1], 0.0, 1.0) ** GAMMA
    edge = np.zeros(instances_HW.shape, bool)
    for axis in (0, 1):
        step = np.diff(instances_HW, axis=axis) != 0
        step |= np.abs(np.diff(bright, axis=axis)) > EDGE_STEP
        first, second = (slice(None, -1), slice(1, None))
        edge[(first, slice(None)) if axis == 0 else (slice(None), first)] |= step
        edge[(second, slice(None)) if axis == 0 else (slice(None), second)] |= step
    return edge


def _corner_colours(
    scene: RayScene, camera: Camera, pixels_E: NDArray[np.int64], seed: int
) -> Floats:
    """Linear colours through the four corners' middles of some pixels, shape (4, E, 3)."""
    rows, columns = np.divmod(pixels_E, camera.width)
    x = (columns[None] + CORNERS_42[:, :1] - camera.width / 2.0) / camera.focal_px
    y = -(rows[None] + CORNERS_42[:, 1:] - camera.height / 2.0) / camera.focal_px
    local = np.stack([x, y, np.full_like(x, -1.0)], axis=-1).reshape(-1, 3)
    pose = camera.camera_to_world_34
    directions = local @ pose[:3, :3].T
    directions = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
    origins = np.ascontiguousarray(
        np.broadcast_to(pose[:3, 3].astype(np.float32), directions.shape)
    )
    colour = scene.shade(origins, directions, jittered_sun(scene.light, len(directions), seed))
    return colour.reshape(len(CORNERS_42), -1, 3)
