"""Starting with a warm feature cache against the first start, which encodes every image.

Run with `python -m benchmarks.cache --json FILE`. The images are views of a generated habitat and
the encoder is the bundled one; each pair of starts has a cache folder of its own.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import tyro

from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.language.dino import choose_patch_encoder
from lerf_wild.language.feature_store import FeatureStore
from lerf_wild.language.registry import choose_encoder
from lerf_wild.storage.cache import FeatureCache
from lerf_wild.synth.habitat import make_habitat
from lerf_wild.synth.habitat_files import write_habitat


def main(views: int = 12, repeats: int = 3, seed: int = 7, json_file: JsonFile = None) -> None:
    """Times both starts on the views of one habitat.

    Args:
        views: Images to prepare.
        repeats: Pairs of starts; the median ratio is reported.
        seed: Seed of the habitat.
        json_file: Where to write the figures.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_habitat(make_habitat(seed), folder / "scene", views=views)
        images = sorted((folder / "scene" / "images").glob("*.png"))
        pairs = [_starts(folder / f"cache_{turn}", images) for turn in range(repeats)]
    ratios = [first / second for first, second in pairs]
    figures = {
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "first_s": float(np.median([first for first, _ in pairs])),
        "second_s": float(np.median([second for _, second in pairs])),
        "images": views,
    }
    for key, value in figures.items():
        print(f"{key:15} {value:.4g}")
    write_report(json_file, figures, seed)


def _starts(root: Path, images: list[Path]) -> tuple[float, float]:
    """Seconds of a first and a second start on one cache folder."""
    return _seconds(root, images), _seconds(root, images)


def _seconds(root: Path, images: list[Path]) -> float:
    start = time.perf_counter()
    encoder = choose_encoder("wild-clip", "cpu")
    patches = choose_patch_encoder("embedded", "cpu")
    FeatureStore(FeatureCache(root), encoder, patches).prepare(images, progress=False)
    return time.perf_counter() - start


if __name__ == "__main__":
    tyro.cli(main)
