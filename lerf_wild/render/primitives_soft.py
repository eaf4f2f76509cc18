"""Images of primitives with soft edges, differentiable in positions and rotations.

Outlines become sigmoids of the distance to them, and the depth order a sigmoid of the difference
in depth, so that an object's weight in a pixel is
    w_k = c_k prod_{j != k} (1 - c_j s((t_k - t_j) / softness)),  c = s(margin / softness).
Creases between the faces of a cube and between a cylinder's side and caps are softened likewise.
As the softness goes to 0 this is the hard image. Gradients are exact for the soft image, except
on sets of measure 0, such as where the nearer of two edges changes.

Symbols: B scenes, K slots, P rays, c coverage, t distance along the ray, world units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lerf_wild.render.primitive_margins import outline_margin
from lerf_wild.render.primitive_rays import (
    HEADLIGHT,
    REFERENCE_CAMERA,
    Camera,
    local_hit,
    render_rays,
    shading,
)
from lerf_wild.render.primitive_scenes import CYLINDER, KINDS, SCALE, PrimitiveScenes
from lerf_wild.render.primitives import render_orthographic


@dataclass(frozen=True)
class SoftView:
    """From where, under which light and how softly to look."""

    camera: Camera = REFERENCE_CAMERA
    light_3: tuple[float, float, float] = HEADLIGHT
    softness: float = 0.025
    """Width of edges, world units; half a pixel of the reference's images."""
    scale: float = SCALE


def render_soft(scenes: PrimitiveScenes, view: SoftView | None = None) -> Tensor:
    """Renders with soft edges; differentiable in `positions_BK3` and `rotations_BK33`.

    Returns:
        [B, size, size] in 0-1, in the dtype of the positions.
    """
    view = view or SoftView()
    origins, directions = world_rays(view, scenes.positions_BK3)
    R = scenes.rotations_BK33
    from_centre, way = _foot(origins - scenes.positions_BK3[:, :, None], directions)
    margin, distance, normal = layers(
        scenes.kinds_BK, from_centre @ R / view.scale, directions @ R, view.softness / view.scale
    )
    shade = shading(normal @ R.transpose(-1, -2), unit_light(view, normal))
    image = composite(margin * view.scale, distance * view.scale + way, shade, view.softness)
    return image.view(len(scenes), view.camera.size, view.camera.size)


def _foot(offset_3: Tensor, directions_3: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays pass a centre closest, relative to it, and the way there from their origins.

    Hits are found from there: squares of distances to a far origin would cost the precision
    that small changes of a pose need.
    """
    way = -(offset_3 * directions_3).sum(-1)
    return offset_3 + way[..., None] * directions_3, way


def hard_image(scenes: PrimitiveScenes, view: SoftView) -> Tensor:
    """The hard image under a view [B, size, size], by the fast renderer where that one can."""
    reference = view.camera == replace(REFERENCE_CAMERA, size=view.camera.size)
    simple = not bool((scenes.kinds_BK > CYLINDER).any())
    if reference and simple and tuple(view.light_3) == HEADLIGHT:
        return render_orthographic(scenes, view.camera.size, view.scale)
    return render_rays(scenes, view.camera, view.light_3, scale=view.scale)


def world_rays(view: SoftView, like: Tensor) -> tuple[Tensor, Tensor]:
    """The view's rays in the dtype and on the device of a tensor."""
    origins, directions = view.camera.rays()
    return origins.to(like), directions.to(like)


def unit_light(view: SoftView, like: Tensor) -> Tensor:
    """The view's light direction, normalised, in the dtype and on the device of a tensor."""
    return torch.nn.functional.normalize(like.new_tensor(view.light_3), dim=0)


def layers(
    kinds_BK: Tensor, o_BKP3: Tensor, d_BKP3: Tensor, blend: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Outline margin [B, K, P], distance and local normal of each object at each ray.

    Empty slots lie far outside every ray. Rays are given in the objects' local frames, and `blend`
    is the softness of creases in half sizes.
    """
    margin = torch.full_like(o_BKP3[..., 0], -1e4)
    distance, normal = torch.zeros_like(margin), torch.zeros_like(o_BKP3)
    for kind in range(len(KINDS)):
        of_kind = torch.nonzero(kinds_BK == kind, as_tuple=True)
        if of_kind[0].shape[0] == 0:
            continue
        o, d = o_BKP3[of_kind], d_BKP3[of_kind]
        t, n, _ = local_hit(kind, o, d, blend)
        margin = margin.index_put(of_kind, outline_margin(kind, o, d))
        distance = distance.index_put(of_kind, t)
        normal = normal.index_put(of_kind, n)
    return margin, distance, normal


def composite(
    margin_BKP: Tensor, distance_BKP: Tensor, shade_BKP: Tensor, softness: float
) -> Tensor:
    """Blends the objects into one image [B, P]; margins and distances in world units."""
    coverage = torch.sigmoid(margin_BKP / softness)
    behind = torch.sigmoid((distance_BKP[:, :, None] - distance_BKP[:, None]) / softness)
    hidden = coverage[:, None] * behind
    slots = coverage.shape[1]
    itself = torch.eye(slots, dtype=torch.bool, device=coverage.device)[None, :, :, None]
    seen = coverage * (1.0 - hidden.masked_fill(itself, 0.0)).prod(2)
    return (seen * shade_BKP).sum(1)


def image_and_jacobian(
    scenes: PrimitiveScenes, view: SoftView, rays_BP: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The soft image and how each pixel changes with each object's pose, in one backward pass.

    A pixel depends on a pose only through its own ray. So every ray gets its own copy of the
    pose, and the gradient of the sum of all pixels with respect to the copies is the Jacobian.

    Args:
        scenes: B scenes.
        view: camera, light, softness.
        rays_BP: which rays to compute for each scene, as indices; all where None.

    Returns:
        Images [B, P] and Jacobian [B, P, K, 6]: x, y, z in world units, then a rotation vector in
        world axes, radians, that is applied after the object's rotation.
    """
    origins, directions = world_rays(view, scenes.positions_BK3)
    if rays_BP is not None:
        origins, directions = origins[rays_BP][:, None], directions[rays_BP][:, None]
    batch, slots = scenes.kinds_BK.shape
    R, count = scenes.rotations_BK33.detach(), origins.shape[-2]
    with torch.enable_grad():
        change = origins.new_zeros(batch, slots, count, 6).requires_grad_()
        move, turn = change.split(3, -1)
        o = origins - scenes.positions_BK3.detach()[:, :, None] - move
        d = directions.expand_as(o)
        o, way = _foot(o, d)
        # Turning the body is turning the rays back; to first order, which is all a Jacobian needs.
        o, d = o - torch.linalg.cross(turn, o), d - torch.linalg.cross(turn, d)
        margin, distance, normal = layers(
            scenes.kinds_BK, (o @ R) / view.scale, d @ R, view.softness / view.scale
        )
        world_normal = normal @ R.transpose(-1, -2)
        world_normal = world_normal + torch.linalg.cross(turn, world_normal)
        shade = shading(world_normal, unit_light(view, normal))
        image = composite(margin * view.scale, distance * view.scale + way, shade, view.softness)
        (jacobian,) = torch.autograd.grad(image.sum(), change)
    return image.detach(), jacobian.transpose(1, 2)
