"""Generated pictures for training and measuring."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch

from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.inverse.animal_augmentation import training_batch
from lerf_wild.inverse.animal_bodies import joint_body
from lerf_wild.inverse.animal_samples import (
    AnimalBatch,
    AnimalSamples,
    collect,
    load_samples,
    plain_batch,
)
from lerf_wild.methods.genzoo.config import GenzooDataManagerConfig
from lerf_wild.methods.pictures.datamanager import EVAL_SEED, PictureDataManager
from lerf_wild.synth.genzoo import GenzooJob, make_samples

DRAWN_PX = 128


class GenzooDataManager(PictureDataManager):
    """Hands out crops; the same step always gets the same ones."""

    def __init__(self, config: GenzooDataManagerConfig, device: str | torch.device = "cpu") -> None:
        super().__init__(config, device)
        self.model = load_quadruped().model
        self.body = joint_body(self.model)
        self.samples = self._samples(config.data, "train", config.pictures, config.seed)

    def _samples(self, folder: Path | None, split: str, count: int, seed: int) -> AnimalSamples:
        if folder is not None:
            return load_samples(folder, self.body, self.model.sha256)
        job = GenzooJob(seed, DRAWN_PX, split, signals=False)
        drawn = (sample for number in range(count) for sample in make_samples(job, number))
        return collect(drawn, self.body)

    @cached_property
    def held_out(self) -> AnimalSamples:
        """Pictures of the validation split, on which figures are measured."""
        count = self.config.eval_pictures
        found = self._samples(self.config.eval_data, "val", count, EVAL_SEED)
        return found.rows(slice(0, count))

    def train_batch(self, step: int, size: int) -> AnimalBatch:
        """Crops of a step."""
        generator = self.step_generator(step)
        count = self.config.batch_size
        rows = torch.randint(len(self.samples), (count,), generator=generator)
        chosen = self.samples.rows(rows)
        batch = training_batch(chosen, self.body, size, generator, self.config.augment)
        return batch.to(self.device)

    def eval_batch(self, size: int) -> AnimalBatch:
        """Plain crops of validation pictures."""
        chosen = self.held_out.rows(slice(0, self.config.batch_size))
        return plain_batch(chosen, self.body, size).to(self.device)

    def get_train_rays_per_batch(self) -> int:
        """Crops in a step: what nerfstudio reports speed in."""
        return self.config.batch_size
