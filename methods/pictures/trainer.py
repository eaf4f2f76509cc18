"""The trainer: checkpoints that are whole, any device, no viewer."""

from __future__ import annotations

from typing import Any

import torch
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.utils.rich_utils import CONSOLE

from lerf_wild.methods.lerf_wild.trainer import LerfWildTrainer


class PictureTrainer(LerfWildTrainer):
    """lerf-wild's trainer for a method that has no scene to walk through."""

    cpu_pictures_per_second: float
    """Measured on one core with bfloat16 instructions; half of that without."""

    def __init__(self, config: TrainerConfig, local_rank: int = 0, world_size: int = 1) -> None:
        if config.machine.device_type == "cuda" and not torch.cuda.is_available():
            config.machine.device_type = "cpu"
            CONSOLE.print(self._cpu_estimate(config))
        if config.is_viewer_enabled() or config.is_viewer_legacy_enabled():
            config.vis = "tensorboard"
            CONSOLE.print(
                f"{config.method_name} has no scene to walk through: logging to tensorboard "
                "instead."
            )
        super().__init__(config, local_rank, world_size)

    def _cpu_estimate(self, config: Any) -> str:
        pictures = config.max_num_iterations * config.pipeline.datamanager.batch_size
        minutes = pictures / self.cpu_pictures_per_second / 60
        return f"No CUDA device: training on the CPU, about {minutes:.0f} minutes."
