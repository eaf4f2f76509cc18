"""The pipeline: losses of fresh scenes, figures of the running average, pictures of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

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
from lerf_wild.methods.pictures.pipeline import PicturePipeline

GALLERY = 16
"""Validation images in the gallery and in the frames of the animation."""


class AirPipeline(PicturePipeline):
    """Scenes, network, figures."""

    method = "air"
    datamanager: AirDataManager
    model: AirModel

    def __init__(self, config: AirPipelineConfig, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self.records: list[dict[str, float]] = []
        self.frames: list[np.ndarray] = []

    def train_losses(self, step: int) -> dict[str, Tensor]:
        """Losses of the step's scenes."""
        images, scenes = self.datamanager.train_batch(step * self.world_size + self.rank)
        return self.model.losses(images, scenes)

    def eval_losses(self) -> dict[str, Tensor]:
        """Losses on validation scenes."""
        images, scenes = self.datamanager.eval_batch(self.datamanager.config.batch_size)
        scenes = self.datamanager.setup.to_picture(scenes).to(self.device)
        return self.model.losses(images.to(self.device), scenes)

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

    def write_files(self, folder: Path, step: int) -> None:
        """Writes weights for `lerf-wild air`, plots, curves and the animation."""
        setup = self.datamanager.setup
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
