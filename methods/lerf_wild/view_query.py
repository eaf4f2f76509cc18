"""Rendering a view together with the answers to a query.

Symbols: R rays of the view, P phrases, S scales.

The tile size of each phrase is the one with the highest relevancy anywhere in the view (LERF,
section 3.4). Sizes are tried on a regular subset of the rays, coarsely first; the whole view is
evaluated at the size that won, and its best pixels are tried at all sizes once more. The radiance
field runs once for every pixel, and memory grows with the chunk, not with the view.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from lerf_wild.language.relevancy import Query
from lerf_wild.methods.lerf_wild.scale_search import (
    FoldedQuery,
    TopSamples,
    best_indices,
    concatenate,
    fold_query,
    relevancy_at_indices,
    relevancy_over_sizes,
)

if TYPE_CHECKING:
    from lerf_wild.methods.lerf_wild.model import LerfWildModel

LANGUAGE_CHUNK = 4096
"""Rays whose hidden vectors exist at the same time."""

KEPT_RAYS = 1 << 16
"""Views of up to this many rays keep their samples, so that nothing is marched twice: 25 MB for
24 samples a ray. Larger views march a small subset beforehand to choose the sizes."""

COARSE_STEP = 3
"""Neighbouring sizes answer alike, so that one in so many finds the rays that matter."""

FINALISTS, MIN_FINALISTS = 128, 8
"""Rays of all phrases together, and at least of each, that are tried at every size."""

REFINED_PIXELS = 64
"""Best pixels of each phrase that are tried at all sizes after the first choice."""

CLIMBED_PIXELS, CLIMBS = 512, 4
"""Best pixels of a phrase that are tried at the next smaller and larger size, and how often at the
most. Peaks of neighbouring sizes differ by a ten-thousandth and lie many pixels apart."""


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
    folded = fold_query(query, model.language.clip_head)
    answer = _answer_small_view if len(rays) <= KEPT_RAYS else _answer_large_view
    found = answer(model, rays, folded)
    relevancy_HWP = model.mixed_relevancy(found.outputs, found.relevancy_HWP, query)
    return replace(found, relevancy_HWP=relevancy_HWP)


def _answer_small_view(model: LerfWildModel, rays: RayBundle, folded: FoldedQuery) -> ViewAnswer:
    outputs, samples = _shade_all(model, rays)
    subset = view_subset(*rays.origins.shape[:2], model.config.probe_rays).to(model.device)
    index_P = choose_sizes(model, samples.take(subset), folded)
    relevancy_RP, index_P = _refined(model, samples, folded, index_P)
    return _view_answer(rays, outputs, relevancy_RP, model.query_sizes()[index_P])


def choose_sizes(
    model: LerfWildModel, samples: TopSamples, folded: FoldedQuery
) -> Int[Tensor, "p"]:
    """Index, into the model's query sizes, of the size at which each phrase peaks.

    Every third size is tried on all of the rays, every size on those that answered best.
    """
    sizes_S, field = model.query_sizes(), model.language
    finalists = max(MIN_FINALISTS, FINALISTS // max(len(folded.phrases_PQ), 1))
    if len(samples) > 2 * finalists:
        coarse_S = sizes_S[COARSE_STEP // 2 :: COARSE_STEP]
        peak_RP = torch.cat(
            [
                relevancy_over_sizes(field, part, folded, coarse_S, model.basis_range).amax(dim=1)
                for part in samples.chunks(LANGUAGE_CHUNK)
            ]
        )
        samples = samples.take(peak_RP.topk(finalists, dim=0).indices.flatten().unique())
    return best_indices(field, samples, folded, sizes_S, model.basis_range, LANGUAGE_CHUNK)


def relevancy_at(
    model: LerfWildModel,
    samples: TopSamples,
    folded: FoldedQuery,
    sizes_S: Float[Tensor, "s"],
    index_P: Int[Tensor, "p"],
) -> Float[Tensor, "r p"]:
    """Relevancy of rays with each phrase at its own one of the sizes (nerf units)."""
    return relevancy_at_indices(
        model.language, samples, folded, sizes_S, index_P, model.basis_range, LANGUAGE_CHUNK
    )


@torch.no_grad()
def plain_view(model: LerfWildModel, rays: RayBundle) -> dict[str, Float[Tensor, "h w c"]]:
    """nerfacto's outputs of a camera's rays [H, W], whatever is asked meanwhile."""
    kept: dict[str, list[Tensor]] = defaultdict(list)
    for chunk in ray_chunks(rays, model.config.eval_num_rays_per_chunk):
        _keep(kept, model.shade(chunk.to(model.device))[0], rays)
    return _images(rays, kept)


@torch.no_grad()
def shade_view(
    model: LerfWildModel, rays: RayBundle
) -> tuple[dict[str, Float[Tensor, "h w c"]], TopSamples]:
    """nerfacto's outputs of a camera's rays [H, W] and the samples that phrases are asked at."""
    outputs, samples = _shade_all(model, rays)
    return _images(rays, outputs), samples


@torch.no_grad()
def probe(model: LerfWildModel, rays: RayBundle) -> TopSamples:
    """Samples of a regular subset of a view's rays, without shading them."""
    subset = view_subset(*rays.origins.shape[:2], model.config.probe_rays)
    chosen = rays.flatten()[subset.to(rays.origins.device)]
    chunk = model.config.eval_num_rays_per_chunk
    parts = [model.top_samples(part.to(model.device)) for part in ray_chunks(chosen, chunk)]
    return concatenate(parts)


def ray_chunks(rays: RayBundle, size: int) -> list[RayBundle]:
    """Cuts rays, row by row, into bundles of at most `size`."""
    flat = rays.flatten()
    return [flat[start : start + size] for start in range(0, len(flat), size)]


def _refined(
    model: LerfWildModel, samples: TopSamples, folded: FoldedQuery, index_P: Tensor
) -> tuple[Float[Tensor, "r p"], Int[Tensor, "p"]]:
    """The whole view at the chosen sizes, and again where the best pixels prefer another size."""
    relevancy_RP = relevancy_at(model, samples, folded, model.query_sizes(), index_P)
    best_pixels = _best_pixels(relevancy_RP, REFINED_PIXELS).flatten().unique()
    better_P = choose_sizes(model, samples.take(best_pixels), folded)
    for _ in range(CLIMBS):
        changed = (better_P != index_P).nonzero().flatten()
        if len(changed) > 0:
            part, sizes_S = folded.pick(changed), model.query_sizes()
            again = relevancy_at(model, samples, part, sizes_S, better_P[changed])
            relevancy_RP[:, changed] = again
        index_P = better_P
        better_P = neighbouring_sizes(model, samples, folded, relevancy_RP, index_P)
        if torch.equal(better_P, index_P):
            break
    return relevancy_RP, index_P


def neighbouring_sizes(
    model: LerfWildModel,
    samples: TopSamples,
    folded: FoldedQuery,
    relevancy_RP: Float[Tensor, "r p"],
    index_P: Int[Tensor, "p"],
) -> Int[Tensor, "p"]:
    """Index of the best size among each phrase's own, at which a view was asked, and its two
    neighbours, which the best pixels are asked at."""
    sizes_S = model.query_sizes()
    best_CP = _best_pixels(relevancy_RP, CLIMBED_PIXELS)
    better_P = index_P.clone()
    for row, index in enumerate(index_P):
        phrase = torch.full_like(index_P[:1], row)
        near, part = samples.take(best_CP[:, row]), folded.pick(phrase)
        peak = relevancy_RP[:, row].max()
        for other in (index - 1, index + 1):
            if 0 <= other < len(sizes_S):
                found = relevancy_at(model, near, part, sizes_S, other[None]).max()
                if found > peak:
                    peak, better_P[row] = found, other
    return better_P


def _best_pixels(relevancy_RP: Tensor, count: int) -> Int[Tensor, "c p"]:
    """Rows of the most relevant pixels of each phrase."""
    return relevancy_RP.topk(min(count, len(relevancy_RP)), dim=0).indices


def _answer_large_view(model: LerfWildModel, rays: RayBundle, folded: FoldedQuery) -> ViewAnswer:
    sizes_S = model.query_sizes()
    index_P = choose_sizes(model, probe(model, rays), folded)
    kept: dict[str, list[Tensor]] = defaultdict(list)
    found = []
    for chunk in ray_chunks(rays, model.config.eval_num_rays_per_chunk):
        outputs, samples = model.shade(chunk.to(model.device))
        _keep(kept, outputs, rays)
        relevancy = relevancy_at(model, samples, folded, sizes_S, index_P)
        found.append(relevancy.to(rays.origins.device))
    return _view_answer(rays, kept, torch.cat(found), sizes_S[index_P])


def _shade_all(model: LerfWildModel, rays: RayBundle) -> tuple[dict[str, list[Tensor]], TopSamples]:
    kept: dict[str, list[Tensor]] = defaultdict(list)
    samples = []
    for chunk in ray_chunks(rays, model.config.eval_num_rays_per_chunk):
        outputs, chunk_samples = model.shade(chunk.to(model.device))
        _keep(kept, outputs, rays)
        samples.append(chunk_samples)
    return kept, concatenate(samples)


def _keep(kept: dict[str, list[Tensor]], outputs: dict[str, Tensor], rays: RayBundle) -> None:
    for name, value in outputs.items():
        if isinstance(value, Tensor):
            kept[name].append(value.to(rays.origins.device))


def _view_answer(
    rays: RayBundle, outputs: dict[str, list[Tensor]], relevancy_RP: Tensor, sizes_P: Tensor
) -> ViewAnswer:
    relevancy_HWP = relevancy_RP.to(rays.origins.device).view(*rays.origins.shape[:2], -1)
    return ViewAnswer(_images(rays, outputs), relevancy_HWP, sizes_P)


def _images(rays: RayBundle, outputs: dict[str, list[Tensor]]) -> dict[str, Tensor]:
    height, width = rays.origins.shape[:2]
    return {name: torch.cat(values).view(height, width, -1) for name, values in outputs.items()}


def view_subset(height: int, width: int, limit: int) -> Int[Tensor, "n"]:
    """Rows of about `limit` rays on a regular grid over a view."""
    stride = max(1, math.ceil(math.sqrt(height * width / limit)))
    rows = torch.arange(min(stride // 2, height - 1), height, stride)
    columns = torch.arange(min(stride // 2, width - 1), width, stride)
    return (rows[:, None] * width + columns).flatten()
