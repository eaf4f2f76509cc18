"""The pipeline: losses of fresh scenes, figures of the running average, pictures of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
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
from lerf_wild.inverse.primitive_evaluation import measure
from lerf_wild.inverse.primitive_inference import AirModel as Recoverer
from lerf_wild.inverse.primitive_inference import Inferred, infer
from lerf_wild.inverse.primitive_plots import (
    captioned,
    curve_plot,
    save_picture,
    side_by_side,
    write_plots,
)
from lerf_wild.inverse.primitive_plots import write_gif as save_gif
from lerf_wild.inverse.primitive_weights import save_network
from lerf_wild.methods.air.config import AirPipelineConfig
from lerf_wild.methods.air.datamanager import AirDataManager
from lerf_wild.methods.air.model import AirModel

GALLERY = 16
"""Validation images in the gallery and in the frames of the animation."""


class AirPipeline(Pipeline):
    """Scenes, network, figures."""

    datamanager: AirDataManager

    def __init__(
        self,
        config: AirPipelineConfig,
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
        self._model: AirModel = config.model.setup().to(device)
        self.records: list[dict[str, float]] = []
        self.frames: list[np.ndarray] = []

    def get_train_loss_dict(self, step: int) -> tuple[dict[str, Tensor], dict[str, Tensor], dict]:
        """Losses of the step's scenes; raises TrainingError where one isn't finite."""
        images, scenes = self.datamanager.train_batch(step * self.world_size + self.rank)
        parts = self.model.losses(images, scenes)
        for name, part in parts.items():
            if not torch.isfinite(part):
                raise TrainingError(
                    f"The {name} loss at step {step} is {float(part.detach())}; lower the rate "
                    "with --optimizers.network.optimizer.lr."
                )
        return {}, parts, {}

    @torch.no_grad()
    def get_eval_loss_dict(self, step: int) -> tuple[dict[str, Tensor], dict[str, Tensor], dict]:
        """Losses on validation scenes."""
        images, scenes = self.datamanager.eval_batch(self.datamanager.config.batch_size)
        scenes = self.datamanager.setup.to_picture(scenes).to(self.device)
        self.eval()
        parts = self.model.losses(images.to(self.device), scenes)
        self.train()
        return {}, parts, {}

    def get_eval_image_metrics_and_images(
        self, step: int
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Figures on validation scenes, and a gallery; both are also kept for the run's files."""
        images, truth = self.datamanager.eval_batch(self.datamanager.config.eval_scenes)
        inferred = self._infer(images)
        figures = {k: v for k, v in measure(inferred, truth).items() if np.isfinite(v)}
        view = self.datamanager.setup.view
        gallery = side_by_side(images[:GALLERY], inferred.scenes[:GALLERY], view)
        self.records.append({"step": float(step), **figures})
        # Every other pixel: pictures in the gallery are twice their size.
        caption = f"step {step}: input, answer of the network alone, difference"
        self.frames.append(captioned(gallery[::2, ::2], caption))
        picture = torch.from_numpy(gallery).float() / 255.0
        return {**figures, "num_rays": images.numel()}, {"gallery": picture}

    def get_average_eval_image_metrics(
        self, step: int | None = None, output_path: Path | None = None, get_std: bool = False
    ) -> dict[str, Any]:
        """Figures of the running average without refinement; `ns-eval` reports these."""
        images, truth = self.datamanager.eval_batch(self.datamanager.config.eval_scenes)
        inferred = self._infer(images)
        if output_path is not None:
            write_plots(output_path, images, inferred, truth, self.datamanager.setup)
        return {k: v for k, v in measure(inferred, truth).items() if np.isfinite(v)}

    def _infer(self, images: Tensor) -> Inferred:
        return infer(Recoverer(self.model.average, self.datamanager.setup), images)

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
        """Writes weights for `lerf-wild air`, plots, curves and the animation."""
        if self.config.run_dir is None or self.rank != 0:
            return
        folder, setup = self.config.run_dir, self.datamanager.setup
        save_network(folder / "air.safetensors", self.model.average, {"setup": setup.name})
        if not self.records or self.records[-1]["step"] < step:
            self.get_eval_image_metrics_and_images(step)
        images, truth = self.datamanager.eval_batch(self.datamanager.config.eval_scenes)
        write_plots(folder, images, self._infer(images), truth, setup)
        if len(self.records) > 1:
            names = [
                n for n in self.records[0] if n.endswith(("_exact", "_accuracy", "_mae", "_deg"))
            ]
            save_picture(folder / "curves.png", curve_plot(self.records, names))
            save_gif(folder / "training.gif", self.frames)

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        """One group: the network."""
        return {"network": list(self.model.network.parameters())}

    def load_pipeline(self, loaded_state: dict[str, Any], step: int) -> None:
        """Restores network and average; raises ModelFileError where they don't fit."""
        state = {k.removeprefix("_model."): v for k, v in loaded_state.items()}
        try:
            self.model.load_state_dict(state)
        except RuntimeError as error:
            reason = str(error).split("\n")[0][:120]
            raise ModelFileError(
                f"The checkpoint does not fit this `air` model: {reason}"
            ) from None
