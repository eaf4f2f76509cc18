"""Photos of a run as witnesses of its ground."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras, CameraType

from lerf_wild.methods.wildlife.surfaces import RunPlace
from lerf_wild.methods.wildlife.witnesses import ground_views
from lerf_wild.wildlife.ground_views import GroundView, colours_at, seen
from lerf_wild.wildlife.stage import Stage


def test_views_show_the_field_where_its_rays_end(populated):
    stage = Stage(RunPlace(populated.pipeline))
    views = ground_views(populated.pipeline, stage)
    cameras = populated.dataset("train").cameras
    assert len(views) == len(cameras)
    rays = cameras.generate_rays(2, keep_shape=True)
    height, width = rays.shape
    rows, columns = torch.tensor([height // 3, height // 2]), torch.tensor([width // 2, width // 4])
    chosen = rays[rows, columns]
    directions = stage.directions_from_nerf(chosen.directions.numpy())
    points = stage.from_nerf(chosen.origins.numpy()) + 0.5 * directions
    photo = populated.pipeline.datamanager.train_dataset[2]["image"]
    found = colours_at(views[2], torch.from_numpy(points).float())
    torch.testing.assert_close(found, photo[rows, columns, :3], atol=2e-3, rtol=0)
    assert (seen(views[2], torch.from_numpy(points).float())[1] > 0).all()


def test_the_rays_of_the_map_of_distances_are_the_cameras(populated):
    stage = Stage(RunPlace(populated.pipeline))
    view = ground_views(populated.pipeline, stage)[1]
    cameras = populated.dataset("train").cameras
    rows, columns = view.reach_hw.shape
    size = torch.tensor([float(cameras.height[1]), float(cameras.width[1])])
    cell = torch.tensor([rows // 2, columns // 3])
    coords = (cell + 0.5) * size / torch.tensor([rows, columns])
    ray = cameras.generate_rays(1, coords=coords)
    towards = stage.directions_from_nerf(ray.directions.double().numpy()[None])[0]
    found = view.towards_hw3[tuple(cell)]
    torch.testing.assert_close(found.double(), torch.from_numpy(towards), atol=1e-5, rtol=0)
    torch.testing.assert_close(view.towards_hw3.norm(dim=-1), torch.ones(rows, columns))


@pytest.mark.parametrize("distortion", [(0.0,) * 6, (0.08, -0.03, 0.01, 0.0, 0.004, -0.006)])
def test_points_on_a_ray_are_projected_to_its_pixel(distortion):
    pose = torch.eye(4)[:3]
    camera = Cameras(
        camera_to_worlds=pose[None],
        fx=110.0,
        fy=100.0,
        cx=61.0,
        cy=44.0,
        width=120,
        height=90,
        distortion_params=torch.tensor(distortion)[None],
        camera_type=CameraType.PERSPECTIVE,
    )
    coords = torch.tensor([[20.0, 30.0], [60.0, 100.0], [44.5, 60.5]])
    rays = camera.generate_rays(0, coords=coords)
    ramp = torch.stack(torch.meshgrid(torch.arange(90.0), torch.arange(120.0), indexing="ij"))
    colours = torch.cat([ramp, ramp[:1]])
    view = GroundView(
        colours,
        torch.full((9, 12), np.inf),
        torch.zeros(9, 12, 3),
        pose,
        torch.tensor([110.0, 100.0]),
        torch.tensor([61.0, 44.0]),
        torch.tensor(distortion),
    )
    found = colours_at(view, rays.origins + 3.0 * rays.directions)
    torch.testing.assert_close(found[:, :2] + 0.5, coords, atol=0.02, rtol=0)
