"""Ten phrases on a baked scene of a million points, and the size of its file.

The time depends on the numbers of points, places, sizes and dimensions, not on what the numbers
say, so that the scene is made of random ones. The baseline scores every point at every size with
whole embeddings, as the formula reads; it is timed on a part of the points and scaled. Both take
turns. How well a bake finds things is measured on a run: `lerf-wild eval --baked`.

Run with `python -m benchmarks.baked --json FILE`.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from lerf_wild.baked.field import BakedField
from lerf_wild.baked.files import write_baked
from lerf_wild.baked.scene import BakedScene, open_baked
from lerf_wild.cli.report import JsonFile, write_report

VIEWS, PROBES = 60, 12_000
"""Training views of the scene, and the places of all of them that decide a phrase's size."""

PART = 20_000
"""Points that the baseline is timed on."""


@dataclass(frozen=True)
class Timed:
    """Milliseconds that passed and that this process computed."""

    ms: float
    cpu_ms: float


def main(
    points: int = 1_000_000,
    voxels: int = 76_000,
    sizes: int = 15,
    dims: int = 36,
    channels: int = 128,
    phrases: int = 10,
    repeats: int = 9,
    seed: int = 0,
    json_file: JsonFile = None,
) -> None:
    """Times a query and writes its figures.

    Args:
        points: Points of the scene.
        voxels: Places that have embeddings of their own.
        sizes: Tile sizes.
        dims: Dimensions that the bake kept.
        channels: Dimensions of the encoder.
        phrases: Phrases asked at once.
        repeats: Timed queries; the median is reported.
        seed: Seed of the numbers.
        json_file: Where to write the figures.
    """
    texts = [f"phrase {index}" for index in range(phrases)]
    canonical = ["object", "things", "stuff", "texture"]
    baked = _scene(points, voxels, sizes, dims, channels, [*texts, *canonical], seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.safetensors"
        write_baked(path, baked)
        num_bytes = path.stat().st_size
        start = time.perf_counter()
        scene = open_baked(path)
        opened = time.perf_counter() - start
    scene.ask(texts, canonical)
    ours, plain = [], []
    for _ in range(repeats):
        ours.append(_timed(lambda: scene.ask(texts, canonical)))
        plain.append(_timed(lambda: _plain(scene, texts, canonical)))
    share = len(scene.baked) / PART
    ratios = sorted(share * slow.ms / fast.ms for fast, slow in zip(ours, plain))
    figures = {
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[0],
        "ratio_high": ratios[-1],
        "ms": statistics.median(one.ms for one in ours),
        "cpu_ms": statistics.median(one.cpu_ms for one in ours),
        "baseline_ms": share * statistics.median(one.ms for one in plain),
        "baseline_cpu_ms": share * statistics.median(one.cpu_ms for one in plain),
        "file_mb": num_bytes / 1e6,
        "open_ms": opened * 1e3,
        "points": points,
        "phrases": phrases,
    }
    for name, value in figures.items():
        print(f"{name:20} {value:.4g}")
    write_report(json_file, figures, seed)


def _plain(scene: BakedScene, texts: list[str], canonical: list[str]) -> None:
    """Some points at every size with whole embeddings."""
    baked = scene.baked
    rows = np.repeat(np.arange(len(baked.counts_V)), baked.counts_V)[:PART]
    phrases_PD, canonical_CD = scene.embed(texts), scene.embed(canonical)
    for codes_KV in baked.codes_SKV:
        embeddings_ND = (codes_KV[:, rows].T * baked.steps_K) @ baked.basis_DK.T
        hardest_N1 = (embeddings_ND @ canonical_CD.T).max(axis=1, keepdims=True)
        1 / (1 + np.exp(-10 * (embeddings_ND @ phrases_PD.T - hardest_N1)))


def _timed(action: Callable[[], object]) -> Timed:
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return Timed((time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3)


def _scene(
    points: int, voxels: int, sizes: int, dims: int, channels: int, texts: list[str], seed: int
) -> BakedField:
    dice = np.random.default_rng(seed)
    counts = np.bincount(dice.integers(0, voxels, points - voxels), minlength=voxels) + 1
    embeddings = dice.normal(size=(len(texts), channels))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return BakedField(
        positions_N3=dice.normal(size=(points, 3)),
        normals_N3=np.zeros((points, 3), np.int8),
        colours_N3=np.zeros((points, 3), np.uint8),
        views_N=np.full(points, 9, np.uint8),
        counts_V=counts.astype(np.uint32),
        codes_SKV=dice.integers(-127, 128, (sizes, dims, voxels), dtype=np.int8),
        steps_K=np.full(dims, 1 / (127 * dims**0.5), np.float32),
        basis_DK=np.linalg.qr(dice.normal(size=(channels, dims)))[0].astype(np.float32),
        sizes_S=np.geomspace(0.1, 10, sizes).astype(np.float32),
        transform_34=np.eye(3, 4),
        scale=1.0,
        meters_per_unit=1.0,
        encoder="random@0",
        texts=dict(zip(texts, embeddings.astype(np.float32))),
        probes_TM=dice.integers(0, voxels, (VIEWS, PROBES // VIEWS), dtype=np.int32),
    )


if __name__ == "__main__":
    tyro.cli(main)
