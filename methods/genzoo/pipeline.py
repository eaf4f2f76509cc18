"""The pipeline: losses of crops, figures of the running average, weights at the end."""

from __future__ import annotations

import copy
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
from lerf_wild.inverse.animal_evaluation import measure
from lerf_wild.inverse.animal_weights import save_network
from lerf_wild.methods.genzoo.config import GenzooPipelineConfig
from lerf_wild.methods.genzoo.datamanager import GenzooDataManager
from lerf_wild.methods.genzoo.model import GenzooModel

WEIGHTS = "genzoo.safetensors"


class GenzooPipeline(Pipeline):
    """Pictures, network, figures."""

    datamanager: GenzooDataManager

    def __init__(
        self,
        config: GenzooPipelineConfig,
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
        self._model: GenzooModel = config.model.setup().to(device)

    def get_train_loss_dict(self, step: int) -> tuple[dict[str, Tensor], dict[str, Tensor], dict]:
        """Losses of the step's crops; raises TrainingError where one isn't finite."""
        size = self.config.model.input_px
        batch = self.datamanager.train_batch(step * self.world_size + self.rank, size)
        parts = self.model.losses(batch)
        for name, part in parts.items():
            if not torch.isfinite(part):
                raise TrainingError(
                    f"The {name} loss at step {step} is {float(part.detach())}; lower the rate "
                    "with --optimizers.network.optimizer.lr."
                )
        return {}, parts, {}

    @torch.no_grad()
    def get_eval_loss_dict(self, step: int) -> tuple[dict[str, Tensor], dict[str, Tensor], dict]:
        """Losses on validation pictures."""
        self.eval()
        parts = self.model.losses(self.datamanager.eval_batch(self.config.model.input_px))
        self.train()
        return {}, parts, {}

    def get_eval_image_metrics_and_images(
        self, step: int
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Figures on validation pictures."""
        count = len(self.datamanager.held_out)
        return {**self.get_average_eval_image_metrics(step), "num_rays": count}, {}

    def get_average_eval_image_metrics(
        self, step: int | None = None, output_path: Path | None = None, get_std: bool = False
    ) -> dict[str, Any]:
        """Figures of the running average on validation pictures; `ns-eval` reports these."""
        network = copy.deepcopy(self.model.average).cpu()
        return measure(network, self.datamanager.held_out)

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> list[TrainingCallback]:
        """The running average after every step, the weights at the end."""
        return [
            TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], self._after_step, 1),
            TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN], self._write_weights),
        ]

    def _after_step(self, step: int) -> None:
        self.model.after_step(step)

    def _write_weights(self, step: int) -> None:
        """Writes what `lerf-wild animal infer --weights FILE` reads."""
        if self.config.run_dir is None or self.rank != 0:
            return
        about = {
            "body": self.datamanager.model.sha256,
            "pictures": str(len(self.datamanager.samples)),
            "steps": str(step),
        }
        save_network(self.config.run_dir / WEIGHTS, self.model.average, about)

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        """The network's parameters; the average has no gradient."""
        return {"network": list(self.model.network.parameters())}

    def load_pipeline(self, loaded_state: dict[str, Any], step: int) -> None:
        """Restores network and average; raises ModelFileError where they don't fit."""
        state = {k.removeprefix("_model."): v for k, v in loaded_state.items()}
        try:
            self.model.load_state_dict(state)
        except RuntimeError as error:
            reason = str(error).split("\n")[0][:120]
            raise ModelFileError(
                f"The checkpoint does not fit this `genzoo` model: {reason}"
            ) from None
