"""Running averages of weights, which are what is measured, kept and used."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Moves a running average towards the network, normalisation's statistics too.

    Early values are forgotten faster: the decay rises to the one given as the steps go on.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for mean, value in zip(average.state_dict().values(), network.state_dict().values()):
        if mean.is_floating_point():
            mean.lerp_(value, 1.0 - decay)
        else:
            mean.copy_(value)
