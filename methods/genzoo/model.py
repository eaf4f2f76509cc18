"""The network and its loss, under the interface of nerfstudio's models."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.errors import ModelFileError
from lerf_wild.inverse.animal_bodies import body_part
from lerf_wild.inverse.animal_losses import LossWeights, answers_losses
from lerf_wild.inverse.animal_network import POSE_SHARE, AnimalNetwork, NetworkSpec
from lerf_wild.inverse.animal_samples import AnimalBatch
from lerf_wild.inverse.animal_training import SKIN_EVERY
from lerf_wild.inverse.animal_weights import load_network
from lerf_wild.methods.genzoo.config import GenzooModelConfig
from lerf_wild.methods.pictures.model import PictureModel


class GenzooModel(PictureModel):
    """The regressor of animals."""

    def __init__(self, config: GenzooModelConfig) -> None:
        super().__init__(config)
        model = load_quadruped().model
        spec = NetworkSpec(
            input_px=config.input_px,
            backbone=config.backbone,
            raw_rotations=config.raw_rotations,
        )
        self.network = AnimalNetwork(spec, model)
        if config.initial is not None:
            self._begin_with(config, model.sha256)
        self.network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.part = body_part(model, SKIN_EVERY)
        self.weights = LossWeights(
            config.projection_weight, config.rotation_weight, config.shape_weight
        )

    def _begin_with(self, config: GenzooModelConfig, body_sha256: str) -> None:
        earlier, _ = load_network(config.initial, body_sha256)
        try:
            self.network.load_state_dict(earlier.state_dict())
        except RuntimeError:
            raise ModelFileError(
                f"{config.initial}: weights of another network ({earlier.spec.backbone}); give the "
                "same --pipeline.model.backbone."
            ) from None

    def before_step(self, step: int) -> None:
        """Lets the pose's gradient through to the features once the opening is over."""
        opening = 0 if self.config.initial is not None else self.config.opening_steps
        self.network.pose_share = POSE_SHARE if step < opening else 1.0

    def losses(self, batch: AnimalBatch) -> dict[str, Tensor]:
        """The weighted parts of the loss."""
        crops = batch.crops_B3SS.contiguous(memory_format=torch.channels_last)
        low = self.config.low_precision
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            answers = self.network.answers(crops)
        return answers_losses(answers, batch, self.part.to(self.device), self.weights)
