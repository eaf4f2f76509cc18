"""The pipeline: losses of crops, figures of the running average, weights at the end."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import Parameter

from lerf_wild.inverse.animal_evaluation import measure
from lerf_wild.inverse.animal_weights import save_network
from lerf_wild.methods.genzoo.datamanager import GenzooDataManager
from lerf_wild.methods.genzoo.model import GenzooModel
from lerf_wild.methods.pictures.pipeline import PicturePipeline

WEIGHTS = "genzoo.safetensors"


class GenzooPipeline(PicturePipeline):
    """Pictures, network, figures."""

    method = "genzoo"
    datamanager: GenzooDataManager
    model: GenzooModel

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        """Large matrices inside of the network, and all that takes AdamW's steps."""
        inner, outer = self.model.network.inner_and_outer()
        return {"network": inner, "network_rest": outer}

    def train_losses(self, step: int) -> dict[str, Tensor]:
        """Losses of the step's crops."""
        self.model.before_step(step)
        size = self.config.model.input_px
        batch = self.datamanager.train_batch(step * self.world_size + self.rank, size)
        return self.model.losses(batch)

    def eval_losses(self) -> dict[str, Tensor]:
        """Losses on validation pictures."""
        return self.model.losses(self.datamanager.eval_batch(self.config.model.input_px))

    def get_average_eval_image_metrics(
        self, step: int | None = None, output_path: Path | None = None, get_std: bool = False
    ) -> dict[str, Any]:
        """Figures of the running average on validation pictures; `ns-eval` reports these."""
        network = copy.deepcopy(self.model.average).cpu()
        return measure(network, self.datamanager.held_out)

    def write_files(self, folder: Path, step: int) -> None:
        """Writes what `lerf-wild animal infer --weights FILE` reads."""
        about = {
            "body": self.datamanager.model.sha256,
            "pictures": str(len(self.datamanager.samples)),
            "steps": str(step),
        }
        save_network(folder / WEIGHTS, self.model.average, about)
