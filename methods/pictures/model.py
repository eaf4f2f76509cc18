"""A network and its running average, under the interface of nerfstudio's models."""

from __future__ import annotations

import torch
from torch import nn

from lerf_wild.inverse.averaging import update_average
from lerf_wild.methods.pictures.config import PictureModelConfig


class PictureModel(nn.Module):
    """What is trained, and what is used."""

    main_part = "network"
    """Attribute that holds what is trained; its group of parameters is called the same."""
    average: nn.Module

    def __init__(self, config: PictureModelConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.parameters()).device

    def train(self, mode: bool = True) -> PictureModel:
        """Switches the network; the average always predicts."""
        super().train(mode)
        self.average.eval()
        return self

    def after_step(self, step: int) -> None:
        """Moves the running average towards the network."""
        network = getattr(self, self.main_part)
        update_average(self.average, network, step, self.config.averaging)
