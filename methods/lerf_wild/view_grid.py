"""How many training cameras see each place, as a coarse grid over contracted space.

Symbols: G cells along an axis, N points, I cameras.

The LERF paper drops relevancy of places that fewer than five training views see; its code does not.
The grid is stored with the model, so that a query needs neither cameras nor images.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, UInt8
from nerfstudio.cameras.cameras import Cameras, CameraType
from torch import Tensor

GRID_CELLS = 64
ALL_AROUND = (
    CameraType.EQUIRECTANGULAR.value,
    CameraType.OMNIDIRECTIONALSTEREO_L.value,
    CameraType.OMNIDIRECTIONALSTEREO_R.value,
)
FISHEYES = (CameraType.FISHEYE.value, CameraType.FISHEYE624.value)


def uncontract(positions_N3: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Inverse of nerfstudio's L-infinity scene contraction for positions scaled to [0, 1]."""
    contracted = positions_N3 * 4.0 - 2.0
    size = contracted.abs().amax(dim=-1, keepdim=True).clamp(min=1e-9)
    # Outside the unit cube |c| = 2 - 1/|x| and the direction is kept.
    distance = 1.0 / (2.0 - size).clamp(min=1e-3)
    return torch.where(size <= 1, contracted, contracted / size * distance)


def cell_centres(cells: int = GRID_CELLS) -> Float[Tensor, "n 3"]:
    """Centres of all cells in [0, 1], x slowest."""
    axis = (torch.arange(cells) + 0.5) / cells
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)


def views_per_cell(
    cameras: Cameras,
    near: float,
    cells: int = GRID_CELLS,
    to_nerf: Callable[[Tensor], Tensor] = uncontract,
) -> UInt8[Tensor, "g g g"]:
    """Number of cameras, capped at 255, whose image holds each cell's centre.

    ``to_nerf`` takes positions in [0, 1] to nerf units.
    """
    points_N3 = to_nerf(cell_centres(cells))
    count_N = torch.zeros(len(points_N3), dtype=torch.int32)
    flat = cameras.flatten().to("cpu")
    for index in range(len(flat)):
        count_N += _is_seen(points_N3, flat[index], near)
    return count_N.clamp(max=255).to(torch.uint8).view(cells, cells, cells)


def counts_at(
    grid_GGG: UInt8[Tensor, "g g g"], positions: Float[Tensor, "*batch 3"]
) -> UInt8[Tensor, "*batch"]:
    """Number of training views that see contracted positions in [0, 1]."""
    cells = grid_GGG.shape[0]
    index = (positions * cells).long().clamp(0, cells - 1)
    return grid_GGG[index[..., 0], index[..., 1], index[..., 2]]


def enough_views(min_views: int, num_cameras: int) -> int:
    """The number of views asked for: never more than a third of those there are, at least one."""
    return max(1, min(min_views, num_cameras // 3))


def _is_seen(points_N3: Tensor, camera: Cameras, near: float) -> Bool[Tensor, "n"]:
    """Whether points project into the image, lens distortion aside."""
    rotation, origin = camera.camera_to_worlds[:3, :3], camera.camera_to_worlds[:3, 3]
    local_N3 = (points_N3 - origin) @ rotation
    kind = int(camera.camera_type)
    if kind in ALL_AROUND:
        return local_N3.norm(dim=-1) > near
    depth_N, side_N = -local_N3[:, 2], local_N3[:, :2].norm(dim=-1)
    if kind in FISHEYES:
        # As far from the middle as the ray is off the axis, in radians.
        per_length_N = torch.atan2(side_N, depth_N) / side_N.clamp(min=1e-6)
        is_before_N = (local_N3.norm(dim=-1) > near) & (side_N > -1e-3 * depth_N)
    else:
        per_length_N, is_before_N = 1.0 / depth_N.clamp(min=1e-6), depth_N > near
    column_N = camera.cx + camera.fx * local_N3[:, 0] * per_length_N
    row_N = camera.cy - camera.fy * local_N3[:, 1] * per_length_N
    is_inside_N = (column_N >= 0) & (column_N < camera.width)
    return is_inside_N & (row_N >= 0) & (row_N < camera.height) & is_before_N
