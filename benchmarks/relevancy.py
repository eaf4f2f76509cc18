"""How long one phrase takes on a 128x128 view, against the official LERF's order of work.

Both run on the same trained weights and take turns in one process. The field has the official sizes
(24 of 48 samples a ray, 4 hidden layers of 256, 512 channels, 30 scales). The radiance field is
the laptop's, or with `--full-radiance-field` nerfacto's own, which on a CPU takes longer than our
answer. The scene, a painted wall, and its encoder are made on the spot and trained first.

Run with `python -m benchmarks.relevancy --json FILE`.
"""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
import tyro
from nerfstudio.cameras.rays import RayBundle

from benchmarks.official_relevancy import OfficialOrder, use_stock_grids
from benchmarks.painted_wall import crop_query, train_on_wall
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.language.relevancy import Query
from lerf_wild.methods.lerf_wild.hash_grid import use_fast_lookup
from lerf_wild.methods.lerf_wild.model import LerfWildModel
from lerf_wild.methods.lerf_wild.view_query import answer_view

PHRASES = 40


def main(
    size: int = 128,
    repeats: int = 3,
    train_steps: int = 800,
    channels: int = 512,
    full_radiance_field: bool = False,
    threads: int = 2,
    seed: int = 0,
    json_file: JsonFile = None,
) -> None:
    """Times a query on one view, and compares the peaks of 40 phrases.

    Args:
        size: Height and width of the view.
        repeats: Timed answers of each kind; medians are reported.
        train_steps: Steps of training before: solid surfaces leave few samples that weigh anything.
        channels: Dimensions of the embeddings.
        full_radiance_field: Take nerfacto's own size instead of the laptop's.
        threads: Threads that torch may use.
        seed: Seed of weights, scene and phrases.
        json_file: Where to write the figures.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        model, camera, encoder = train_on_wall(
            Path(folder), train_steps, channels, seed, full_radiance_field
        )
    camera.rescale_output_resolution(size / int(camera.height[0]))
    rays = camera.generate_rays(camera_indices=0, keep_shape=True)
    with torch.no_grad():
        picture = model.get_outputs_for_camera_ray_bundle(rays)["rgb"].permute(2, 0, 1)
    one, many = (crop_query(encoder, picture, count, seed) for count in (1, PHRASES))
    product = _measure(lambda: _product(model, rays, one), repeats)
    official = OfficialOrder(model)
    baseline = _measure(lambda: _baseline(model, official, rays, one), repeats)
    ratios = sorted(b / p for p, b in zip(product[0], baseline[0]))
    figures = {
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[0],
        "ratio_high": ratios[-1],
        "ms": statistics.median(product[0]) * 1e3,
        "baseline_ms": statistics.median(baseline[0]) * 1e3,
        "peak_mb": product[1] / 1e6,
        "baseline_peak_mb": baseline[1] / 1e6,
        "memory_ratio": baseline[1] / max(product[1], 1),
        **_agreement(model, official, rays, many),
        "threads": threads,
        "channels": channels,
    }
    for name, value in figures.items():
        print(f"{name:24} {value:.4g}")
    write_report(json_file, figures, seed)


def _product(model: LerfWildModel, rays: RayBundle, query: Query) -> torch.Tensor:
    use_fast_lookup(model, in_training=False)
    return answer_view(model, rays, query).relevancy_HWP


def _baseline(
    model: LerfWildModel, official: OfficialOrder, rays: RayBundle, query: Query
) -> torch.Tensor:
    use_stock_grids(model)
    return official.answer(rays, query)[0]


def _agreement(
    model: LerfWildModel, official: OfficialOrder, rays: RayBundle, query: Query
) -> dict[str, float]:
    """Share of phrases with the same peak pixel, and the largest difference of a peak's value."""
    ours = _product(model, rays, query).flatten(0, 1)
    theirs = _baseline(model, official, rays, query).flatten(0, 1)
    same = (ours.argmax(dim=0) == theirs.argmax(dim=0)).float().mean()
    gap = (ours.amax(dim=0) - theirs.amax(dim=0)).abs().max()
    return {"same_peak": float(same), "peak_gap": float(gap), "phrases": len(query.phrases)}


def _measure(action: Callable[[], object], repeats: int) -> tuple[list[float], float]:
    """Seconds of each run after one to warm up, and the most memory one took beyond the start."""
    seconds = []
    with _PeakMemory() as memory:
        for _ in range(repeats):
            start = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - start)
    return seconds, memory.peak_bytes


class _PeakMemory:
    """Watches the resident memory of this process from a thread."""

    def __enter__(self) -> "_PeakMemory":
        self._process = psutil.Process()
        self._start = self._process.memory_info().rss
        self._stop = threading.Event()
        self.peak_bytes = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            used = self._process.memory_info().rss - self._start
            self.peak_bytes = max(self.peak_bytes, float(used))

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


if __name__ == "__main__":
    tyro.cli(main)
