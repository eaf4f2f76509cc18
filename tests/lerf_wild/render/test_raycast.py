"""The ray caster against scenes whose pictures are known without it."""

from __future__ import annotations

import numpy as np
import pytest

from lerf_wild.render.light import make_light
from lerf_wild.render.raycast import (
    Body,
    Camera,
    RayScene,
    depth_and_instances,
    look_at,
    pixel_rays,
    render,
    vertex_normals,
)

GROUND_ID, BOX_ID = 3, 17
QUAD = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def square(half: float, z: float, colour, object_id: int) -> Body:
    corners = [[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]]
    albedo = np.tile(np.asarray(colour, np.float32), (4, 1))
    return Body(np.array(corners, np.float32), QUAD, albedo, object_id)


@pytest.fixture(scope="module")
def scene() -> RayScene:
    """A wide ground at z = 0 with a small square one metre above its middle."""
    ground = square(50, 0.0, (0.5, 0.5, 0.5), GROUND_ID)
    lid = square(0.55, 1.0, (0.8, 0.1, 0.1), BOX_ID)
    return RayScene([ground, lid], make_light(np.random.default_rng(0)))


def camera_above(height_m: float, size: int = 40, focal_px: float = 20.0) -> Camera:
    # Looking straight down, x right and y up in the picture.
    pose = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, height_m]])
    return Camera(pose, focal_px, size, size)


def naive_depth(camera: Camera) -> np.ndarray:
    """Pixel by pixel: the two horizontal planes, by similar triangles."""
    height = camera.camera_to_world_34[2, 3]
    depth = np.full((camera.height, camera.width), height)
    for row in range(camera.height):
        for column in range(camera.width):
            x = (column + 0.5 - camera.width / 2) / camera.focal_px * (height - 1)
            y = (row + 0.5 - camera.height / 2) / camera.focal_px * (height - 1)
            if abs(x) < 0.55 and abs(y) < 0.55:
                depth[row, column] = height - 1
    return depth


def test_depth_is_along_the_axis_and_exact(scene):
    camera = camera_above(5.0)
    depth_m, instances = depth_and_instances(scene, camera)
    expected = naive_depth(camera)
    np.testing.assert_allclose(depth_m, expected, rtol=1e-5)
    assert ((instances == BOX_ID) == (expected == 4.0)).all()
    assert ((instances == GROUND_ID) == (expected == 5.0)).all()


def test_sky_has_no_depth_and_no_instance(scene):
    up = Camera(look_at([0, 0, 2], [0.1, 0, 9]), 20.0, 16, 12)
    depth_m, instances = depth_and_instances(scene, up)
    assert depth_m.shape == instances.shape == (12, 16)
    assert not depth_m.any()
    assert not instances.any()


def test_rays_go_through_pixel_centres():
    camera = camera_above(3.0, size=8, focal_px=4.0)
    origins, directions = pixel_rays(camera, np.full((1, 2), 0.5, np.float32))
    assert np.allclose(origins, [0, 0, 3.0])
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=1e-6)
    first = directions[0] / -directions[0, 2]
    # The first pixel is the upper left one: left of and above the axis.
    np.testing.assert_allclose(first, [-3.5 / 4, 3.5 / 4, -1], rtol=1e-6)


def test_look_at_is_a_right_handed_pose_that_looks_there():
    pose = look_at([3.0, -2.0, 1.5], [0.0, 0.5, 0.2])
    rotation = pose[:, :3]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    towards = np.array([0.0, 0.5, 0.2]) - pose[:, 3]
    np.testing.assert_allclose(-rotation[:, 2], towards / np.linalg.norm(towards), atol=1e-12)
    assert rotation[2, 1] > 0


def test_the_square_casts_a_shadow(scene):
    light = scene.light
    # The point of the ground that the sun's ray through the middle of the square reaches.
    spot = -light.sun_direction_3 / light.sun_direction_3[2]
    towards = np.asarray([light.sun_direction_3], np.float32)
    shaded = np.array([[spot[0], spot[1], 1e-3]], np.float32)
    lit = shaded + np.array([[5.0, 0, 0]], np.float32)
    assert scene.occluded(shaded, towards)[0]
    assert not scene.occluded(lit, towards)[0]


def test_pictures_repeat_and_show_the_square_red(scene):
    camera = camera_above(4.0)
    one, two = (render(scene, camera, samples=1, seed=5) for _ in range(2))
    assert np.array_equal(one.rgb, two.rgb)
    red = one.rgb[one.instances == BOX_ID].mean(axis=0)
    assert red[0] > 1.5 * red[1]
    grey = one.rgb[one.instances == GROUND_ID].mean(axis=0)
    assert np.ptp(grey) < 60


def test_normals_of_a_flat_patch_point_up():
    body = square(1.0, 0.0, (1, 1, 1), 1)
    np.testing.assert_allclose(
        vertex_normals(body.vertices_V3, body.faces_F3), np.tile([0, 0, 1], (4, 1)), atol=1e-6
    )
