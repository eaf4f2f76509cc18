"""The trainer: checkpoints that are whole, any device, no viewer."""

from __future__ import annotations

from lerf_wild.methods.air.config import AirTrainerConfig
from lerf_wild.methods.pictures.trainer import PictureTrainer


class AirTrainer(PictureTrainer):
    """The trainer of methods on pictures, and how fast air is."""

    config: AirTrainerConfig
    cpu_pictures_per_second = 150.0
