"""The pipeline: losses of pictures, figures of the running average, files at the end."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from nerfstudio.engine.callbacks import (
    TrainingCallback,
    TrainingCallbackAttributes,
    TrainingCallbackLocation,
)
from nerfstudio.pipelines.base_pipeline import Pipeline
from torch import Tensor
from torch.nn import Parameter

from lerf_wild.errors import ModelFileError, TrainingError
from lerf_wild.methods.pictures.config import PicturePipelineConfig
from lerf_wild.methods.pictures.model import PictureModel

Losses = tuple[dict[str, Tensor], dict[str, Tensor], dict]
"""Outputs, parts of the loss and metrics, as nerfstudio's trainer takes them."""


class PicturePipeline(Pipeline):
    """Pictures, network, figures."""

    method: str
    """Name of the method."""

    def __init__(
        self,
        config: PicturePipelineConfig,
        device: str | torch.device,
        test_mode: str = "val",
        world_size: int = 1,
        local_rank: int = 0,
        grad_scaler: Any = None,
    ) -> None:
        super().__init__()
        self.config, self.world_size, self.rank = config, world_size, local_rank
        self.datamanager = config.datamanager.setup(device=device)
        torch.manual_seed(config.datamanager.seed)
        self._model = self.make_model().to(device)

    def make_model(self) -> PictureModel:
        """The model of the config; the datamanager is there already."""
        return self.config.model.setup()

    @abstractmethod
    def train_losses(self, step: int) -> dict[str, Tensor]:
        """The weighted parts of the loss of a step."""

    @abstractmethod
    def eval_losses(self) -> dict[str, Tensor]:
        """The weighted parts of the loss of validation pictures."""

    @abstractmethod
    def write_files(self, folder: Path, step: int) -> None:
        """Writes the run's weights, and what else there is, when training ends."""

    def get_train_loss_dict(self, step: int) -> Losses:
        """Losses of the step's pictures; raises TrainingError where one isn't finite."""
        parts = self.train_losses(step)
        for name, part in parts.items():
            if not torch.isfinite(part):
                raise TrainingError(
                    f"The {name} loss at step {step} is {float(part.detach())}; lower the rate "
                    f"with --optimizers.{self.model.main_part}.optimizer.lr."
                )
        return {}, parts, {}

    @torch.no_grad()
    def get_eval_loss_dict(self, step: int) -> Losses:
        """Losses on validation pictures."""
        self.eval()
        parts = self.eval_losses()
        self.train()
        return {}, parts, {}

    def get_eval_image_metrics_and_images(
        self, step: int
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Figures on validation pictures."""
        count = len(self.datamanager.held_out)
        return {**self.get_average_eval_image_metrics(step), "num_rays": count}, {}

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> list[TrainingCallback]:
        """The running average after every step, the run's files at the end."""
        return [
            TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], self._after_step, 1),
            TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN], self._after_training),
        ]

    def _after_step(self, step: int) -> None:
        self.model.after_step(step)

    def _after_training(self, step: int) -> None:
        if self.config.run_dir is not None and self.rank == 0:
            self.write_files(self.config.run_dir, step)

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        """One group: what is trained. The average has no gradient."""
        name = self.model.main_part
        return {name: list(getattr(self.model, name).parameters())}

    def load_pipeline(self, loaded_state: dict[str, Any], step: int) -> None:
        """Restores network and average; raises ModelFileError where they don't fit."""
        state = {k.removeprefix("_model."): v for k, v in loaded_state.items()}
        try:
            self.model.load_state_dict(state)
        except RuntimeError as error:
            reason = str(error).split("\n")[0][:120]
            raise ModelFileError(
                f"The checkpoint does not fit this `{self.method}` model: {reason}"
            ) from None
