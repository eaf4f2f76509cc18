"""A new phrase on a still view, and any phrase while the camera moves, against LERF's own order.

Product and baseline take turns in one process on the same weights. The baseline does LERF's order
of work: every sample of every ray at 30 sizes, and the view a second time at the best one. Its cost
grows with the number of rays and nothing else, so it is timed on some rays of the view and scaled
to all of them. Without a run, a laptop-size field is trained on a painted wall first. `ratio` is of
times that passed; on a machine that does other work `cpu_ratio`, of times that this process
computed, says more.

Run with `python -m benchmarks.still_view --json FILE`.
"""

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from nerfstudio.cameras.cameras import Cameras

from benchmarks.official_relevancy import OfficialOrder, use_stock_grids
from benchmarks.painted_wall import crop_query, train_on_wall
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.language.relevancy import Query
from lerf_wild.live.question import plain_question
from lerf_wild.methods.lerf_wild.hash_grid import use_fast_lookup
from lerf_wild.methods.lerf_wild.kept_view import KeptView
from lerf_wild.methods.lerf_wild.live_views import LiveViews
from lerf_wild.methods.lerf_wild.model import LerfWildModel
from lerf_wild.methods.lerf_wild.scale_search import fold_query, relevancy_over_sizes
from lerf_wild.methods.lerf_wild.view_query import (
    LANGUAGE_CHUNK,
    answer_view,
    plain_view,
    shade_view,
)

NEW_PHRASES = 20
"""Phrases that are asked on the still view in each turn."""


@dataclass(frozen=True)
class Timed:
    """Median milliseconds of an action."""

    ms: float
    cpu_ms: float


def main(
    load_config: Path | None = None,
    size: int = 256,
    phrases: int = 100,
    repeats: int = 5,
    baseline_rays: int = 2048,
    train_steps: int = 300,
    threads: int = 2,
    seed: int = 0,
    json_file: JsonFile = None,
) -> None:
    """Times phrases on one view and compares them with exact LERF.

    Args:
        load_config: A run whose first held-out view is asked; a painted wall when left out.
        size: Height and width of the view.
        phrases: Phrases that are compared.
        repeats: Timed answers of each kind; medians are reported.
        baseline_rays: Rays that the baseline is timed on.
        train_steps: Steps of training on the painted wall.
        threads: Threads that torch may use.
        seed: Seed of weights, scene and phrases.
        json_file: Where to write the figures.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    model, camera, query = _subject(load_config, size, phrases, train_steps, seed)
    use_fast_lookup(model, in_training=False)
    live = LiveViews(model)
    figures = {
        **_prepared(live, model, camera, query),
        **_against_lerf(live.latest(), model, camera, query, repeats, baseline_rays),
        **_moving(model, camera, query, repeats),
        **_agreement(live, model, camera, query),
        "size": size,
        "threads": threads,
    }
    for name, value in figures.items():
        print(f"{name:28} {value:.4g}")
    write_report(json_file, figures, seed)


def _subject(
    load_config: Path | None, size: int, phrases: int, steps: int, seed: int
) -> tuple[LerfWildModel, Cameras, Query]:
    if load_config is None:
        with tempfile.TemporaryDirectory() as folder:
            model, camera, encoder = train_on_wall(
                Path(folder), steps, 128, seed, laptop_language=True
            )
        camera.rescale_output_resolution(size / int(camera.height[0]))
        with torch.no_grad():
            picture = plain_view(model, _rays(camera))["rgb"].permute(2, 0, 1)
        return model, camera, crop_query(encoder, picture, phrases, seed)
    from lerf_wild.cli.runs import open_run
    from lerf_wild.language.wild_clip import vocabulary

    run = open_run(load_config)
    camera = run.dataset("held-out").cameras[0:1]
    camera.rescale_output_resolution(size / int(camera.height[0]))
    # The middle of a picture that is wider than high.
    camera.width[:], camera.cx[:] = size, size / 2
    return run.model, camera, run.query(vocabulary()[:phrases])


def _prepared(
    live: LiveViews, model: LerfWildModel, camera: Cameras, query: Query
) -> dict[str, float]:
    """Renders and keeps the view, and times what a new phrase on it does not have to do."""
    first = _one(query, 0)
    live.layers(camera, None)
    shaded = _timed(lambda: live.layers(camera, None), 1)
    prepared = _timed(lambda: live.layers(camera, plain_question(first)), 1)
    view = live.latest()
    filled = _timed(lambda: [None for _ in iter(view.fill_one, False)], 1)
    slow = _timed(lambda: answer_view(model, _rays(camera), first), 1)
    return {
        "picture_cpu_ms": shaded.cpu_ms,
        "first_phrase_cpu_ms": prepared.cpu_ms,
        "work_ahead_cpu_ms": filled.cpu_ms,
        "uncached_cpu_ms": slow.cpu_ms,
        "kept_mb": view.num_bytes / 1e6,
        "kept_dims": view.compressed_dims[0],
        "full_dims": view.compressed_dims[1],
    }


def _against_lerf(
    view: KeptView, model: LerfWildModel, camera: Cameras, query: Query, repeats: int, rays: int
) -> dict[str, float]:
    """New phrases on the still view, and LERF's order of work on an even part of its rays."""
    bundle = _rays(camera).flatten()
    subset = bundle[torch.linspace(0, len(bundle) - 1, min(rays, len(bundle))).long()]
    row, official = subset.reshape((1, len(subset))), OfficialOrder(model)
    share, phrases = len(bundle) / len(subset), _new_phrases(query)
    ours, theirs = [], []
    for _ in range(repeats):
        use_fast_lookup(model, in_training=False)
        ours.append(_timed(lambda: view.answer(next(phrases)), NEW_PHRASES))
        use_stock_grids(model)
        theirs.append(_timed(lambda: official.answer(row, _one(query, 0)), 1))
    use_fast_lookup(model, in_training=False)
    ratios = sorted(share * one.ms / other.ms for one, other in zip(theirs, ours))
    cpu_ratios = [share * one.cpu_ms / other.cpu_ms for one, other in zip(theirs, ours)]
    return {
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[0],
        "ratio_high": ratios[-1],
        "cpu_ratio": statistics.median(cpu_ratios),
        "ms": statistics.median(one.ms for one in ours),
        "cpu_ms": statistics.median(one.cpu_ms for one in ours),
        "baseline_ms": share * statistics.median(one.ms for one in theirs),
        "baseline_cpu_ms": share * statistics.median(one.cpu_ms for one in theirs),
        "baseline_rays": len(subset),
    }


def _moving(model: LerfWildModel, camera: Cameras, query: Query, repeats: int) -> dict[str, float]:
    question, live = plain_question(_one(query, 0)), LiveViews(model)
    live.layers(camera, question)
    plain, asked = [], []
    for turn in range(repeats):
        moved = camera.to(camera.device)
        moved.camera_to_worlds = moved.camera_to_worlds.clone()
        moved.camera_to_worlds[..., 0, 3] += 0.001 * (turn + 1)
        plain.append(_timed(lambda moved=moved: plain_view(model, _rays(moved)), 1).cpu_ms)
        asked.append(_timed(lambda moved=moved: live.layers(moved, question), 1).cpu_ms)
    ratios = sorted(one / other for one, other in zip(asked, plain))
    return {
        "moving_ratio": statistics.median(ratios),
        "moving_ratio_low": ratios[0],
        "moving_ratio_high": ratios[-1],
    }


@torch.no_grad()
def _agreement(
    live: LiveViews, model: LerfWildModel, camera: Cameras, query: Query
) -> dict[str, float]:
    """Share of phrases with the peak pixel of every size at every pixel, and the maps' distance."""
    found_RP = live.latest().answer(query)[0].flatten(0, 1)
    _, samples = shade_view(model, _rays(camera))
    folded, sizes_S = fold_query(query, model.language.clip_head), model.query_sizes()
    peaks_SP = torch.stack(
        [
            relevancy_over_sizes(model.language, part, folded, sizes_S, model.basis_range).amax(0)
            for part in samples.chunks(LANGUAGE_CHUNK)
        ]
    ).amax(dim=0)
    best_P = peaks_SP.argmax(dim=0)
    exact_RP = torch.empty_like(found_RP)
    for size in best_P.unique().tolist():
        own = (best_P == size).nonzero().flatten()
        exact_RP[:, own] = torch.cat(
            [
                relevancy_over_sizes(
                    model.language,
                    part,
                    folded.pick(own),
                    sizes_S[size : size + 1],
                    model.basis_range,
                )[:, 0]
                for part in samples.chunks(LANGUAGE_CHUNK)
            ]
        )
    same = (found_RP.argmax(dim=0) == exact_RP.argmax(dim=0)).float().mean()
    return {
        "same_peak": float(same),
        "mean_difference": float((found_RP - exact_RP).abs().mean()),
        "peak_gap": float((found_RP.amax(dim=0) - exact_RP.amax(dim=0)).abs().max()),
        "phrases": len(query.phrases),
    }


def _new_phrases(query: Query) -> Iterator[Query]:
    """Phrases one after the other, each a little changed, since a view keeps what it answered."""
    generator = torch.Generator().manual_seed(0)
    for turn in itertools.count():
        one = _one(query, turn % len(query.phrases))
        noise_1D = 1e-5 * torch.randn(one.embeddings_PD.shape, generator=generator)
        yield replace(one, embeddings_PD=one.embeddings_PD + noise_1D.to(one.embeddings_PD))


def _one(query: Query, index: int) -> Query:
    part = slice(index, index + 1)
    return Query(
        query.phrases[part], query.embeddings_PD[part], query.canonical, query.canonical_CD
    )


def _rays(camera: Cameras) -> object:
    return camera.generate_rays(camera_indices=0, keep_shape=True)


def _timed(action: Callable[[], object], repeats: int) -> Timed:
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        action()
        walls.append((time.perf_counter() - wall) * 1e3)
        cpus.append((time.process_time() - cpu) * 1e3)
    return Timed(statistics.median(walls), statistics.median(cpus))


if __name__ == "__main__":
    tyro.cli(main)
