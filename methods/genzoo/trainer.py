"""The trainer: checkpoints that are whole, any device, no viewer."""

from __future__ import annotations

from typing import Any

import torch
from nerfstudio.utils.rich_utils import CONSOLE

from lerf_wild.methods.genzoo.config import GenzooTrainerConfig
from lerf_wild.methods.lerf_wild.trainer import LerfWildTrainer

CPU_PICTURES_PER_SECOND = 100.0
"""Measured on one core with bfloat16 instructions; half of that without."""


class GenzooTrainer(LerfWildTrainer):
    """lerf-wild's trainer for a method that has no scene to walk through."""

    config: GenzooTrainerConfig

    def __init__(
        self, config: GenzooTrainerConfig, local_rank: int = 0, world_size: int = 1
    ) -> None:
        if config.machine.device_type == "cuda" and not torch.cuda.is_available():
            config.machine.device_type = "cpu"
            pictures = config.max_num_iterations * config.pipeline.datamanager.batch_size
            minutes = pictures / CPU_PICTURES_PER_SECOND / 60
            CONSOLE.print(f"No CUDA device: training on the CPU, about {minutes:.0f} minutes.")
        if config.is_viewer_enabled() or config.is_viewer_legacy_enabled():
            config.vis = "tensorboard"
            CONSOLE.print("genzoo has no scene to walk through: logging to tensorboard instead.")
        super().__init__(config, local_rank, world_size)

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Sets up as lerf-wild's trainer does, in the run's own folder."""
        self.config.pipeline.run_dir = self.base_dir
        super().setup(*args, **kwargs)
