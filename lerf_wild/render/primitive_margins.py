"""How far inside or outside a body's outline a ray passes: what soft edges are made from.

A ray hits a convex body exactly where its point falls into the body's projection along the ray.
Each function returns the signed distance to that outline in half sizes, positive inside: exact
for sphere, cube and capsule, to first order near the outline for the others. All of them are
continuous and differentiable almost everywhere.

Symbols: o origin and d unit direction of rays in the local frame [..., 3], half sizes, axis
along y; u and v coordinates of the ray in the plane across d, v along the projected axis; A the
length of the projected axis, f = |d_y| its foreshortening, A^2 + f^2 = 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lerf_wild.render.primitive_rays import CAPSULE_RADIUS, ELLIPSOID_RADIUS
from lerf_wild.render.primitive_scenes import CAPSULE, CONE, CUBE, CYLINDER, ELLIPSOID, SPHERE

_TINY = 1e-8


def outline_margin(kind: int, o: Tensor, d: Tensor) -> Tensor:
    """Signed distance of rays to the outline of a body of the kind, [...], in half sizes."""
    return _MARGINS[kind](o, d)


def _root(squared: Tensor) -> Tensor:
    return squared.clamp(min=_TINY).sqrt()


def _across(o: Tensor, d: Tensor) -> Tensor:
    """The part of o across d."""
    return o - (o * d).sum(-1, keepdim=True) * d


def _plane(o: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """u, v, A and f of each ray."""
    f = d[..., 1].abs()
    A = _root(1.0 - d[..., 1].square())
    u = (o[..., 2] * d[..., 0] - o[..., 0] * d[..., 2]) / A
    v = _across(o, d)[..., 1] / A
    return u, v, A, f


def _sphere(o: Tensor, d: Tensor) -> Tensor:
    return 1.0 - _root(_across(o, d).square().sum(-1))


def _cube(o: Tensor, d: Tensor) -> Tensor:
    """The outline is the hexagon between three strips, one per family of edges."""
    margins = []
    for axis in range(3):
        j, k = (axis + 1) % 3, (axis + 2) % 3
        dj, dk = d[..., j], d[..., k]
        length = _root(dj.square() + dk.square())
        offset = (o[..., j] * dk - o[..., k] * dj).abs()
        width = (dj.abs() + dk.abs() - offset) / length
        # A ray along the edges of this family is bounded by the other two alone.
        margins.append(torch.where(length > 1e-3, width, torch.full_like(width, 3.0)))
    return torch.stack(margins, -1).amin(-1)


def _cylinder(o: Tensor, d: Tensor) -> Tensor:
    """The outline is a segment of half length A, swept by an ellipse of half axes 1 and f."""
    u, v, A, f = _plane(o, d)
    root = _root(1.0 - u.square())
    slope = f * u.abs() / root
    along = (A + f * root - v.abs()) / _root(1.0 + slope.square())
    return torch.minimum(1.0 - u.abs(), along)


def _cone(o: Tensor, d: Tensor) -> Tensor:
    """The outline is the base's ellipse and, where the apex lies outside it, a triangle."""
    u, v, A, f = _plane(o, d)
    height = v + A
    # The ellipse u^2 + (height / f)^2 = 1; f near 0 flattens it to a segment.
    f_safe = f.clamp(min=1e-3)
    radius = _root(u.square() + (height / f_safe).square())
    gradient = _root(u.square() + height.square() / f_safe.pow(4)) / radius
    ellipse = (1.0 - radius) / gradient.clamp(min=1.0)
    # Tangents from the apex at height 2 A touch the ellipse at height t and half width w.
    share = (f / (2.0 * A)).clamp(max=1.0)
    t, w = f * share, _root(1.0 - share.square())
    run = 2.0 * A - t
    side = (w * (2.0 * A - height) - u.abs() * run) / _root(run.square() + w.square())
    triangle = torch.minimum(side, height - t)
    return torch.where(f >= 2.0 * A, ellipse, torch.maximum(ellipse, triangle))


def _ellipsoid(o: Tensor, d: Tensor) -> Tensor:
    """The outline is an ellipse: half axes r across, sqrt(A^2 + r^2 f^2) along."""
    u, v, A, f = _plane(o, d)
    half = _root(A.square() + (ELLIPSOID_RADIUS * f).square())
    scaled_u, scaled_v = u / ELLIPSOID_RADIUS, v / half
    radius = _root(scaled_u.square() + scaled_v.square())
    gradient = _root((scaled_u / ELLIPSOID_RADIUS).square() + (scaled_v / half).square()) / radius
    return (1.0 - radius) / gradient.clamp(min=1.0)


def _capsule(o: Tensor, d: Tensor) -> Tensor:
    u, v, A, _ = _plane(o, d)
    beyond = (v.abs() - CAPSULE_RADIUS * A).clamp(min=0.0)
    return CAPSULE_RADIUS - _root(u.square() + beyond.square())


_MARGINS = {
    SPHERE: _sphere,
    CUBE: _cube,
    CYLINDER: _cylinder,
    CONE: _cone,
    ELLIPSOID: _ellipsoid,
    CAPSULE: _capsule,
}
