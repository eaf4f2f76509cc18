"""Rendering a view together with the answers to a query.

Symbols: R rays of the view, P phrases, S scales, U scales in use.

The tile size of each phrase is the one with the highest relevancy anywhere in the view (LERF,
section 3.4). Views of up to `probe_rays` rays are evaluated at all sizes; larger ones choose the
sizes on a regular subset of that many rays and are then evaluated at the chosen sizes alone. The
radiance field runs once for every pixel, and memory grows with the chunk, not with the view.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from lerf_wild.language.relevancy import Query
from lerf_wild.methods.lerf_wild.scale_search import (
    FoldedQuery,
    TopSamples,
    at_own_size,
    best_sizes,
    concatenate,
    fold_query,
    relevancy_over_sizes,
)

if TYPE_CHECKING:
    from lerf_wild.methods.lerf_wild.model import LerfWildModel

MAX_TABLE = 1 << 25
"""Most relevancies (rays x scales x phrases) held at once: 128 MB as float32."""

LANGUAGE_CHUNK = 4096
"""Rays whose hidden vectors exist at the same time."""


@dataclass(frozen=True)
class ViewAnswer:
    """A rendered view and where its phrases are."""

    outputs: dict[str, Float[Tensor, "h w c"]]
    """nerfacto's outputs: rgb, accumulation, depth, expected_depth ..."""
    relevancy_HWP: Float[Tensor, "h w p"]
    size_P: Float[Tensor, "p"]
    """Tile size at which each phrase answered best, in nerf units."""


@torch.no_grad()
def answer_view(model: LerfWildModel, rays: RayBundle, query: Query) -> ViewAnswer:
    """Renders a camera's rays [H, W] and finds each phrase at its best size."""
    height, width = rays.origins.shape[:2]
    sizes_S = model.query_sizes()
    folded = fold_query(query, model.language.clip_head)
    is_small = len(rays) <= _probe_limit(model, query)
    index_P = None if is_small else choose_sizes(model, probe(model, rays, query), query)
    kept: dict[str, list[Tensor]] = defaultdict(list)
    samples, found = [], []
    for chunk in ray_chunks(rays, model.config.eval_num_rays_per_chunk):
        outputs, chunk_samples = model.shade(chunk.to(model.device))
        for name, value in outputs.items():
            if isinstance(value, Tensor):
                kept[name].append(value.to(rays.origins.device))
        if is_small:
            samples.append(chunk_samples)
        else:
            found.append(relevancy_at(model, chunk_samples, folded, sizes_S, index_P))
    if is_small:
        index_P, table_RSP = best_sizes(
            model.language, concatenate(samples), folded, sizes_S, model.basis_range, LANGUAGE_CHUNK
        )
        found = [at_own_size(table_RSP, index_P)]
    images = {name: torch.cat(values).view(height, width, -1) for name, values in kept.items()}
    relevancy = torch.cat(found).view(height, width, -1).to(rays.origins.device)
    return ViewAnswer(images, relevancy, sizes_S[index_P])


def choose_sizes(model: LerfWildModel, samples: TopSamples, query: Query) -> Int[Tensor, "p"]:
    """Index, into the model's query sizes, of the size at which each phrase peaks."""
    folded = fold_query(query, model.language.clip_head)
    index_P, _ = best_sizes(
        model.language, samples, folded, model.query_sizes(), model.basis_range, LANGUAGE_CHUNK
    )
    return index_P


def relevancy_at(
    model: LerfWildModel,
    samples: TopSamples,
    folded: FoldedQuery,
    sizes_S: Float[Tensor, "s"],
    index_P: Int[Tensor, "p"],
) -> Float[Tensor, "r p"]:
    """Relevancy of rays with each phrase at its own size, evaluating each size in use once."""
    used_U, place_P = index_P.unique(return_inverse=True)
    parts = []
    for part in samples.chunks(LANGUAGE_CHUNK):
        table = relevancy_over_sizes(
            model.language, part, folded, sizes_S[used_U], model.basis_range
        )
        parts.append(at_own_size(table, place_P))
    return torch.cat(parts)


@torch.no_grad()
def probe(model: LerfWildModel, rays: RayBundle, query: Query) -> TopSamples:
    """Samples of a regular subset of a view's rays, without shading them."""
    height, width = rays.origins.shape[:2]
    limit = _probe_limit(model, query)
    stride = max(1, math.ceil(math.sqrt(height * width / limit)))
    subset = rays[stride // 2 :: stride, stride // 2 :: stride]
    chunk = model.config.eval_num_rays_per_chunk
    return concatenate(
        [model.top_samples(part.to(model.device)) for part in ray_chunks(subset, chunk)]
    )


def ray_chunks(rays: RayBundle, size: int) -> list[RayBundle]:
    """Cuts rays, row by row, into bundles of at most `size`."""
    flat = rays.flatten()
    return [flat[start : start + size] for start in range(0, len(flat), size)]


def _probe_limit(model: LerfWildModel, query: Query) -> int:
    table_rows = MAX_TABLE // (model.config.query_scales * len(query.phrases))
    return max(1024, min(model.config.probe_rays, table_rows))
