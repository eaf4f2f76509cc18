"""The pipeline: losses of samples, figures of the running average, weights at the end."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from lerf_wild.assets.recipes import STARTERS
from lerf_wild.inverse.program_candidates import boxes_seen
from lerf_wild.inverse.program_counting import fit_counting
from lerf_wild.inverse.program_detector import SIZE
from lerf_wild.inverse.program_evaluation import measure_reader
from lerf_wild.inverse.program_reader import ProgramReader
from lerf_wild.inverse.program_templates import library_templates
from lerf_wild.inverse.program_weights import READER, TEMPLATES, save_reader, save_templates
from lerf_wild.methods.pictures.pipeline import Losses, PicturePipeline
from lerf_wild.methods.raw.config import RawPipelineConfig
from lerf_wild.methods.raw.datamanager import RawDataManager
from lerf_wild.methods.raw.model import RawModel

EVAL_YAWS = 12
"""Templates an asset while training goes on; more are made at the end."""


class RawPipeline(PicturePipeline):
    """Samples, reader, figures."""

    method = "raw"
    datamanager: RawDataManager
    model: RawModel

    def __init__(self, config: RawPipelineConfig, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self._generator = torch.Generator().manual_seed(config.datamanager.seed + self.rank)

    def make_model(self) -> RawModel:
        """The reader of the training's assets."""
        model = self.config.model.setup(assets=len(self.datamanager.assets))
        model.reader.names = model.average.names = self.datamanager.assets
        return model

    def train_losses(self, step: int) -> dict[str, Tensor]:
        """Losses of the next samples."""
        batch = self.datamanager.train_batch()
        return self.model.losses(batch, self.datamanager.templates, self._generator)

    @torch.no_grad()
    def get_eval_loss_dict(self, step: int) -> Losses:
        """Losses on the next samples, without an update."""
        return self.get_train_loss_dict(step)

    def get_average_eval_image_metrics(
        self, step: int | None = None, output_path: Path | None = None, get_std: bool = False
    ) -> dict[str, Any]:
        """Figures of the running average on held-out scenes; `ns-eval` reports these."""
        reader = self._average_on_cpu()
        yaws = min(EVAL_YAWS, self.config.template_yaws)
        templates = library_templates(reader.crops, self.datamanager.assets, yaws)
        ground = self.model.ground.cpu()
        return measure_reader(reader, self.datamanager.held_out, templates, ground)

    def write_files(self, folder: Path, step: int) -> None:
        """Writes what `lerf-wild raw --weights FOLDER` reads.

        Which boxes count is found on the held out scenes. Templates are those of the whole starter
        library, as an asset needs no training to be found.
        """
        reader = self._average_on_cpu()
        fit_counting(
            reader.detector.counting, boxes_seen(reader.detector, self.datamanager.held_out), SIZE
        )
        save_reader(folder / READER, reader, self.datamanager.assets)
        templates = library_templates(reader.crops, tuple(STARTERS), self.config.template_yaws)
        save_templates(folder / TEMPLATES, templates)

    def _average_on_cpu(self) -> ProgramReader:
        """A copy where pictures are read and templates drawn."""
        return copy.deepcopy(self.model.average).cpu()

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        """wild-clip's stages, which learn slowly, and all else."""
        named = list(self.model.reader.named_parameters())
        return {
            "reader": [p for name, p in named if ".trunk." not in name],
            "trunk": [p for name, p in named if ".trunk." in name],
        }
