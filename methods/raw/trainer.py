"""The trainer: checkpoints that are whole, any device, no viewer."""

from __future__ import annotations

from lerf_wild.methods.pictures.trainer import PictureTrainer
from lerf_wild.methods.raw.config import RawTrainerConfig


class RawTrainer(PictureTrainer):
    """The trainer of methods on pictures, and how fast raw is."""

    config: RawTrainerConfig
    cpu_pictures_per_second = 25.0
