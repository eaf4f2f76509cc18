"""Pictures with programs for training and measuring."""

from __future__ import annotations

from functools import cached_property

import torch

from lerf_wild.inverse.program_data import (
    asset_names,
    drawn_samples,
    labelled_templates,
    load_samples,
)
from lerf_wild.inverse.program_samples import Batch, Sample, make_batch
from lerf_wild.inverse.program_training import augmented, endless
from lerf_wild.methods.pictures.datamanager import EVAL_SEED, PictureDataManager
from lerf_wild.methods.raw.config import RawDataManagerConfig

VIEWS = 8


class RawDataManager(PictureDataManager):
    """Hands out batches of pictures and programs."""

    def __init__(self, config: RawDataManagerConfig, device: str | torch.device = "cpu") -> None:
        super().__init__(config, device)
        if config.data is None:
            samples = drawn_samples(config.scenes, VIEWS, config.seed)
        else:
            samples = load_samples([config.data, *config.more_data])
        self.assets = asset_names(samples)
        self.templates = labelled_templates(self.assets)
        self.everything = make_batch(samples, self.assets)
        size = min(config.batch_size, len(samples))
        self._batches = endless(self.everything, size, config.seed)
        self._generator = torch.Generator().manual_seed(config.seed)

    def train_batch(self) -> Batch:
        """The next pictures, some of them mirrored."""
        return augmented(next(self._batches), self._generator).to(self.device)

    @cached_property
    def held_out(self) -> list[Sample]:
        """Samples of scenes that training never draws, on which figures are measured."""
        return drawn_samples(self.config.eval_scenes, 1, EVAL_SEED)

    def get_train_rays_per_batch(self) -> int:
        """Pixels in a step: what nerfstudio reports speed in."""
        return self.config.batch_size * self.everything.rgb_N3HW[0, 0].numel()
