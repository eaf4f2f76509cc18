"""The pipeline: losses of samples, figures of the running average, weights at the end."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import Parameter

from lerf_wild.assets.recipes import STARTERS
from lerf_wild.inverse.program_candidates import boxes_seen
from lerf_wild.inverse.program_counting import fit_counting
from lerf_wild.inverse.program_detector import SIZE
from lerf_wild.inverse.program_evaluation import measure_reader
from lerf_wild.inverse.program_reader import ProgramReader
from lerf_wild.inverse.program_templates import library_templates
from lerf_wild.inverse.program_training import SIDES
from lerf_wild.inverse.program_weights import READER, TEMPLATES, save_reader, save_templates
from lerf_wild.methods.pictures.pipeline import PicturePipeline
from lerf_wild.methods.raw.datamanager import RawDataManager
from lerf_wild.methods.raw.model import RawModel

EVAL_YAWS = 12
"""Templates an asset while training goes on; more are made at the end."""


class RawPipeline(PicturePipeline):
    """Samples, reader, figures."""

    method = "raw"
    datamanager: RawDataManager
    model: RawModel

    def make_model(self) -> RawModel:
        """The reader of the training's assets."""
        return self.config.model.setup(assets=self.datamanager.assets)

    def train_losses(self, step: int) -> dict[str, Tensor]:
        """Losses of the step's pictures."""
        draw = step * self.world_size + self.rank
        manager = self.datamanager
        side = SIDES[step % len(SIDES)]
        generator = manager.step_generator(draw)
        return self.model.losses(manager.train_batch(draw), manager.templates, generator, side)

    def eval_losses(self) -> dict[str, Tensor]:
        """Losses on validation pictures, always with the same noise."""
        manager = self.datamanager
        generator = manager.step_generator(0)
        return self.model.losses(manager.eval_batch(), manager.templates, generator)

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
