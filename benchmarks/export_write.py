"""How long a relevancy cloud takes to write and to read back.

Run with `python -m benchmarks.export_write --json FILE`.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tyro

from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.export.las import write_cloud_las
from lerf_wild.export.ply import read_cloud, write_cloud
from lerf_wild.export.point_cloud import RelevancyCloud


def main(
    points: int = 1_000_000,
    phrases: int = 8,
    repeats: int = 5,
    seed: int = 0,
    json_file: JsonFile = None,
) -> None:
    """Times PLY writing and reading and LAS writing.

    Args:
        points: Points of the cloud.
        phrases: Phrases, one score a point each.
        repeats: Runs; the median is reported.
        seed: Seed of the random cloud.
        json_file: Where to write the figures.
    """
    cloud = _random_cloud(points, phrases, seed)
    with tempfile.TemporaryDirectory() as folder:
        ply, las = Path(folder) / "cloud.ply", Path(folder) / "cloud.las"
        figures = {
            "points": points,
            "phrases": phrases,
            "ply_write_s": _median_s(repeats, lambda: write_cloud(ply, cloud)),
            "ply_read_s": _median_s(repeats, lambda: read_cloud(ply)),
            "las_write_s": _median_s(repeats, lambda: write_cloud_las(las, cloud)),
            "ply_mb": ply.stat().st_size / 1e6,
            "las_mb": las.stat().st_size / 1e6,
        }
    for name, value in figures.items():
        print(f"{name:12} {value:.3g}" if isinstance(value, float) else f"{name:12} {value}")
    write_report(json_file, figures, seed)


def _random_cloud(points: int, phrases: int, seed: int) -> RelevancyCloud:
    generator = np.random.default_rng(seed)
    return RelevancyCloud(
        positions_N3=generator.uniform(-10, 10, (points, 3)),
        normals_N3=generator.normal(size=(points, 3)).astype(np.float32),
        colours_N3=generator.integers(0, 256, (points, 3), dtype=np.uint8),
        relevancy_NP=generator.random((points, phrases), dtype=np.float32),
        scale_N=generator.random(points, dtype=np.float32),
        views_N=generator.integers(0, 300, points, dtype=np.uint16),
        phrases=tuple(f"animal {index}" for index in range(phrases)),
        canonical=("object", "things", "stuff", "texture"),
    )


def _median_s(repeats: int, action: Callable[[], object]) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    tyro.cli(main)
