"""Render and compare: makes predicted primitives agree with the image, from several starts.

A start is improved by Levenberg-Marquardt steps on the soft image (Jacobian in one backward
pass) while the edges sharpen, then judged by the hard image. Where the best start leaves part of
the image unexplained, further starts are drawn by `primitive_starts`.

Symbols: B scenes, K slots, P rays, D = 6 K pose parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lerf_wild.inverse.primitive_decoding import Predictions
from lerf_wild.inverse.primitive_starts import other_start, promising_start
from lerf_wild.render.primitive_scenes import ABSENT, PrimitiveScenes, concatenate
from lerf_wild.render.primitives_soft import SoftView, hard_image, image_and_jacobian, world_rays


@dataclass(frozen=True)
class RefineSpec:
    """How hard to try."""

    softness: tuple[float, ...] = (
        *(0.05, 0.05, 0.03, 0.03, 0.03, 0.02, 0.02),
        *(0.015, 0.01, 0.01, 0.007, 0.007, 0.005, 0.005),
    )
    """Width of the edges at each step, world units."""
    starts: int = 48
    """Further starts for an image that is not yet explained."""
    tolerance: float = 4.0
    """Sum of absolute pixel differences below which an image is explained."""
    object_price: float = 1.5
    """What one more object must save in that sum."""
    depth_anchor: float = 0.02
    """Weight of staying at the predicted depth, which the image often leaves open."""
    rays: int = 640
    """Pixels per image that are compared while improving, drawn from those near objects."""
    batch_size: int = 64
    seed: int = 0
    kinds: tuple[int, ...] = (0, 1, 2)
    """Primitives that may occur."""


@dataclass(frozen=True)
class Refined:
    """Improved scenes and how much of each image they leave unexplained."""

    scenes: PrimitiveScenes
    error_B: Tensor
    """Sum of absolute differences between the hard image and the observed one."""


def refine(
    images_BHW: Tensor, predictions: Predictions, view: SoftView, spec: RefineSpec, slots: int = 3
) -> Refined:
    """Improves predictions of images [B, size, size] until they agree with the pixels."""
    generator = torch.Generator().manual_seed(spec.seed)
    first = predictions.scenes[:, :slots]
    best = _improved(images_BHW, first, predictions, view, spec, generator)
    for attempt in range(spec.starts):
        open_rows = torch.nonzero(best.error_B > spec.tolerance).squeeze(-1)
        if open_rows.shape[0] == 0:
            break
        images, current = images_BHW[open_rows], best.scenes[open_rows]
        beliefs = predictions[open_rows]
        draw = promising_start if attempt % 2 == 0 else other_start
        start = draw(images, current, beliefs, view, spec.kinds, generator)
        other = _improved(images, start, beliefs, view, spec, generator)
        best = _keep_better(best, other, open_rows, spec)
    return _without_idle_objects(images_BHW, best, view, spec)


def _without_idle_objects(
    images_BHW: Tensor, best: Refined, view: SoftView, spec: RefineSpec
) -> Refined:
    """Removes objects that explain less than their price."""
    rows = torch.arange(len(images_BHW))
    for slot in list(range(best.scenes.kinds_BK.shape[1])) * 2:
        kinds = best.scenes.kinds_BK.clone()
        kinds[:, slot] = ABSENT
        fewer = replace(best.scenes, kinds_BK=kinds)
        error = (hard_image(fewer, view) - images_BHW).abs().sum((1, 2))
        best = _keep_better(best, Refined(fewer, error), rows, spec)
    return best


def _keep_better(best: Refined, other: Refined, rows: Tensor, spec: RefineSpec) -> Refined:
    before = best.error_B[rows] + spec.object_price * best.scenes.counts_B[rows]
    better = other.error_B + spec.object_price * other.scenes.counts_B < before
    chosen = rows[better]
    parts = {}
    for name in ("kinds_BK", "positions_BK3", "rotations_BK33"):
        parts[name] = getattr(best.scenes, name).index_put(
            (chosen,), getattr(other.scenes, name)[better]
        )
    return Refined(
        PrimitiveScenes(**parts), best.error_B.index_put((chosen,), other.error_B[better])
    )


def _improved(
    images_BHW: Tensor,
    scenes: PrimitiveScenes,
    beliefs: Predictions,
    view: SoftView,
    spec: RefineSpec,
    generator: torch.Generator,
) -> Refined:
    anchor = believed_depth(scenes, beliefs)
    parts = []
    for start, images in zip(
        range(0, len(scenes), spec.batch_size), images_BHW.split(spec.batch_size)
    ):
        rows = slice(start, start + spec.batch_size)
        parts.append(levenberg_marquardt(images, scenes[rows], anchor[rows], view, spec, generator))
    improved = concatenate(parts)
    error = (hard_image(improved, view) - images_BHW).abs().sum((1, 2))
    return Refined(improved, error)


def believed_depth(scenes: PrimitiveScenes, beliefs: Predictions) -> Tensor:
    """The depth that the network believes in where it sees an object nearest to each, [B, K]."""
    offset = scenes.positions_BK3[:, :, None, :2] - beliefs.scenes.positions_BK3[:, None, :, :2]
    nearest = offset.square().sum(-1).argmin(-1)
    return beliefs.scenes.positions_BK3[..., 2].gather(1, nearest)


def levenberg_marquardt(
    images_BHW: Tensor,
    scenes: PrimitiveScenes,
    anchor_BK: Tensor,
    view: SoftView,
    spec: RefineSpec,
    generator: torch.Generator,
) -> PrimitiveScenes:
    """Least-squares steps on positions and rotations, one per entry of `spec.softness`.

    A step that makes the image worse is taken back and tried again shorter. Depths that the image
    leaves open go to `anchor_BK`.
    """
    rays = rays_near_objects(scenes, view, spec.rays, generator)
    target = images_BHW.flatten(1).gather(1, rays)
    damping = torch.full((len(scenes),), 1e-2)
    trial, kept, cost_kept, system = scenes, scenes, None, None
    for index, softness in enumerate(spec.softness):
        sharper = index > 0 and softness != spec.softness[index - 1]
        soft = replace(view, softness=softness)
        normal, gradient, cost = _normal_equations(trial, target, rays, soft, anchor_BK, spec)
        if system is None or sharper:
            # Costs under another softness can't be compared: the trial is taken as it is.
            worse = torch.zeros(len(scenes), dtype=torch.bool)
        else:
            worse = cost > cost_kept
            normal = torch.where(worse[:, None, None], system[0], normal)
            gradient = torch.where(worse[:, None], system[1], gradient)
            cost = torch.where(worse, cost_kept, cost)
        kept = _where(worse, kept, trial)
        damping = torch.where(worse, damping * 8.0, (damping * 0.4).clamp(min=1e-4))
        system, cost_kept = (normal, gradient), cost
        trial = _stepped(kept, _solve(normal, gradient, damping))
    _, _, cost = _normal_equations(trial, target, rays, soft, anchor_BK, spec)
    return _where(cost > cost_kept, kept, trial)


def rays_near_objects(
    scenes: PrimitiveScenes, view: SoftView, count: int, generator: torch.Generator
) -> Tensor:
    """Indices [B, P] of rays, drawn first from those that may meet an object."""
    origins, directions = world_rays(view, scenes.positions_BK3)
    offset = scenes.positions_BK3[:, :, None] - origins
    across = offset - (offset * directions).sum(-1, keepdim=True) * directions
    distance = across.square().sum(-1)
    distance = distance.masked_fill((scenes.kinds_BK < 0)[..., None], torch.inf).amin(1)
    # No point of a body is further from its centre than a cube's corner.
    near = distance < (math.sqrt(3.0) * view.scale + 0.1) ** 2
    order = torch.rand(distance.shape, generator=generator) + near
    return order.topk(min(count, distance.shape[1]), dim=1, sorted=False).indices


def _normal_equations(
    scenes: PrimitiveScenes,
    target_BP: Tensor,
    rays_BP: Tensor,
    view: SoftView,
    anchor_BK: Tensor,
    spec: RefineSpec,
) -> tuple[Tensor, Tensor, Tensor]:
    """J^T J, J^T r and the cost, with the anchor of the depths added."""
    image, jacobian = image_and_jacobian(scenes, view, rays_BP)
    J, residual = jacobian.flatten(2), target_BP - image
    normal = J.transpose(1, 2) @ J
    gradient = (J.transpose(1, 2) @ residual[..., None]).squeeze(-1)
    pull = anchor_BK - scenes.positions_BK3[..., 2]
    weight = torch.zeros(6)
    weight[2] = spec.depth_anchor
    normal = normal + torch.diag_embed(weight.repeat(pull.shape[1]))
    gradient = gradient + (pull[..., None] * weight).flatten(1)
    cost = residual.square().sum(1) + spec.depth_anchor * pull.square().sum(1)
    return normal, gradient, cost


def _solve(normal_BDD: Tensor, gradient_BD: Tensor, damping_B: Tensor) -> Tensor:
    """Damped step [B, K, 6], no longer than 0.15 world units and 0.4 radians."""
    diagonal = normal_BDD.diagonal(dim1=1, dim2=2)
    # The constant keeps what the image doesn't show (a sphere's rotation) where it is.
    damped = normal_BDD + torch.diag_embed(damping_B[:, None] * diagonal + 1e-3)
    step = torch.linalg.solve(damped, gradient_BD).view(len(gradient_BD), -1, 6)
    move, turn = step.split(3, -1)
    return torch.cat([_at_most(move, 0.15), _at_most(turn, 0.4)], -1)


def _at_most(vector: Tensor, length: float) -> Tensor:
    return vector * (length / vector.norm(dim=-1, keepdim=True).clamp(min=length))


def _stepped(scenes: PrimitiveScenes, step_BK6: Tensor) -> PrimitiveScenes:
    move, turn = step_BK6.split(3, -1)
    return PrimitiveScenes(
        scenes.kinds_BK,
        scenes.positions_BK3 + move,
        rotation_vector_to_matrix(turn) @ scenes.rotations_BK33,
    )


def rotation_vector_to_matrix(vector_3: Tensor) -> Tensor:
    """Rotation by |vector| radians about the vector, shape [..., 3] -> [..., 3, 3]."""
    x, y, z = vector_3.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1)
    return torch.linalg.matrix_exp(skew.reshape(*vector_3.shape[:-1], 3, 3))


def _where(condition_B: Tensor, first: PrimitiveScenes, second: PrimitiveScenes) -> PrimitiveScenes:
    return PrimitiveScenes(
        torch.where(condition_B[:, None], first.kinds_BK, second.kinds_BK),
        torch.where(condition_B[:, None, None], first.positions_BK3, second.positions_BK3),
        torch.where(condition_B[:, None, None, None], first.rotations_BK33, second.rotations_BK33),
    )
