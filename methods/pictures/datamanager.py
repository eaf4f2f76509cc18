"""What hands out pictures whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

EVAL_SEED = 10_000
"""Validation draws from seeds 10,000 and above; training and the test sets never do."""


class PictureDataManager(nn.Module):
    """A datamanager without cameras."""

    train_dataset = eval_dataset = ("pictures",)
    """nerfstudio's trainer asks whether there is something to train on and to measure with."""

    def __init__(self, config: Any, device: str | torch.device = "cpu") -> None:
        super().__init__()
        self.config, self.device = config, device

    def step_generator(self, step: int) -> torch.Generator:
        """The generator of a step, so that a resumed run sees what it would have seen."""
        return torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)

    def get_datapath(self) -> Path:
        """The folder of shards, or the working folder."""
        return self.config.data or Path()
