"""Primitives under any camera and light: closed-form hits of arbitrary rays with six bodies.

Bodies in their local frame, in half sizes, axis along y: sphere of radius 1; cube [-1, 1]^3;
cylinder of radius 1, |y| <= 1; cone with base of radius 1 at y = -1 and apex at y = +1; ellipsoid
of radii (0.6, 1, 0.6); capsule of radius 0.5 around the segment |y| <= 0.5.

Symbols: N objects, P rays, o origin and d unit direction of a ray in the local frame, t distance
along it in half sizes, n outward normal. Cameras are OpenGL: x right, y up, looking along -z.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lerf_wild.render.primitive_scenes import (
    CAPSULE,
    CONE,
    CUBE,
    CYLINDER,
    ELLIPSOID,
    SCALE,
    SPHERE,
    PrimitiveScenes,
)
from lerf_wild.render.primitives import AMBIENT, EXTENT, IMAGE_SIZE

ELLIPSOID_RADIUS = 0.6
CAPSULE_RADIUS = 0.5

_TINY = 1e-7

Hit = tuple[Tensor, Tensor, Tensor]
"""Distance t [..., P], unit normal [..., P, 3], whether the ray hits [..., P]. Where it misses, t
and the normal are finite values of the nearest part of the body, for soft edges to use."""


@dataclass(frozen=True)
class Camera:
    """A square picture, orthographic or perspective."""

    position_3: tuple[float, float, float] = (0.0, 0.0, 5.0)
    """World position."""
    target_3: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """World point that is seen in the middle of the picture."""
    extent: float = EXTENT
    """Half the side of what is seen at the target, world units, between outermost pixel centres."""
    perspective: bool = False
    size: int = IMAGE_SIZE
    """Pixels along a side."""

    def rays(self, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """World origins and unit directions, each [size * size, 3], row by row from the top."""
        position, target = torch.tensor(self.position_3), torch.tensor(self.target_3)
        right, up, back = look_at(position, target)
        along = torch.linspace(-self.extent, self.extent, self.size)
        row, column = torch.meshgrid(-along, along, indexing="ij")
        plane = column.reshape(-1, 1) * right + row.reshape(-1, 1) * up
        if self.perspective:
            directions = torch.nn.functional.normalize(target + plane - position, dim=-1)
            origins = position.expand_as(directions)
        else:
            directions, origins = -back.expand_as(plane), position + plane
        return origins.to(device), directions.to(device)


def look_at(position_3: Tensor, target_3: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Right, up and backward unit vectors of a camera whose up is world y (or z, seen along y)."""
    back = torch.nn.functional.normalize(position_3 - target_3, dim=-1)
    up = torch.tensor([0.0, 1.0, 0.0] if abs(float(back[1])) < 0.999 else [0.0, 0.0, -1.0])
    right = torch.nn.functional.normalize(torch.linalg.cross(up, back), dim=-1)
    return right, torch.linalg.cross(back, right), back


REFERENCE_CAMERA = Camera()
PERSPECTIVE_CAMERA = Camera(position_3=(0.0, 0.0, 3.2), extent=1.8, perspective=True)
HEADLIGHT = (0.0, 0.0, 1.0)
SIDE_LIGHT = (0.45, 0.55, 0.7)
"""Direction towards the light of the perspective set-up, before it is normalised."""


@torch.no_grad()
def render_rays(
    scenes: PrimitiveScenes,
    camera: Camera = REFERENCE_CAMERA,
    light_3: tuple[float, float, float] | Tensor = HEADLIGHT,
    colours_BK3: Tensor | None = None,
    scale: float = SCALE,
) -> Tensor:
    """Renders any primitives with any camera and a distant light.

    Args:
        scenes: B scenes.
        camera: where to look from.
        light_3: world direction towards the light, or one per scene [B, 3].
        colours_BK3: RGB of each object in 0-1; None gives grey images.
        scale: half size of the bodies, world units.

    Returns:
        float32 [B, size, size], or [B, size, size, 3] with colours. Background 0.
    """
    device = scenes.positions_BK3.device
    origins, directions = camera.rays(device)
    light = torch.as_tensor(light_3, dtype=torch.float32, device=device).expand(len(scenes), 3)
    light = torch.nn.functional.normalize(light, dim=-1)
    channels = 1 if colours_BK3 is None else 3
    images = torch.zeros(len(scenes), origins.shape[0], channels, device=device)
    depths = torch.full(images.shape[:2], torch.inf, device=device)
    for slot in range(scenes.kinds_BK.shape[1]):
        for kind in _HITS:
            rows = torch.nonzero(scenes.kinds_BK[:, slot] == kind).squeeze(-1)
            if rows.shape[0] == 0:
                continue
            distance, normal, hit = cast(kind, scenes[rows, slot], origins, directions, scale)
            shade = shading(normal, light[rows, None])[..., None]
            if colours_BK3 is not None:
                shade = shade * colours_BK3[rows, slot, None]
            nearer = hit & (distance < depths[rows])
            depths[rows] = torch.where(nearer, distance, depths[rows])
            images[rows] = torch.where(nearer[..., None], shade, images[rows])
    images = images.view(len(scenes), camera.size, camera.size, channels)
    return images.squeeze(-1) if colours_BK3 is None else images


def shading(normals_3: Tensor, light_3: Tensor) -> Tensor:
    """Lambertian intensity with the reference's ambient light."""
    return AMBIENT + (1.0 - AMBIENT) * (normals_3 * light_3).sum(-1).clamp(min=0.0)


def cast(
    kind: int, objects: PrimitiveScenes, origins_P3: Tensor, directions_P3: Tensor, scale: float
) -> Hit:
    """Hits of P world rays with n objects [n] of one kind: world distance, world normal, hit."""
    R = objects.rotations_BK33
    local_o = (origins_P3 - objects.positions_BK3[:, None]) @ R / scale
    local_d = directions_P3 @ R
    t, normal, hit = _HITS[kind](local_o, local_d)
    return t * scale, normal @ R.transpose(-1, -2), hit & (t > 0)


def local_hit(kind: int, o: Tensor, d: Tensor, blend: float = 0.0) -> Hit:
    """Hits of rays with the body of a kind in its local frame, in half sizes.

    With `blend` the normals of a cube's faces, and of a cylinder's side and caps, go over into
    each other within about that distance of the crease, so that its place has a gradient.
    """
    if blend > 0.0 and kind in (CUBE, CYLINDER):
        return (_cube if kind == CUBE else _cylinder)(o, d, blend)
    return _HITS[kind](o, d)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1)


def _away_from_zero(value: Tensor) -> Tensor:
    return torch.where(value.abs() < _TINY, torch.where(value < 0, -_TINY, _TINY), value)


def _root(squared: Tensor) -> Tensor:
    """Square root that is 0 below 0 and keeps gradients finite."""
    return squared.clamp(min=1e-8).sqrt()


def _sphere(o: Tensor, d: Tensor) -> Hit:
    b = _dot(o, d)
    squared = b * b - _dot(o, o) + 1.0
    t = -b - _root(squared)
    return t, _unit(o + t[..., None] * d), squared >= 0


def _cube(o: Tensor, d: Tensor, blend: float = 0.0) -> Hit:
    safe = _away_from_zero(d)
    middle, half = -o / safe, 1.0 / safe.abs()
    enter, axis = (middle - half).max(-1)
    leave = (middle + half).amin(-1)
    side = -torch.where(d < 0, -1.0, 1.0).to(o.dtype)
    if blend > 0.0:
        share = ((middle - half) / blend).softmax(-1)
    else:
        share = torch.nn.functional.one_hot(axis, 3).to(o.dtype)
    return enter, side * share, enter <= leave


def _cylinder(o: Tensor, d: Tensor, blend: float = 0.0) -> Hit:
    a = (1.0 - d[..., 1].square()).clamp(min=_TINY)
    b = o[..., 0] * d[..., 0] + o[..., 2] * d[..., 2]
    squared = b * b - a * (o[..., 0].square() + o[..., 2].square() - 1.0)
    root = _root(squared)
    dy = _away_from_zero(d[..., 1])
    side, cap = (-b - root) / a, -o[..., 1] / dy - 1.0 / dy.abs()
    leave = torch.minimum((-b + root) / a, -o[..., 1] / dy + 1.0 / dy.abs())
    t = torch.maximum(side, cap)
    p = o + t[..., None] * d
    zero = torch.zeros_like(t)
    on_side = _unit(torch.stack([p[..., 0], zero, p[..., 2]], -1))
    on_cap = torch.stack([zero, -torch.where(dy < 0, -1.0, 1.0).to(o.dtype), zero], -1)
    if blend > 0.0:
        share = torch.sigmoid((side - cap) / blend)[..., None]
        normal = share * on_side + (1.0 - share) * on_cap
    else:
        normal = torch.where((side >= cap)[..., None], on_side, on_cap)
    return t, normal, (squared >= 0) & (t <= leave)


def _cone(o: Tensor, d: Tensor) -> Hit:
    """The mantle is x^2 + z^2 = (1 - y)^2 / 4 with |y| <= 1; q is the height below the apex."""
    q = o[..., 1] - 1.0
    a = _away_from_zero(d[..., 0].square() + d[..., 2].square() - 0.25 * d[..., 1].square())
    b = o[..., 0] * d[..., 0] + o[..., 2] * d[..., 2] - 0.25 * q * d[..., 1]
    squared = b * b - a * (o[..., 0].square() + o[..., 2].square() - 0.25 * q.square())
    root = _root(squared)
    ends = torch.stack([(-b - root) / a, (-b + root) / a], -1)
    y = o[..., 1, None] + ends * d[..., 1, None]
    on_mantle = (y.abs() <= 1.0) & (squared >= 0)[..., None]
    base = (-1.0 - o[..., 1]) / _away_from_zero(d[..., 1])
    at_base = o + base[..., None] * d
    on_base = at_base[..., 0].square() + at_base[..., 2].square() <= 1.0
    candidates = torch.cat([ends, base[..., None]], -1)
    valid = torch.cat([on_mantle, on_base[..., None]], -1)
    t, which = candidates.masked_fill(~valid, torch.inf).min(-1)
    hit = torch.isfinite(t)
    # A ray that passes by is given its closest approach to the cone's middle.
    t = torch.where(hit, t, -_dot(o, d))
    p = o + t[..., None] * d
    slope = 0.5 * _root(p[..., 0].square() + p[..., 2].square())
    mantle = _unit(torch.stack([p[..., 0], slope, p[..., 2]], -1))
    down = torch.tensor([0.0, -1.0, 0.0], dtype=o.dtype, device=o.device)
    return t, torch.where((hit & (which == 2))[..., None], down, mantle), hit


def _ellipsoid(o: Tensor, d: Tensor) -> Hit:
    radii = o.new_tensor([ELLIPSOID_RADIUS, 1.0, ELLIPSOID_RADIUS])
    scaled_o, scaled_d = o / radii, d / radii
    a, b = _dot(scaled_d, scaled_d), _dot(scaled_o, scaled_d)
    squared = b * b - a * (_dot(scaled_o, scaled_o) - 1.0)
    t = (-b - _root(squared)) / a
    return t, _unit((scaled_o + t[..., None] * scaled_d) / radii), squared >= 0


def _capsule(o: Tensor, d: Tensor) -> Hit:
    r = CAPSULE_RADIUS
    a = (1.0 - d[..., 1].square()).clamp(min=_TINY)
    b = o[..., 0] * d[..., 0] + o[..., 2] * d[..., 2]
    squared = b * b - a * (o[..., 0].square() + o[..., 2].square() - r * r)
    side = (-b - _root(squared)) / a
    on_side = (squared >= 0) & ((o[..., 1] + side * d[..., 1]).abs() <= r)
    candidates, valid = [side], [on_side]
    for end in (-r, r):
        from_end = o - o.new_tensor([0.0, end, 0.0])
        along = _dot(from_end, d)
        cap = along.square() - _dot(from_end, from_end) + r * r
        candidates.append(-along - _root(cap))
        valid.append(cap >= 0)
    stacked, usable = torch.stack(candidates, -1), torch.stack(valid, -1)
    t = stacked.masked_fill(~usable, torch.inf).amin(-1)
    hit = torch.isfinite(t)
    t = torch.where(hit, t, -_dot(o, d))
    p = o + t[..., None] * d
    straight = torch.stack([torch.zeros_like(t), p[..., 1].clamp(-r, r), torch.zeros_like(t)], -1)
    return t, _unit(p - straight), hit


def _unit(vector: Tensor) -> Tensor:
    return vector / _root(_dot(vector, vector))[..., None]


_HITS: dict[int, Callable[[Tensor, Tensor], Hit]] = {
    SPHERE: _sphere,
    CUBE: _cube,
    CYLINDER: _cylinder,
    CONE: _cone,
    ELLIPSOID: _ellipsoid,
    CAPSULE: _capsule,
}
