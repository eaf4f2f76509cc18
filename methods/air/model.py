"""The network and its loss, under the interface of nerfstudio's models."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from lerf_wild.inverse.primitive_losses import LossWeights, primitive_losses
from lerf_wild.inverse.primitive_network import NetworkSpec, PrimitiveNetwork
from lerf_wild.methods.air.config import AirModelConfig
from lerf_wild.methods.pictures.model import PictureModel
from lerf_wild.render.primitive_scenes import PrimitiveScenes


class AirModel(PictureModel):
    """The network of primitives."""

    def __init__(self, config: AirModelConfig) -> None:
        super().__init__(config)
        spec = NetworkSpec(config.stem, config.fine, config.coarse, config.token)
        self.network = PrimitiveNetwork(spec).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.weights = LossWeights(lateral=config.lateral_weight, rotation=config.rotation_weight)

    def losses(self, images_BHW: Tensor, scenes: PrimitiveScenes) -> dict[str, Tensor]:
        """The weighted parts of the loss."""
        low = self.config.low_precision
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            queries, dense = self.network(images_BHW)
        return primitive_losses(queries, dense, scenes, self.weights)
