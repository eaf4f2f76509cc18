"""Points of a run's surfaces with a score for each phrase.

Points come from the depth of rays spread evenly over all training views. One size for each phrase
holds for the whole cloud: the one with the highest peaks in the views that show the phrase best.
LERF takes the size of the single highest pixel, which one ray along a blurred edge can decide.

H, W rows and columns of rays in a view, V views, N points, P phrases, S sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.console import Console

from lerf_wild.cli.runs import Run
from lerf_wild.cli.scored import Frame, MarchedPoints, ScoredScene, SurfacePoints, cloud_of
from lerf_wild.errors import ExportError, QueryError
from lerf_wild.export.point_cloud import RelevancyCloud
from lerf_wild.language.relevancy import Query

if TYPE_CHECKING:
    from nerfstudio.cameras.cameras import Cameras
    from nerfstudio.cameras.rays import RayBundle

PROBE_RAYS = 12_000
"""Rays, over all views, that decide at which size each phrase is looked for."""

BEST_VIEWS = 0.25
"""Share of the views, those with the highest peaks, whose mean peak decides the size."""

MIN_ACCUMULATION = 0.5
"""Rays that the field stops less than this are sky or gaps and give no point."""

BARELY_TRAINED = "The run has no clear surfaces yet, so places are guesses. Train it for longer."

REACH = 3.0
"""Points further from the middle of the cameras than this many times the furthest camera are
background whose depth is a guess, and are left out."""

MIN_KEPT_SHARE = 0.02
"""With fewer rays than this share ending at a surface, points would take fifty times the rays."""

SPARE = 1.04
"""Rays are drawn this much more often than the probe says are needed."""

KEPT = 8
"""Samples of a ray that are kept for asking later, the heaviest ones."""

MAX_SCORES = 400_000_000
"""Most numbers (points x phrases) that are held at once, 1.6 GB as float32."""


@dataclass(frozen=True)
class SurfaceRule:
    """Which rays give a point, and where on the ray."""

    depth: str
    """Name of the output."""
    min_accumulation: float
    reach: float
    """Furthest point from the middle of the cameras, as a multiple of the furthest camera."""


CLEAR = SurfaceRule("depth", MIN_ACCUMULATION, REACH)
VAGUE = SurfaceRule("expected_depth", 0.0, math.inf)
"""For runs of so few steps that the field stops hardly any ray."""


def sample_scene(
    run: Run,
    query: Query,
    num_points: int,
    seed: int = 0,
    on_view: Callable[[], None] = lambda: None,
) -> ScoredScene:
    """Samples `num_points` surface points and scores them for each phrase.

    `on_view` is called once a training view. The same seed gives the same points. Raises QueryError
    for a number of points that can't be used and ExportError when the scene shows no surface.
    """
    _check_count(num_points, len(query.phrases))
    cameras = run.dataset("train").cameras.to(run.model.device)
    points, index_P = _sampled(run.model, cameras, query, num_points, seed, on_view)
    sizes = run.model.query_sizes()[index_P].float().cpu().numpy()
    return ScoredScene(points, query.phrases, query.canonical, sizes)


def sample_surface(
    model: Any,
    cameras: Cameras,
    num_points: int,
    seed: int = 0,
    on_view: Callable[[], None] = lambda: None,
) -> MarchedPoints:
    """Samples `num_points` surface points without asking anything of them.

    Raises QueryError and ExportError as `sample_scene` does.
    """
    _check_count(num_points, 1)
    return _sampled(model, cameras.to(model.device), None, num_points, seed, on_view)[0]


def _sampled(
    model: Any,
    cameras: Cameras,
    query: Query | None,
    num_points: int,
    seed: int,
    on_view: Callable[[], None],
) -> tuple[SurfacePoints, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rule = CLEAR
    index_P, kept_share = _probe(model, cameras, query, generator, rule)
    if kept_share < MIN_KEPT_SHARE:
        rule = VAGUE
        index_P, kept_share = _probe(model, cameras, query, generator, rule)
        Console(stderr=True).print(BARELY_TRAINED, style="yellow")
    if kept_share == 0:
        raise ExportError("The run shows no surface. Train it for longer.")
    rays_wanted = num_points / kept_share * SPARE
    parts = []
    for index in range(len(cameras)):
        rays = _ray_grid(cameras, index, rays_wanted / len(cameras), generator)
        parts.append(_view_points(model, cameras, index, rays, query, index_P, rule))
        on_view()
    return _thinned(_joined(parts), num_points, seed), index_P


def scene_sizes(run: Run, query: Query, seed: int = 0) -> torch.Tensor:
    """Returns the size of each phrase in the scene, as indices of the model's query sizes."""
    cameras = run.dataset("train").cameras.to(run.model.device)
    return _probe(run.model, cameras, query, torch.Generator().manual_seed(seed), CLEAR)[0]


def as_cloud(run: Run, found: ScoredScene, frame: Frame = "world") -> RelevancyCloud:
    """Returns the points as an exportable cloud, in the world frame or in that of the training."""
    return cloud_of(run, found, run.config.pipeline.model.encoder_identity, frame)


def _check_count(num_points: int, phrases: int) -> None:
    if num_points < 1:
        raise QueryError(f"--num-points must be 1 or more, got {num_points}.")
    if num_points * phrases > MAX_SCORES:
        raise QueryError(
            f"{num_points} points x {phrases} phrases are more scores than fit in memory.\n"
            f"Ask for at most {MAX_SCORES // phrases} points, or for fewer phrases."
        )


@torch.no_grad()
def _probe(
    model: Any,
    cameras: Cameras,
    query: Query | None,
    generator: torch.Generator,
    rule: SurfaceRule,
) -> tuple[torch.Tensor, float]:
    """Returns the size of each phrase, as an index, and the share of rays that give a point."""
    from lerf_wild.methods.lerf_wild.scale_search import fold_query, relevancy_over_sizes
    from lerf_wild.methods.lerf_wild.view_query import LANGUAGE_CHUNK

    folded = None if query is None else fold_query(query, model.language.clip_head)
    sizes_S, count = model.query_sizes(), 0 if query is None else len(query.phrases)
    peak_VSP = torch.zeros(len(cameras), len(sizes_S), count, device=model.device)
    kept, asked = 0, 0
    for index in range(len(cameras)):
        rays = _ray_grid(cameras, index, PROBE_RAYS / len(cameras), generator)
        for bundle in _chunks(model, rays):
            outputs, samples = model.shade(bundle)
            kept += int(_is_surface(bundle, outputs, cameras, rule).sum())
            asked += len(bundle)
            for part in samples.chunks(LANGUAGE_CHUNK) if folded is not None else ():
                table_RSP = relevancy_over_sizes(
                    model.language, part, folded, sizes_S, model.basis_range
                )
                peak_VSP[index] = torch.maximum(peak_VSP[index], table_RSP.amax(dim=0))
    return best_sizes(peak_VSP), kept / max(asked, 1)


def best_sizes(peak_VSP: Float[torch.Tensor, "V S P"]) -> Int[torch.Tensor, "P"]:
    """Returns the size of each phrase, as an index, from its highest relevancy in each view."""
    num_best = math.ceil(BEST_VIEWS * len(peak_VSP))
    return peak_VSP.topk(num_best, dim=0).values.mean(dim=0).argmax(dim=0)


@torch.no_grad()
def _view_points(
    model: Any,
    cameras: Cameras,
    index: int,
    rays: RayBundle,
    query: Query | None,
    index_P: torch.Tensor,
    rule: SurfaceRule,
) -> SurfacePoints:
    """Returns the surface points of one view's grid of rays."""
    from lerf_wild.methods.lerf_wild.scale_search import fold_query
    from lerf_wild.methods.lerf_wild.view_grid import counts_at
    from lerf_wild.methods.lerf_wild.view_query import relevancy_at

    folded = None if query is None else fold_query(query, model.language.clip_head)
    positions, colours, scores, views, keep, marched = [], [], [], [], [], []
    for bundle in _chunks(model, rays):
        outputs, samples = model.shade(bundle)
        positions.append(bundle.origins + bundle.directions * outputs[rule.depth])
        colours.append((outputs["rgb"].clamp(0, 1) * 255).round().to(torch.uint8))
        if folded is None:
            scores.append(outputs["rgb"].new_zeros(len(bundle), 0))
            heaviest = (samples.positions_RK3[:, :KEPT], samples.weights_RK[:, :KEPT, None])
            marched.append(torch.cat(heaviest, dim=-1))
        else:
            found = relevancy_at(model, samples, folded, model.query_sizes(), index_P)
            scores.append(model.mixed_relevancy(outputs, found, query))
        # The samples of a ray are ordered by weight: the first one is nearest to the surface.
        views.append(counts_at(model.view_counts, samples.positions_RK3[:, 0]))
        keep.append(_is_surface(bundle, outputs, cameras, rule))
    flat_N3 = torch.cat(positions)
    normals_HW3 = grid_normals(flat_N3.view(*rays.shape, 3), rays.directions)
    keep_N = torch.cat(keep)
    view_N = keep_N.new_full((len(keep_N),), index, dtype=torch.long)
    later = [torch.cat(marched), view_N] if marched else []
    parts = (torch.cat(part) for part in (colours, scores, views))
    columns = (flat_N3, normals_HW3.view(-1, 3), *parts, *later)
    kind = MarchedPoints if marched else SurfacePoints
    return kind(*(column[keep_N].cpu().numpy() for column in columns))


def grid_normals(
    points_HW3: Float[torch.Tensor, "H W 3"], directions_HW3: Float[torch.Tensor, "H W 3"]
) -> Float[torch.Tensor, "H W 3"]:
    """Returns unit normals of a grid of points, from the differences of neighbours.

    They look against the rays. Where a neighbour is missing or coincides they are the ray's
    direction, reversed.
    """
    if min(points_HW3.shape[:2]) < 2:
        return -directions_HW3
    down_HW3, right_HW3 = torch.gradient(points_HW3, dim=(0, 1))
    normals_HW3 = torch.linalg.cross(right_HW3, down_HW3)
    length_HW1 = normals_HW3.norm(dim=-1, keepdim=True)
    normals_HW3 = torch.where(length_HW1 > 0, normals_HW3 / length_HW1, -directions_HW3)
    looks_away_HW1 = (normals_HW3 * directions_HW3).sum(dim=-1, keepdim=True) > 0
    return torch.where(looks_away_HW1, -normals_HW3, normals_HW3)


def _ray_grid(cameras: Cameras, index: int, count: float, generator: torch.Generator) -> RayBundle:
    """Rays on an even grid of about `count` over a view, shifted at random within a cell."""
    height, width = int(cameras.height[index]), int(cameras.width[index])
    rows = max(1, math.ceil(math.sqrt(count * height / width)))
    columns = max(1, math.ceil(count / rows))
    shift_2 = torch.rand(2, generator=generator)
    y_H = (torch.arange(rows) + shift_2[0]) * (height / rows)
    x_W = (torch.arange(columns) + shift_2[1]) * (width / columns)
    coords_HW2 = torch.stack(torch.meshgrid(y_H, x_W, indexing="ij"), dim=-1)
    return cameras.generate_rays(index, coords=coords_HW2.to(cameras.device), keep_shape=True)


def _chunks(model: Any, rays: RayBundle) -> Iterator[RayBundle]:
    from lerf_wild.methods.lerf_wild.view_query import ray_chunks

    for bundle in ray_chunks(rays, model.config.eval_num_rays_per_chunk):
        yield bundle.to(model.device)


def _is_surface(
    bundle: RayBundle, outputs: dict, cameras: Cameras, rule: SurfaceRule
) -> torch.Tensor:
    places_C3 = cameras.camera_to_worlds[:, :3, 3].to(bundle.origins)
    middle_3 = places_C3.mean(dim=0)
    reach = (places_C3 - middle_3).norm(dim=-1).max() * rule.reach
    points_N3 = bundle.origins + bundle.directions * outputs[rule.depth]
    near_N = (points_N3 - middle_3).norm(dim=-1) < reach
    return near_N & (outputs["accumulation"][..., 0] > rule.min_accumulation)


def _joined(parts: list[SurfacePoints]) -> SurfacePoints:
    columns = [
        np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(parts[0])
    ]
    return type(parts[0])(*columns)


def _thinned(points: SurfacePoints, count: int, seed: int) -> SurfacePoints:
    if len(points) <= count:
        return points
    chosen = np.sort(np.random.default_rng(seed).choice(len(points), count, replace=False))
    return type(points)(*(getattr(points, item.name)[chosen] for item in fields(points)))
