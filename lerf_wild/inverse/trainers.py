"""What the trainers of the bundled networks share: the course of the rate, and their files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from lerf_wild.inverse.weight_files import load_tensors, save_tensors


class Trainer(Protocol):
    """A network, its running average and its optimiser."""

    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer


def schedule(index: int, warmup: int, spent: float) -> float:
    """Linear warm-up, then a cosine to 0 as the share of the training that is over nears 1."""
    return min(1.0, (index + 1) / max(warmup, 1)) * 0.5 * (1.0 + math.cos(math.pi * min(spent, 1)))


def write_state(path: Path, trainer: Trainer, about: dict[str, str]) -> None:
    """Writes all that training needs to go on, atomically."""
    tensors = {f"network.{k}": v for k, v in trainer.network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in trainer.average.state_dict().items()}
    for number, state in trainer.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{k}": v for k, v in state.items()}
    save_tensors(path, tensors, about)


def read_state(path: Path, trainer: Trainer) -> dict[str, str]:
    """Goes on from what `write_state` wrote; returns what was written about it.

    Raises:
        ModelFileError: the file is missing or broken.
    """
    tensors, about = load_tensors(path)
    trainer.network.load_state_dict(under("network.", tensors))
    trainer.average.load_state_dict(under("average.", tensors))
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in under("optimiser.", tensors).items():
        number, key = name.split(".", 1)
        states.setdefault(int(number), {})[key] = tensor
    groups = trainer.optimiser.state_dict()["param_groups"]
    trainer.optimiser.load_state_dict({"state": states, "param_groups": groups})
    return about


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, without that beginning."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
