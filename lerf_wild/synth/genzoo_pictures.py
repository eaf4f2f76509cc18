"""Pictures of animals by ray casting: coats, ground, sky, plants and rocks, any light.

Symbols: H, W picture size. World frame: z up, metres, the animal on the ground at the origin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lerf_wild.animals.coats import make_canvas, paint
from lerf_wild.assets.scene_assets import load_individual
from lerf_wild.render.adaptive import render_adaptive
from lerf_wild.render.light import to_linear
from lerf_wild.render.raycast import (
    Body,
    Floats,
    RayScene,
    depth_and_instances,
    vertex_normals,
)
from lerf_wild.synth.genzoo_draws import Animal, Prop, Shot, turn_z
from lerf_wild.synth.grounds import FADE_M, GROUND_ID, HALF_SIZE_M, ground_paint
from lerf_wild.synth.terrain import PAINTED_HALF_M, TEXELS

ANIMAL_ID, BEHIND_ID, IN_FRONT_ID = 10, 20, 30
MIN_VISIBLE = 0.45
"""What stands in front is taken away where it leaves less than this share of the animal."""


@dataclass(frozen=True)
class AnimalPicture:
    """An sRGB picture and where the animal is seen in it."""

    rgb_HW3: NDArray[np.uint8]
    visible_HW: NDArray[np.bool_]
    hidden_HW: NDArray[np.bool_]
    """Where something stands in front of the animal's place."""


def render_shot(shot: Shot, mask_HW: NDArray[np.bool_], refined: int = 1) -> AnimalPicture:
    """Draws a shot.

    Args:
        shot: What to draw.
        mask_HW: The animal's whole silhouette.
        refined: Subdivisions of its mesh, which also decide how fine its coat is.
    """
    bodies = [_ground(shot), animal_body(shot.animal, refined)]
    bodies += [_prop_body(prop, BEHIND_ID) for prop in shot.behind]
    in_front = [_prop_body(prop, IN_FRONT_ID) for prop in shot.in_front]
    scene = RayScene([*bodies, *in_front], shot.light)
    if in_front:
        # A look at a quarter of the rays says whether too much is hidden.
        small = replace(
            shot.camera,
            focal_px=shot.camera.focal_px / 4,
            width=shot.camera.width // 4,
            height=shot.camera.height // 4,
        )
        _, seen = depth_and_instances(scene, small)
        if (seen == ANIMAL_ID).sum() < MIN_VISIBLE * mask_HW.sum() / 16:
            scene = RayScene(bodies, shot.light)
    picture = render_adaptive(scene, shot.camera, seed=shot.animal.coat_seed % 9973)
    visible = picture.instances == ANIMAL_ID
    hidden = mask_HW & np.isin(picture.instances, (BEHIND_ID, IN_FRONT_ID))
    return AnimalPicture(picture.rgb, visible, hidden)


def animal_body(animal: Animal, refined: int = 1) -> Body:
    """The animal in its coat, in the world."""
    canvas = make_canvas(refined)
    vertices = canvas.refined(animal.vertices_m())
    albedo = to_linear(paint(animal.coat, canvas, animal.coat_seed))
    normals = vertex_normals(vertices, canvas.faces_F3)
    return Body(vertices, canvas.faces_F3, albedo, ANIMAL_ID, normals_V3=normals)


def _ground(shot: Shot) -> Body:
    """Flat ground; its paint is finer under small animals, which are seen from near, and is laid
    out in mirrored tiles, which have no seams."""
    paint = ground_paint(shot.ground)
    mean = paint.mean(axis=(0, 1))
    finer = float(np.clip(2.0 / np.ptp(shot.animal.vertices_m(), axis=0).max(), 1.0, 4.0))
    eye = shot.camera.camera_to_world_34[:2, 3]
    # Paint fades with the distance from the camera's foot; a long lens stands too far away.
    near = eye * min(1.0, 8.0 / max(float(np.hypot(*eye)), 1e-6))

    def painter(points_N3: Floats) -> tuple[Floats, NDArray[np.int32]]:
        texel = (finer * points_N3[:, :2] + shot.ground_shift_2) * TEXELS / (2.0 * PAINTED_HALF_M)
        folded = TEXELS - 1.001 - np.abs(np.mod(texel, 2 * TEXELS - 2.002) - (TEXELS - 1.001))
        corner = folded.astype(np.int32)
        x, y = corner.T
        u, v = (folded - corner).T[:, :, None]
        left = (1 - v) * paint[y, x] + v * paint[y + 1, x]
        right = (1 - v) * paint[y, x + 1] + v * paint[y + 1, x + 1]
        away = finer * np.hypot(*(points_N3[:, :2] - near).T)
        keep = np.clip(FADE_M / np.maximum(away, 1e-6), 0.15, 1.0)[:, None]
        albedo = mean + keep * ((1 - u) * left + u * right - mean)
        return albedo.astype(np.float32), np.full(len(points_N3), GROUND_ID, np.int32)

    half = HALF_SIZE_M
    corners = np.float32([[-half, -half], [half, -half], [half, half], [-half, half]]) + eye
    vertices = np.column_stack([corners, np.zeros(4)]).astype(np.float32)
    faces = np.int32([[0, 1, 2], [0, 2, 3]])
    return Body(vertices, faces, np.full((4, 3), 0.2, np.float32), GROUND_ID, paint=painter)


def _prop_body(prop: Prop, number: int) -> Body:
    asset = load_individual(prop.name)
    turn = turn_z(prop.yaw_rad)
    return asset.body(turn, prop.position_3.astype(np.float32), prop.height_m, number)
