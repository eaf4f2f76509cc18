"""Counting training views against a plain projection, and the inverse of the contraction."""

from __future__ import annotations

import math

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.field_components.spatial_distortions import SceneContraction

from lerf_wild.methods.lerf_wild.view_grid import (
    cell_centres,
    counts_at,
    enough_views,
    uncontract,
    views_per_cell,
)


def make_cameras(count=5):
    torch.manual_seed(3)
    poses = torch.eye(4)[:3].repeat(count, 1, 1)
    for pose in poses:
        rotation, _ = torch.linalg.qr(torch.randn(3, 3))
        pose[:, :3] = rotation * torch.det(rotation)
        pose[:, 3] = torch.randn(3) * 0.5
    return Cameras(poses, fx=20.0, fy=22.0, cx=16.0, cy=12.0, width=32, height=24)


def views_naive(point, cameras, near):
    count = 0
    for pose in cameras.camera_to_worlds.tolist():
        offset = [point[i] - pose[i][3] for i in range(3)]
        x, y, z = (sum(pose[i][axis] * offset[i] for i in range(3)) for axis in range(3))
        if -z <= near:
            continue
        column, row = 16 + 20 * x / -z, 12 - 22 * y / -z
        count += 0 <= column < 32 and 0 <= row < 24
    return count


def test_counts_agree_with_a_loop():
    cameras = make_cameras()
    grid = views_per_cell(cameras, near=0.05, cells=6)
    points = uncontract(cell_centres(6)).tolist()
    expected = [views_naive(point, cameras, 0.05) for point in points]
    assert grid.flatten().tolist() == expected
    assert 0 < sum(expected)


@pytest.mark.parametrize("kind", [CameraType.FISHEYE, CameraType.EQUIRECTANGULAR])
def test_wide_lenses_see_what_nerfstudio_casts_rays_at(kind):
    cameras = make_cameras(1)
    width, height = (64, 64) if kind is CameraType.FISHEYE else (64, 32)
    # 150 degrees across for the fisheye.
    focal = 0.5 * width / math.radians(75.0) if kind is CameraType.FISHEYE else 0.5 * width
    camera = Cameras(
        cameras.camera_to_worlds,
        fx=focal,
        fy=focal,
        cx=width / 2,
        cy=height / 2,
        width=width,
        height=height,
        camera_type=kind,
    )
    rays = camera.generate_rays(0).flatten()
    is_lit = rays.directions.isfinite().all(dim=-1)
    points = (rays.origins + 0.3 * rays.directions)[is_lit]
    seen = views_per_cell(camera, 0.05, 1, lambda _: points[:1])
    assert seen.tolist() == [[[1]]]
    from lerf_wild.methods.lerf_wild.view_grid import _is_seen

    assert _is_seen(points, camera[0], 0.05).float().mean() > 0.99
    behind = rays.origins[:1] + camera.camera_to_worlds[0, :, 2]
    assert bool(_is_seen(behind, camera[0], 0.05)) == (kind is CameraType.EQUIRECTANGULAR)


def test_other_spaces_have_their_own_inverse():
    cameras = make_cameras()
    grid = views_per_cell(cameras, 0.05, 6, lambda share: share * 3.0 - 1.5)
    points = (cell_centres(6) * 3.0 - 1.5).tolist()
    assert grid.flatten().tolist() == [views_naive(point, cameras, 0.05) for point in points]


def test_counts_are_read_back_at_cell_centres():
    grid = torch.arange(27, dtype=torch.uint8).view(3, 3, 3)
    assert counts_at(grid, cell_centres(3)).tolist() == list(range(27))
    assert counts_at(grid, torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])).tolist() == [0, 26]


def test_uncontract_inverts_the_contraction():
    points = torch.randn(200, 3) * torch.logspace(-2, 2, 200)[:, None]
    contracted = (SceneContraction(order=math.inf)(points) + 2) / 4
    assert torch.allclose(uncontract(contracted), points, rtol=2e-2, atol=1e-4)


def test_small_scenes_ask_for_fewer_views():
    assert [enough_views(5, n) for n in (1, 3, 9, 15, 300)] == [1, 1, 3, 5, 5]
