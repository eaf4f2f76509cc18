"""The network and its running average, under the interface of nerfstudio's models."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from lerf_wild.inverse.primitive_losses import LossWeights, primitive_losses
from lerf_wild.inverse.primitive_network import NetworkSpec, PrimitiveNetwork
from lerf_wild.inverse.primitive_training import update_average
from lerf_wild.methods.air.config import AirModelConfig
from lerf_wild.render.primitive_scenes import PrimitiveScenes


class AirModel(nn.Module):
    """What is trained, and what is used."""

    def __init__(self, config: AirModelConfig) -> None:
        super().__init__()
        self.config = config
        spec = NetworkSpec(config.stem, config.fine, config.coarse, config.token)
        self.network = PrimitiveNetwork(spec).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.weights = LossWeights(lateral=config.lateral_weight, rotation=config.rotation_weight)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.places.device

    def train(self, mode: bool = True) -> AirModel:
        """Switches the network; the average always predicts."""
        super().train(mode)
        self.average.eval()
        return self

    def losses(self, images_BHW: Tensor, scenes: PrimitiveScenes) -> dict[str, Tensor]:
        """The weighted parts of the loss."""
        low = self.config.low_precision
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            queries, dense = self.network(images_BHW)
        return primitive_losses(queries, dense, scenes, self.weights)

    def after_step(self, step: int) -> None:
        """Moves the running average towards the network."""
        update_average(self.average, self.network, step, self.config.averaging)
