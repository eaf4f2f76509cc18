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
from lerf_wild.inverse.program_training import augmented, rows_of_step
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

    def train_batch(self, step: int) -> Batch:
        """The pictures of a step, some of them mirrored; the same step always gets the same."""
        count, seed = len(self.everything.rgb_N3HW), self.config.seed
        rows = rows_of_step(count, self.config.batch_size, seed, step)
        return augmented(self.everything.rows(rows), self.step_generator(step)).to(self.device)

    def eval_batch(self) -> Batch:
        """Validation pictures; assets that training hasn't have no number."""
        return make_batch(self.held_out[: self.config.batch_size], self.assets).to(self.device)

    @cached_property
    def held_out(self) -> list[Sample]:
        """Samples of scenes that training never draws, on which figures are measured."""
        return drawn_samples(self.config.eval_scenes, 1, EVAL_SEED)

    def get_train_rays_per_batch(self) -> int:
        """Pixels in a step: what nerfstudio reports speed in."""
        return self.config.batch_size * self.everything.rgb_N3HW[0, 0].numel()
