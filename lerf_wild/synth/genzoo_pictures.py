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
    RayScene,
    depth_and_instances,
    vertex_normals,
)
from lerf_wild.synth.genzoo_draws import Animal, Prop, Shot, turn_z
from lerf_wild.synth.grounds import ground_body

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
    """The ground, its paint finer under small animals, which are seen from near."""
    finer = float(np.clip(2.0 / np.ptp(shot.animal.vertices_m(), axis=0).max(), 1.0, 4.0))
    eye = shot.camera.camera_to_world_34[:2, 3]
    # Paint fades with the distance from the camera's foot; a long lens stands too far away.
    near = finer * eye * min(1.0, 8.0 / max(float(np.hypot(*eye)), 1e-6))
    body = ground_body(shot.ground, 0.0, near, shot.ground_shift_2)
    painter = body.paint
    assert painter is not None
    corners = body.vertices_V3 / np.float32([finer, finer, 1.0])
    scale = np.float32([finer, finer, 1.0])
    return replace(body, vertices_V3=corners, paint=lambda points: painter(points * scale))


def _prop_body(prop: Prop, number: int) -> Body:
    asset = load_individual(prop.name)
    turn = turn_z(prop.yaw_rad)
    return asset.body(turn, prop.position_3.astype(np.float32), prop.height_m, number)
