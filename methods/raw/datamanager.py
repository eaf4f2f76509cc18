"""Pictures with programs for training and measuring."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from lerf_wild.inverse.program_data import (
    asset_names,
    drawn_samples,
    labelled_templates,
    load_samples,
)
from lerf_wild.inverse.program_samples import Batch, Sample, make_batch
from lerf_wild.inverse.program_training import augmented, endless
from lerf_wild.methods.raw.config import RawDataManagerConfig

EVAL_SEED = 10_000
VIEWS = 8


class RawDataManager(nn.Module):
    """Hands out batches of pictures and programs."""

    def __init__(self, config: RawDataManagerConfig, device: str | torch.device = "cpu") -> None:
        super().__init__()
        self.config, self.device = config, device
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
        self._held_out: list[Sample] = []
        # nerfstudio's trainer asks whether there is something to train on and to measure with.
        self.train_dataset = self.eval_dataset = (len(samples),)

    def train_batch(self) -> Batch:
        """The next pictures, some of them mirrored."""
        return augmented(next(self._batches), self._generator).to(self.device)

    def eval_samples(self) -> list[Sample]:
        """Samples of scenes that training never draws."""
        if not self._held_out:
            self._held_out = drawn_samples(self.config.eval_scenes, 1, EVAL_SEED)
        return self._held_out

    def get_train_rays_per_batch(self) -> int:
        """Pixels in a step: what nerfstudio reports speed in."""
        return self.config.batch_size * self.everything.rgb_N3HW[0, 0].numel()

    def get_datapath(self) -> Path:
        """The folder of shards, or the working folder."""
        return self.config.data or Path()
