"""A run's photos as witnesses of its ground: cameras on the stage and how far the field reaches.

Symbols: V views, H, W pixels of a photo, h, w cells of the map of distances.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from lerf_wild.methods.lerf_wild.view_query import ray_chunks
from lerf_wild.wildlife.ground_views import GroundView
from lerf_wild.wildlife.stage import Stage

if TYPE_CHECKING:
    from nerfstudio.cameras.cameras import Cameras

MOST_VIEWS = 64
"""Of more photos this many, evenly spaced, are looked at."""
LONGEST_PX = 640
"""Photos are made no larger than this; finer colours say little more of heights."""
RAYS = 4_500
"""Of each view: the map of distances has about so many cells."""
MIN_ACCUMULATION = 0.5


@torch.no_grad()
def ground_views(pipeline: Any, stage: Stage) -> list[GroundView]:
    """Training photos of a run with their cameras; those that are no pinhole pictures are left out.

    The model is to be in its evaluation mode and to show no item.
    """
    from nerfstudio.cameras.cameras import CameraType

    dataset = pipeline.datamanager.train_dataset
    pinholes = (dataset.cameras.camera_type == CameraType.PERSPECTIVE.value).flatten()
    rows = torch.nonzero(pinholes)[:, 0].tolist()
    stride = max(len(rows) / MOST_VIEWS, 1.0)
    kept = [rows[int(k * stride)] for k in range(min(len(rows), MOST_VIEWS))]
    return [_view(pipeline, stage, index) for index in kept]


def _view(pipeline: Any, stage: Stage, index: int) -> GroundView:
    dataset = pipeline.datamanager.train_dataset
    cameras = dataset.cameras
    photo_HW3 = dataset[index]["image"][..., :3].float().cpu()
    colours_3HW = _shrunk(photo_HW3.permute(2, 0, 1))
    ratio_2 = torch.tensor(
        [
            colours_3HW.shape[2] / int(cameras.width[index]),
            colours_3HW.shape[1] / int(cameras.height[index]),
        ]
    )
    camera = cameras[index].to("cpu")
    distortion = camera.distortion_params
    reach_hw, towards_hw3 = _reach(pipeline.model, cameras, index)
    towards_N3 = stage.directions_from_nerf(towards_hw3.flatten(0, 1).double().numpy())
    return GroundView(
        colours_3HW,
        reach_hw * stage.metres_per_nerf,
        torch.from_numpy(towards_N3).float().view(towards_hw3.shape),
        _pose(stage, camera.camera_to_worlds[:3]),
        torch.cat([camera.fx, camera.fy]).float() * ratio_2,
        torch.cat([camera.cx, camera.cy]).float() * ratio_2,
        distortion if distortion is not None and bool(distortion.any()) else None,
    )


def _shrunk(colours_3HW: Float[Tensor, "3 H W"]) -> Float[Tensor, "3 h w"]:
    factor = LONGEST_PX / max(colours_3HW.shape[1:])
    if factor >= 1:
        return colours_3HW
    return interpolate(colours_3HW[None], scale_factor=factor, mode="area")[0]


def _reach(
    model: Any, cameras: Cameras, index: int
) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w 3"]]:
    """How far the ray of each cell goes before the field stops it, in its units, inf for ever; and
    its unit direction."""
    height, width = int(cameras.height[index]), int(cameras.width[index])
    step = max(math.sqrt(height * width / RAYS), 1.0)
    rows, columns = math.ceil(height / step), math.ceil(width / step)
    y_h = (torch.arange(rows) + 0.5) * (height / rows)
    x_w = (torch.arange(columns) + 0.5) * (width / columns)
    coords_hw2 = torch.stack(torch.meshgrid(y_h, x_w, indexing="ij"), dim=-1)
    rays = cameras.generate_rays(index, coords=coords_hw2.to(cameras.device), keep_shape=True)
    parts = []
    for bundle in ray_chunks(rays, model.config.eval_num_rays_per_chunk):
        outputs, _ = model.shade(bundle.to(model.device))
        is_surface = outputs["accumulation"] >= MIN_ACCUMULATION
        parts.append(torch.where(is_surface, outputs["depth"], math.inf).cpu())
    return torch.cat(parts).view(rows, columns), rays.directions.cpu().view(rows, columns, 3)


def _pose(stage: Stage, pose_34: Float[Tensor, "3 4"]) -> Float[Tensor, "3 4"]:
    """A camera's pose on the stage."""
    axes_33 = stage.directions_from_nerf(pose_34[:, :3].T.double().numpy()).T
    place_3 = stage.from_nerf(pose_34[:, 3].double().numpy()[None])[0]
    return torch.cat([torch.from_numpy(axes_33), torch.from_numpy(place_3)[:, None]], dim=1).float()
