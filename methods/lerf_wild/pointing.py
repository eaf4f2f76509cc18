"""What is at the end of one ray: the place, and its embeddings at all sizes.

Symbols: S tile sizes, D dimensions of the encoder, Q dimensions of a folded embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from lerf_wild.methods.lerf_wild.field import folded_head
from lerf_wild.methods.lerf_wild.scale_search import MIN_VISIBLE_WEIGHT, rendered_hidden

if TYPE_CHECKING:
    from lerf_wild.methods.lerf_wild.model import LerfWildModel

MIN_ACCUMULATION = 0.3
"""Rays that are stopped less than this meet nothing that could be named."""


@dataclass(frozen=True)
class Place:
    """The end of a ray."""

    position_3: tuple[float, ...]
    """In the nerf frame."""
    units_SD: Float[Tensor, "s d"]
    """Unit embeddings at the model's query sizes."""


@torch.no_grad()
def place_at(
    model: LerfWildModel, origin_3: Sequence[float], direction_3: Sequence[float]
) -> Place | None:
    """Marches one ray (nerf frame); None where it meets nothing or what too few cameras saw."""
    rays = _ray(model, origin_3, direction_3)
    outputs, samples = model.shade(rays)
    if float(outputs["accumulation"]) < MIN_ACCUMULATION:
        return None
    rendered = [*rendered_hidden(model.language, samples, model.query_sizes(), model.basis_range)]
    if float(rendered[0][1]) < MIN_VISIBLE_WEIGHT:
        return None
    head_DQ, mixer_QW = folded_head(model.language.clip_head)
    mixed = [torch.cat([hidden, weight[:, None]], dim=-1).float() for hidden, weight in rendered]
    units_SD = torch.nn.functional.normalize(torch.cat(mixed) @ mixer_QW.T, dim=-1) @ head_DQ.T
    position_3 = rays.origins[0] + rays.directions[0] * outputs["depth"][0]
    return Place(tuple(position_3.tolist()), units_SD)


def _ray(
    model: LerfWildModel, origin_3: Sequence[float], direction_3: Sequence[float]
) -> RayBundle:
    direction_13 = torch.tensor([list(direction_3)], dtype=torch.float32, device=model.device)
    return RayBundle(
        origins=torch.tensor([list(origin_3)], dtype=torch.float32, device=model.device),
        directions=torch.nn.functional.normalize(direction_13, dim=-1),
        pixel_area=torch.full((1, 1), 1e-6, device=model.device),
        camera_indices=torch.zeros(1, 1, dtype=torch.long, device=model.device),
        metadata={"directions_norm": torch.ones(1, 1, device=model.device)},
    )
