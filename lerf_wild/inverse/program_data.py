"""Samples for the program reader: from shards, or drawn as they are needed; and its templates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from lerf_wild.assets.scene_assets import load_individual
from lerf_wild.errors import DatasetError
from lerf_wild.inverse.program_detector import SIZE
from lerf_wild.inverse.program_reader import LabelledCrops
from lerf_wild.inverse.program_samples import Sample
from lerf_wild.inverse.program_templates import template_crops
from lerf_wild.synth.raw_data import RawJob, decode
from lerf_wild.synth.shards import read_dataset

TEMPLATES_EACH = 3


def load_samples(folders: Sequence[Path]) -> list[Sample]:
    """All samples of datasets that `synth raw` wrote.

    Raises:
        DatasetError: when there is none, one is broken, or its pictures have not 256 pixels a side.
    """
    samples = []
    for folder in folders:
        for key, parts in read_dataset(folder):
            sample = Sample(*decode(key, parts))
            if sample.rgb.shape != (SIZE, SIZE, 3):
                raise DatasetError(f"{folder}: {key} is not {SIZE} x {SIZE}; write it with --size.")
            samples.append(sample)
    if not samples:
        raise DatasetError(f"{folders[0] if folders else '-'}: holds no sample.")
    return samples


def drawn_samples(
    scenes: int, views: int, seed: int, pool: str = "starter", first: int = 0
) -> list[Sample]:
    """Samples of freshly drawn scenes; the same seed gives the same ones."""
    job = RawJob(seed=seed, views=views, pool=pool)
    parts = [pair for scene in range(first, first + scenes) for pair in job(scene)]
    return [Sample(*decode(key, sample)) for key, sample in parts]


def asset_names(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Names of all assets in samples, in the order of their prototypes."""
    names = {item.asset for sample in samples for item in sample.program.objects}
    return tuple(sorted(name for name in names if name is not None))


def labelled_templates(
    names: Sequence[str], each: int = TEMPLATES_EACH, seed: int = 5
) -> LabelledCrops:
    """A few templates of each asset at random yaws, with its number."""
    rng = np.random.default_rng(seed)
    crops = [
        template_crops(load_individual(name), rng.uniform(0, 2 * np.pi, each), i)
        for i, name in enumerate(names)
    ]
    numbers = torch.arange(len(names)).repeat_interleave(each)
    return LabelledCrops((torch.cat(crops) * 255).to(torch.uint8), numbers)
