"""The pipeline: losses of samples, figures of the running average, weights at the end."""

from __future__ import annotations

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
from lerf_wild.inverse.program_evaluation import measure_reader
from lerf_wild.inverse.program_templates import library_templates
from lerf_wild.inverse.program_weights import READER, TEMPLATES, save_reader, save_templates
from lerf_wild.methods.raw.config import RawPipelineConfig
from lerf_wild.methods.raw.datamanager import RawDataManager
from lerf_wild.methods.raw.model import RawModel

EVAL_YAWS = 12
"""Templates an asset while training goes on; more are made at the end."""


class RawPipeline(Pipeline):
    """Samples, reader, figures."""

    datamanager: RawDataManager

    def __init__(
        self,
        config: RawPipelineConfig,
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
        self._model: RawModel = config.model.setup()
        self._model.fit_to(len(self.datamanager.assets))
        self._model.to(device)
        self._generator = torch.Generator().manual_seed(config.datamanager.seed + local_rank)

    def get_train_loss_dict(self, step: int) -> tuple[dict[str, Tensor], dict[str, Tensor], dict]:
        """Losses of the next samples; raises TrainingError where one isn't finite."""
        batch = self.datamanager.train_batch()
        parts = self.model.losses(batch, self.datamanager.templates, self._generator)
        for name, part in parts.items():
            if not torch.isfinite(part):
                raise TrainingError(
                    f"The {name} loss at step {step} is {float(part.detach())}; lower the rate "
                    "with --optimizers.reader.optimizer.lr."
                )
        return {}, parts, {}

    @torch.no_grad()
    def get_eval_loss_dict(self, step: int) -> tuple[dict[str, Tensor], dict[str, Tensor], dict]:
        """Losses on the next samples, without an update."""
        return self.get_train_loss_dict(step)

    def get_eval_image_metrics_and_images(
        self, step: int
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Figures on held-out scenes."""
        samples = self.datamanager.eval_samples()
        return {**self.get_average_eval_image_metrics(step), "num_rays": len(samples)}, {}

    def get_average_eval_image_metrics(
        self, step: int | None = None, output_path: Path | None = None, get_std: bool = False
    ) -> dict[str, Any]:
        """Figures of the running average on held-out scenes; `ns-eval` reports these."""
        reader = self.model.average
        yaws = min(EVAL_YAWS, self.config.template_yaws)
        templates = library_templates(reader.crops, self.datamanager.assets, yaws)
        ground = self.model.ground
        return measure_reader(reader, self.datamanager.eval_samples(), templates, ground)

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> list[TrainingCallback]:
        """The running average after every step, the run's files at the end."""
        return [
            TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], self._after_step, 1),
            TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN], self._write_files),
        ]

    def _after_step(self, step: int) -> None:
        self.model.after_step(step)

    def _write_files(self, step: int) -> None:
        """Writes what `lerf-wild raw --weights FOLDER` reads."""
        if self.config.run_dir is None or self.rank != 0:
            return
        folder, reader = self.config.run_dir, self.model.average
        save_reader(folder / READER, reader, self.datamanager.assets)
        templates = library_templates(
            reader.crops, self.datamanager.assets, self.config.template_yaws
        )
        save_templates(folder / TEMPLATES, templates)

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        """wild-clip's stages, which learn slowly, and all else."""
        named = list(self.model.reader.named_parameters())
        return {
            "reader": [p for name, p in named if ".trunk." not in name],
            "trunk": [p for name, p in named if ".trunk." in name],
        }

    def load_pipeline(self, loaded_state: dict[str, Any], step: int) -> None:
        """Restores reader and average; raises ModelFileError where they don't fit."""
        state = {k.removeprefix("_model."): v for k, v in loaded_state.items()}
        try:
            self.model.load_state_dict(state)
        except RuntimeError as error:
            reason = str(error).split("\n")[0][:120]
            raise ModelFileError(
                f"The checkpoint does not fit this `raw` model: {reason}"
            ) from None
