"""The trainer: checkpoints that are whole, any device, no viewer."""

from __future__ import annotations

from lerf_wild.methods.genzoo.config import GenzooTrainerConfig
from lerf_wild.methods.pictures.trainer import PictureTrainer


class GenzooTrainer(PictureTrainer):
    """The trainer of methods on pictures, and how fast genzoo is."""

    config: GenzooTrainerConfig
    cpu_pictures_per_second = 100.0
