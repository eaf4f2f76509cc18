"""The trainer: nerfstudio's, on whatever device there is, with checkpoints that are whole."""

from __future__ import annotations

import os
from typing import Any

import torch
from nerfstudio.engine.trainer import Trainer
from nerfstudio.utils.decorators import check_main_thread
from nerfstudio.utils.rich_utils import CONSOLE

from lerf_wild.methods.lerf_wild.config import LerfWildTrainerConfig
from lerf_wild.storage.atomic import atomic_path

CPU_RAYS_PER_SECOND = {"lerf-wild-tiny": 5000.0}
"""Measured on two laptop cores; the other sizes manage about CPU_RAYS_OF_OTHERS."""

CPU_RAYS_OF_OTHERS = 300.0


class LerfWildTrainer(Trainer):
    """nerfstudio's trainer, falling back to the CPU and writing checkpoints atomically."""

    config: LerfWildTrainerConfig

    def __init__(
        self, config: LerfWildTrainerConfig, local_rank: int = 0, world_size: int = 1
    ) -> None:
        if config.machine.device_type == "cuda" and not torch.cuda.is_available():
            config.machine.device_type = "cpu"
            CONSOLE.print(cpu_estimate(config), markup=False)
        super().__init__(config, local_rank, world_size)

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Sets up as nerfstudio does, then saves the config with what was chosen meanwhile."""
        self.config.pipeline.run_dir = self.base_dir
        super().setup(*args, **kwargs)
        if self.local_rank == 0:
            self.config.save_config()

    @check_main_thread
    def save_checkpoint(self, step: int) -> None:
        """Writes a checkpoint in the run's folder and moves it to the others when it is whole.

        nerfstudio takes any name in the folder of checkpoints for one, so a kill must not leave a
        temporary file there.
        """
        target = self.checkpoint_dir / f"step-{step:09d}.ckpt"
        state = {
            "step": step,
            "pipeline": getattr(self.pipeline, "module", self.pipeline).state_dict(),
            "optimizers": {k: v.state_dict() for k, v in self.optimizers.optimizers.items()},
            "schedulers": {k: v.state_dict() for k, v in self.optimizers.schedulers.items()},
            "scalers": self.grad_scaler.state_dict(),
        }
        for stale in self.base_dir.glob(".step-*.ckpt.*.tmp"):
            stale.unlink()
        finished = self.base_dir / target.name
        with atomic_path(finished) as temporary:
            torch.save(state, temporary)
        self.checkpoint_dir.mkdir(parents=True, exist_ok=True)
        os.replace(finished, target)
        if self.config.save_only_latest_checkpoint:
            for old in self.checkpoint_dir.glob("step-*.ckpt"):
                if old != target:
                    old.unlink()


def cpu_estimate(config: LerfWildTrainerConfig) -> str:
    """One line on how long training takes without a GPU."""
    rate = CPU_RAYS_PER_SECOND.get(str(config.method_name), CPU_RAYS_OF_OTHERS)
    rays = config.max_num_iterations * config.pipeline.datamanager.train_num_rays_per_batch
    minutes = rays / rate / 60
    span = f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
    advice = "" if config.method_name == "lerf-wild-tiny" else "; lerf-wild-tiny takes minutes"
    return f"No CUDA device: training on the CPU, about {span} on two cores{advice}."
