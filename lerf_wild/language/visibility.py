"""How many training cameras see a point.

LERF (section 3.4) drops the relevancy of points that fewer than five training views see, because
the field was never supervised there. Its code never did; here it is a function of its own.

N points, C cameras, H, W pixels. Cameras are OpenGL: x right, y up, looking along -z.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

PAIRS_PER_CHUNK = 1 << 21
"""Point-camera pairs at a time; bounds the working memory to about 100 MB."""

DEPTH_TOLERANCE = 0.05
"""A point counts as hidden when it lies further behind the depth map than this share of its depth;
a share, because the error of a rendered depth grows with the depth."""


def count_views(
    points_N3: Float[Tensor, "N 3"],
    cam_to_world_C34: Float[Tensor, "C 3 4"],
    fx_C: Float[Tensor, "C"],
    fy_C: Float[Tensor, "C"],
    cx_C: Float[Tensor, "C"],
    cy_C: Float[Tensor, "C"],
    width_C: Int[Tensor, "C"],
    height_C: Int[Tensor, "C"],
    near: float = 0.0,
    depth_maps: Sequence[Float[Tensor, "H W"]] | None = None,
    depth_tolerance: float = DEPTH_TOLERANCE,
) -> Int[Tensor, "N"]:
    """Counts for every point the cameras whose picture it falls into.

    Lens distortion is ignored. Points that are not finite are seen by no camera.

    Args:
        points_N3: in world coordinates.
        cam_to_world_C34: poses of the cameras in the same coordinates.
        fx_C, fy_C, cx_C, cy_C: focal lengths and principal points in pixels.
        width_C, height_C: sizes of the pictures in pixels.
        near: points nearer than this along the optical axis don't count.
        depth_maps: per camera the depth along the optical axis, of any resolution; a point clearly
            behind it is hidden. Pixels of depth 0 hide nothing.
        depth_tolerance: how far behind is clearly, as a share of the depth.

    Returns:
        int32 counts.
    """
    intrinsics_C6 = torch.stack(
        [value.to(points_N3) for value in (fx_C, fy_C, cx_C, cy_C, width_C, height_C)], dim=-1
    )
    poses_C34 = cam_to_world_C34.to(points_N3)
    chunk = max(PAIRS_PER_CHUNK // max(len(poses_C34), 1), 1)
    counts = []
    for points_n3 in points_N3.split(chunk):
        projected = project(points_n3, poses_C34, intrinsics_C6)
        seen_Cn = is_seen(*projected, intrinsics_C6[:, 4:], near, depth_maps, depth_tolerance)
        counts.append(seen_Cn.sum(0, dtype=torch.int32))
    return torch.cat(counts) if counts else torch.zeros(0, dtype=torch.int32)


def is_seen(
    pixels_CN2: Float[Tensor, "C N 2"],
    depth_CN: Float[Tensor, "C N"],
    size_C2: Float[Tensor, "C 2"],
    near: float = 0.0,
    depth_maps: Sequence[Float[Tensor, "H W"]] | None = None,
    depth_tolerance: float = DEPTH_TOLERANCE,
) -> Bool[Tensor, "C N"]:
    """Which cameras see which projected points; arguments as those of `count_views`.

    `size_C2` has width and height of each picture in pixels.
    """
    size_C12 = size_C2[:, None]
    seen_CN = ((pixels_CN2 >= 0) & (pixels_CN2 < size_C12)).all(-1) & (depth_CN > near)
    if depth_maps is not None:
        seen_CN &= _in_front(pixels_CN2 / size_C12, depth_CN, depth_maps, depth_tolerance)
    return seen_CN


def project(
    points_N3: Float[Tensor, "N 3"],
    cam_to_world_C34: Float[Tensor, "C 3 4"],
    intrinsics_C6: Float[Tensor, "C 6"],
) -> tuple[Float[Tensor, "C N 2"], Float[Tensor, "C N"]]:
    """Projects points into cameras.

    Args:
        points_N3: in world coordinates.
        cam_to_world_C34: camera poses.
        intrinsics_C6: fx, fy, cx, cy and two more columns that are not used here.

    Returns:
        x (right) and y (down) in pixels, not finite on the camera plane, and the depth along the
        optical axis, negative behind the camera.
    """
    rotation_C33, position_C3 = cam_to_world_C34[:, :, :3], cam_to_world_C34[:, :, 3]
    local_CN3 = (points_N3[None] - position_C3[:, None]) @ rotation_C33
    depth_CN = -local_CN3[..., 2]
    fx, fy, cx, cy = intrinsics_C6[:, :4, None].unbind(1)
    x_CN = fx * local_CN3[..., 0] / depth_CN + cx
    y_CN = -fy * local_CN3[..., 1] / depth_CN + cy
    return torch.stack([x_CN, y_CN], dim=-1), depth_CN


def _in_front(
    share_Cn2: Tensor, depth_Cn: Tensor, depth_maps: Sequence[Tensor], tolerance: float
) -> Tensor:
    visible = []
    for share_n2, depth_n, depth_map in zip(share_Cn2, depth_Cn, depth_maps):
        height, width = depth_map.shape
        size_2 = torch.tensor([width, height], device=share_n2.device)
        pixel_n2 = torch.nan_to_num(share_n2 * size_2, nan=-1.0, posinf=-1.0, neginf=-1.0)
        pixel_n2 = torch.minimum(pixel_n2.clamp_min(0).long(), size_2 - 1)
        surface_n = depth_map.to(depth_n)[pixel_n2[:, 1], pixel_n2[:, 0]]
        visible.append((depth_n <= surface_n * (1 + tolerance)) | (surface_n == 0))
    return torch.stack(visible)
