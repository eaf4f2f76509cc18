"""What an orthographic picture says about depths: the median of all depths that explain it.

Moving an object along the line of sight changes only pixels that several objects contest. There
the picture tells which is nearer, and where bodies cut into each other, by how much; all else is
left to the prior, which is uniform. Depths are drawn, weighted by how well the contested pixels
come out, and the weighted median of each is taken: the estimate of least expected absolute error.

Symbols: B scenes, K slots, S draws, C contested pixels, L half the range of depths, r change of a
depth, w weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lerf_wild.render.primitive_rays import cast, shading
from lerf_wild.render.primitive_scenes import KINDS, PrimitiveScenes
from lerf_wild.render.primitives_soft import SoftView, hard_image, unit_light, world_rays


@dataclass(frozen=True)
class DepthSpec:
    """How to draw depths."""

    draws: int = 1024
    local_share: float = 0.5
    """Share of the draws that keep the depths relative to each other about as they are."""
    local_std: float = 0.02
    """Standard deviation of the differences in those, world units."""
    tolerance: float = 0.5
    """Sum of absolute pixel differences that makes depths less likely by a factor of e."""
    pixels: int = 256
    """Contested pixels that are compared."""
    batch_size: int = 16


def settle_depths(
    images_BHW: Tensor,
    scenes: PrimitiveScenes,
    view: SoftView,
    limit: float,
    generator: torch.Generator,
    spec: DepthSpec,
) -> PrimitiveScenes:
    """Moves objects along an orthographic view's -z to the depths of least expected error.

    Args:
        images_BHW: what was observed.
        scenes: what was recovered, right in x, y and rotation.
        view: an orthographic view along -z.
        limit: depths lie between plus and minus this, world units.
        generator: of the draws.
        spec: how to draw.
    """
    settled = scenes.positions_BK3.clone()
    for rows in torch.arange(len(scenes)).split(spec.batch_size):
        settled[rows, :, 2] = _medians(images_BHW[rows], scenes[rows], view, limit, generator, spec)
    moved = replace(scenes, positions_BK3=settled)
    before, after = ((hard_image(s, view) - images_BHW).abs().sum((1, 2)) for s in (scenes, moved))
    # Medians of several objects needn't explain the image together.
    keep = (after > before + spec.tolerance)[:, None, None]
    return replace(scenes, positions_BK3=torch.where(keep, scenes.positions_BK3, settled))


def _medians(
    images: Tensor,
    scenes: PrimitiveScenes,
    view: SoftView,
    limit: float,
    generator: torch.Generator,
    spec: DepthSpec,
) -> Tensor:
    """Weighted median of the drawn depths of each object, [B, K]."""
    present, current = scenes.kinds_BK >= 0, scenes.positions_BK3[..., 2]
    drawn = draw_depths(current, limit, generator, spec)
    error = _contested_error(images, scenes, view, drawn - current[:, None], generator, spec)
    density = proposal_density(drawn - current[:, None], present, limit, spec)
    inside = ((drawn.abs() <= limit) | ~present[:, None]).all(-1)
    w = torch.exp(-(error - error.amin(1, keepdim=True)) / spec.tolerance) * inside / density
    ordered, order = drawn.sort(1)
    share = w[..., None].expand_as(drawn).gather(1, order).cumsum(1)
    middle = (share < 0.5 * share[:, -1:]).sum(1, keepdim=True).clamp(max=drawn.shape[1] - 1)
    return torch.where(present, ordered.gather(1, middle).squeeze(1), current)


def draw_depths(
    current_BK: Tensor, limit: float, generator: torch.Generator, spec: DepthSpec
) -> Tensor:
    """Draws depths [B, S, K]: from the prior, and near the current ones up to a common shift."""
    batch, slots = current_BK.shape
    local = round(spec.draws * spec.local_share)
    anywhere = limit * (2.0 * torch.rand(batch, spec.draws - local, slots, generator=generator) - 1)
    # Evenly spaced rather than drawn: the same density, with less noise.
    shift = torch.linspace(-2.0 * limit, 2.0 * limit, local)[:, None]
    apart = spec.local_std * torch.randn(batch, local, slots, generator=generator)
    return torch.cat([anywhere, current_BK[:, None] + shift + apart], 1)


def proposal_density(
    change_BSK: Tensor, present_BK: Tensor, limit: float, spec: DepthSpec
) -> Tensor:
    """Density of `draw_depths` relative to the prior's, up to a constant of the scene, [B, S].

    The common shift is integrated out: of n normal changes r remains
    (2 pi std^2)^(-(n-1)/2) n^(-1/2) exp(-sum (r - mean r)^2 / 2 std^2) / 4L.
    """
    present = present_BK[:, None].float()
    n = present.sum(-1).clamp(min=1.0)
    mean = (change_BSK * present).sum(-1) / n
    spread = ((change_BSK - mean[..., None]).square() * present).sum(-1)
    variance = spec.local_std**2
    peak = (2 * math.pi * variance) ** (-0.5 * (n - 1)) * n**-0.5 / (4 * limit)
    local = peak * torch.exp(-0.5 * spread / variance) * (2 * limit) ** n
    return 1.0 - spec.local_share + spec.local_share * local


def _contested_error(
    images: Tensor,
    scenes: PrimitiveScenes,
    view: SoftView,
    change_BSK: Tensor,
    generator: torch.Generator,
    spec: DepthSpec,
) -> Tensor:
    """Sum of absolute differences over the contested pixels for each draw, [B, S]."""
    distance, shade = _object_layers(scenes, view)
    contested = torch.isfinite(distance).sum(1) > 1
    order = torch.rand(contested.shape, generator=generator) + contested
    most = min(spec.pixels, contested.shape[1])
    pixels = order.topk(most, 1, sorted=False).indices
    counted = contested.gather(1, pixels).float()
    scale = contested.sum(1) / counted.sum(1).clamp(min=1.0)
    target = images.flatten(1).gather(1, pixels)[:, None]
    nearest = torch.full((*change_BSK.shape[:2], most), torch.inf)
    value = torch.zeros_like(nearest)
    for slot in range(change_BSK.shape[2]):
        reached = distance[:, slot].gather(1, pixels)[:, None] - change_BSK[..., slot, None]
        nearer = reached < nearest
        value = torch.where(nearer, shade[:, slot].gather(1, pixels)[:, None], value)
        nearest = torch.where(nearer, reached, nearest)
    return ((value - target).abs() * counted[:, None]).sum(-1) * scale[:, None]


def _object_layers(scenes: PrimitiveScenes, view: SoftView) -> tuple[Tensor, Tensor]:
    """Distance (infinite beside the object) and intensity of each object alone, [B, K, P]."""
    origins, directions = world_rays(view, scenes.positions_BK3)
    shape = (*scenes.kinds_BK.shape, origins.shape[0])
    distance, shade = torch.full(shape, torch.inf), torch.zeros(shape)
    for kind in range(len(KINDS)):
        of_kind = torch.nonzero(scenes.kinds_BK == kind, as_tuple=True)
        if of_kind[0].shape[0] > 0:
            t, normal, hit = cast(kind, scenes[of_kind], origins, directions, view.scale)
            distance[of_kind] = torch.where(hit, t, torch.inf)
            shade[of_kind] = shading(normal, unit_light(view, normal))
    return distance, shade
