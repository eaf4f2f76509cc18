"""Images of primitives by closed-form ray intersection: the reference set-up, batched and fast.

Orthographic camera looking along -z, picture plane [-1.6, 1.6]^2 with the outermost pixel centres
on its border, light from the camera, intensity 0.15 + 0.85 max(0, n_z), black background, nearest
surface wins. `primitive_rays` has the same bodies under any camera and light, `primitives_soft`
a version with soft edges that can be differentiated.

Symbols: B scenes, K slots, n objects of one kind in one slot, w pixels along a window's side,
s half size, R local-to-world rotation, a = R[:, 1] axis, h height of a surface above the object's
centre (along +z), (x, y) pixel centre relative to the object's centre.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lerf_wild.errors import InputError
from lerf_wild.render.primitive_scenes import CUBE, CYLINDER, KINDS, SCALE, SPHERE, PrimitiveScenes

EXTENT = 1.6
"""Half the side of the picture plane, world units."""
AMBIENT = 0.15
IMAGE_SIZE = 64

_TINY = 1e-7
_REACH = {SPHERE: 1.0, CUBE: math.sqrt(3.0), CYLINDER: math.sqrt(2.0)}
"""Largest distance of a surface point from the centre, in half sizes."""

Surface = tuple[Tensor, Tensor, Tensor]
"""Height, intensity and whether the pixel is covered, each [n, w, w]."""


def render_orthographic(
    scenes: PrimitiveScenes, size: int = IMAGE_SIZE, scale: float = SCALE
) -> Tensor:
    """Renders spheres, cubes and cylinders as the reference does.

    Only the pixels that an object can reach are computed. Not differentiable at silhouettes.

    Returns:
        float32 [B, size, size] in 0-1, row 0 at y = +1.6.

    Raises:
        InputError: a scene holds a primitive that needs `primitive_rays`.
    """
    _check_kinds(scenes)
    images = torch.zeros(len(scenes) * size * size, device=scenes.kinds_BK.device)
    depths = torch.full_like(images, -torch.inf)
    for slot in range(scenes.kinds_BK.shape[1]):
        for kind, surface in _SURFACES.items():
            rows = torch.nonzero(scenes.kinds_BK[:, slot] == kind).squeeze(-1)
            if rows.shape[0] > 0:
                _draw(images, depths, rows, scenes[rows, slot], surface, kind, size, scale)
    return images.view(len(scenes), size, size)


def pixel_centres(size: int, device: torch.device | str = "cpu") -> Tensor:
    """World x of each column from left to right (and minus y of each row), shape [size]."""
    return torch.linspace(-EXTENT, EXTENT, size, device=device)


def _check_kinds(scenes: PrimitiveScenes) -> None:
    if scenes.kinds_BK.numel() and int(scenes.kinds_BK.max()) > CYLINDER:
        raise InputError(
            f"The orthographic renderer draws {', '.join(KINDS[:3])}; "
            "use render_rays for other primitives."
        )


def _draw(
    images: Tensor,
    depths: Tensor,
    rows_n: Tensor,
    objects: PrimitiveScenes,
    surface: Callable[..., Surface],
    kind: int,
    size: int,
    scale: float,
) -> None:
    """Adds one object to each of the named rows of the flat images where it is nearest."""
    spacing = 2.0 * EXTENT / max(size - 1, 1)
    side = min(size, math.ceil(2.0 * _REACH[kind] * scale / spacing) + 1)
    centres = pixel_centres(size, images.device)
    position = objects.positions_BK3.float()
    columns = _window((position[:, 0] + EXTENT) / spacing, side, size)
    lines = _window((EXTENT - position[:, 1]) / spacing, side, size)
    x = centres[columns] - position[:, 0:1]
    y = -centres[lines] - position[:, 1:2]
    height, intensity, covered = surface(x, y, objects.rotations_BK33.float(), scale)
    height = height + position[:, 2, None, None]
    pixels = (rows_n[:, None] * size + lines)[:, :, None] * size + columns[:, None, :]
    nearer = covered & (height > depths[pixels])
    winners = pixels[nearer]
    depths[winners] = height[nearer]
    images[winners] = intensity[nearer]


def _window(centre_n: Tensor, side: int, size: int) -> Tensor:
    """Indices of the `side` pixels nearest to a fractional pixel index, kept inside the image."""
    start = (centre_n - 0.5 * (side - 1)).round().long().clamp(0, size - side)
    return start[:, None] + torch.arange(side, device=centre_n.device)


def _sphere(x_nw: Tensor, y_nw: Tensor, R_n33: Tensor, s: float) -> Surface:
    squared = s * s - (x_nw.square()[:, None, :] + y_nw.square()[:, :, None])
    height = squared.clamp(min=0.0).sqrt()
    return height, AMBIENT + (1.0 - AMBIENT) / s * height, squared >= 0.0


def _cube(x_nw: Tensor, y_nw: Tensor, R_n33: Tensor, s: float) -> Surface:
    facing = R_n33[:, 2, :].abs().clamp(min=_TINY)
    slope = R_n33[:, :2, :] * (_side(R_n33[:, 2:, :]) / facing[:, None, :])
    thickness = 2.0 * s / facing
    tops, bottoms = [], []
    for axis in range(3):
        along_x = 0.5 * thickness[:, axis, None] - slope[:, 0, axis, None] * x_nw
        top = along_x[:, None, :] - (slope[:, 1, axis, None] * y_nw)[:, :, None]
        tops.append(top)
        bottoms.append(top - thickness[:, axis, None, None])
    height = torch.minimum(torch.minimum(tops[0], tops[1]), tops[2])
    bottom = torch.maximum(torch.maximum(bottoms[0], bottoms[1]), bottoms[2])
    shade = (AMBIENT + (1.0 - AMBIENT) * facing)[:, :, None, None]
    intensity = torch.where(
        height == tops[0], shade[:, 0], torch.where(height == tops[1], shade[:, 1], shade[:, 2])
    )
    return height, intensity, height >= bottom


def _cylinder(x_nw: Tensor, y_nw: Tensor, R_n33: Tensor, s: float) -> Surface:
    """u runs across the projected axis, v along it; the side's cross-section is u^2 + w^2 = s^2."""
    ax, ay, az = (R_n33[:, i, 1, None] for i in range(3))
    lateral = torch.hypot(ax, ay)
    # An axis along the line of sight has no projected direction; any will do.
    end_on = lateral < _TINY
    lateral = lateral.clamp(min=_TINY)
    along_x, along_y = (
        torch.where(end_on, 1.0, ax / lateral),
        torch.where(end_on, 0.0, ay / lateral),
    )
    u = (along_x * y_nw)[:, :, None] - (along_y * x_nw)[:, None, :]
    v = (along_y * y_nw)[:, :, None] + (along_x * x_nw)[:, None, :]
    lateral, az = lateral[:, :, None], az[:, :, None]
    facing = az.abs().clamp(min=_TINY)
    squared = s * s - u * u
    w = squared.clamp(min=0.0).sqrt()
    side = (w + v * az) / lateral
    cap = s / facing - v * (lateral * _side(az) / facing)
    height = torch.minimum(side, cap)
    bottom = torch.maximum(side - 2.0 * w / lateral, cap - 2.0 * s / facing)
    shade = torch.where(side <= cap, w * (lateral / s), facing)
    covered = (squared >= 0.0) & (height >= bottom)
    return height, AMBIENT + (1.0 - AMBIENT) * shade, covered


def _side(component: Tensor) -> Tensor:
    """Sign of a component; 0 counts as positive, because a face seen edge-on bounds too."""
    return torch.where(component < 0, -1.0, 1.0)


_SURFACES = {SPHERE: _sphere, CUBE: _cube, CYLINDER: _cylinder}
