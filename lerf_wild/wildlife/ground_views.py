"""Photos as witnesses of the ground: which of its points each one shows, and in what colour.

Symbols: N points, H, W pixels of a photo, h, w cells of a coarser map of distances. Frame: the
stage (metres, z up). Cameras are OpenGL's: x right, y up, looking along -z.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, grid_sample, max_pool2d

from lerf_wild.wildlife.ground import Ground

MARGIN_PX = 2.0
NEAREST_M = 0.2
HIDDEN_M, HIDDEN_SHARE = 0.15, 0.1
"""A point is hidden where the field ends a ray this much before it, and this share of its distance:
along flat rays what the field says of the ground is that far off."""
FULL_WEIGHT_M = 1.0
"""Nearer photos than this count no more; the weight falls with the square of the distance."""
LOW_M = 0.12
"""A ray that the field ends higher over the ground than this ends at something else. Along flat
rays heights say much more than distances of what is ground."""
WIDEST = 1.5
"""Points further out than this many half widths of a photo are not put through its lens's
distortion, which is fitted to the photo alone and folds beyond it."""


@dataclass(frozen=True)
class GroundView:
    """One photo, its camera, and how far away the field says that things are."""

    colours_3HW: Float[Tensor, "3 H W"]
    """sRGB in [0, 1]."""
    reach_hw: Float[Tensor, "h w"]
    """Metres to the first surface along the ray through the middle of each cell; inf for none."""
    towards_hw3: Float[Tensor, "h w 3"]
    """Unit directions of these rays on the stage."""
    pose_34: Float[Tensor, "3 4"]
    """Camera to stage."""
    focal_2: Float[Tensor, "2"]
    middle_2: Float[Tensor, "2"]
    """Focal lengths and principal point in pixels, x and y."""
    distortion_6: Float[Tensor, "6"] | None = None
    """Brown's k1 k2 k3 k4 p1 p2 in nerfstudio's order; None for none."""


def seen(
    view: GroundView, points_N3: Float[Tensor, "N 3"]
) -> tuple[Float[Tensor, "N 2"], Float[Tensor, "N"]]:
    """Where points are in a photo, as shares of its size from -1 to 1, and how much it says of
    them: 0 for those that it doesn't show."""
    size_2 = _size(view)
    pixels_N2, depth_N = _projected(view, points_N3)
    inside_N2 = (pixels_N2 > MARGIN_PX) & (pixels_N2 < size_2 - MARGIN_PX)
    places_N2 = torch.nan_to_num(2 * pixels_N2 / size_2 - 1, nan=9.0).clamp(-9, 9)
    distance_N = (points_N3 - view.pose_34[:, 3]).norm(dim=-1)
    # The nearest of nine cells: beside the outline of a thing no one knows to the pixel what hides.
    nearest_hw = -max_pool2d(-view.reach_hw[None, None], 3, 1, 1)
    reach_N = _read(nearest_hw[0], places_N2, "nearest")[0]
    is_seen_N = inside_N2.all(dim=-1) & (depth_N > NEAREST_M)
    is_seen_N &= reach_N > (1 - HIDDEN_SHARE) * distance_N - HIDDEN_M
    return places_N2, is_seen_N / distance_N.clamp(min=FULL_WEIGHT_M) ** 2


def colours_at(view: GroundView, points_N3: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """A photo's colours at points, between pixels; its border's for points beyond it."""
    places_N2 = 2 * _projected(view, points_N3)[0] / _size(view) - 1
    return _read(view.colours_3HW, places_N2, "bilinear").T


def of_ground(view: GroundView, ground: Ground) -> GroundView:
    """A photo that shows nothing but what the field has at the height of a ground: the colours of
    leaves and logs are no evidence of it."""
    ends_hw3 = view.pose_34[:, 3] + view.reach_hw[..., None] * view.towards_hw3
    ends_N3 = torch.nan_to_num(ends_hw3, posinf=0.0, neginf=0.0).flatten(0, 1).numpy()
    low_N = ends_N3[:, 2] - ground.height(ends_N3[:, :2]) < LOW_M
    is_ground_hw = torch.from_numpy(np.asarray(low_N)).view(view.reach_hw.shape)
    is_ground_hw &= view.reach_hw.isfinite()
    return replace(view, reach_hw=torch.where(is_ground_hw, view.reach_hw, 0.0))


def coarser(view: GroundView, factor: int) -> GroundView:
    """The whole photo with so many times fewer pixels along either side, rounded down."""
    if factor == 1:
        return view
    height, width = (max(1, side // factor) for side in view.colours_3HW.shape[1:])
    fewer = replace(view, colours_3HW=adaptive_avg_pool2d(view.colours_3HW, (height, width)))
    # Sides that are no multiple of the factor keep their ends: pixels are a little wider there.
    shrunk_2 = _size(fewer) / _size(view)
    return replace(fewer, focal_2=view.focal_2 * shrunk_2, middle_2=view.middle_2 * shrunk_2)


def _size(view: GroundView) -> Float[Tensor, "2"]:
    height, width = view.colours_3HW.shape[1:]
    return torch.tensor([width, height], dtype=torch.float32)


def _projected(
    view: GroundView, points_N3: Float[Tensor, "N 3"]
) -> tuple[Float[Tensor, "N 2"], Float[Tensor, "N"]]:
    """Pixels (x right, y down) of points and their depth along the axis."""
    local_N3 = (points_N3 - view.pose_34[:, 3]) @ view.pose_34[:, :3]
    depth_N = -local_N3[:, 2]
    ahead_N = torch.where(depth_N.abs() > 1e-6, depth_N, torch.full_like(depth_N, 1e-6))
    plane_N2 = torch.stack([local_N3[:, 0], -local_N3[:, 1]], dim=-1) / ahead_N[:, None]
    if view.distortion_6 is not None:
        half_2 = WIDEST * 0.5 * _size(view) / view.focal_2
        is_near_N1 = (plane_N2.abs() < half_2).all(dim=-1, keepdim=True)
        plane_N2 = torch.where(is_near_N1, distorted(plane_N2, view.distortion_6), plane_N2)
    return plane_N2 * view.focal_2 + view.middle_2, depth_N


def distorted(
    plane_N2: Float[Tensor, "N 2"], distortion_6: Float[Tensor, "6"]
) -> Float[Tensor, "N 2"]:
    """Positions at depth 1, y down, as a lens shows them (Brown, 1971)."""
    k1, k2, k3, k4, p1, p2 = distortion_6
    x, y = plane_N2.unbind(dim=-1)
    square = x * x + y * y
    radial = 1 + square * (k1 + square * (k2 + square * (k3 + square * k4)))
    shift_x = 2 * p1 * x * y + p2 * (square + 2 * x * x)
    shift_y = p1 * (square + 2 * y * y) + 2 * p2 * x * y
    return torch.stack([x * radial + shift_x, y * radial + shift_y], dim=-1)


def _read(values_CHW: Tensor, places_N2: Tensor, mode: str) -> Float[Tensor, "C N"]:
    found = grid_sample(
        values_CHW[None],
        places_N2[None, None],
        mode=mode,
        padding_mode="border",
        align_corners=False,
    )
    return found[0, :, 0]
