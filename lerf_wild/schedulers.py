"""Learning-rate schedules that put plain Python floats into a checkpoint.

nerfstudio 1.1.5 computes its rates with numpy; the numpy scalars end up in the state of the
optimiser, and torch >= 2.6 refuses to load such a file (nerfstudio issue 3683). The schedules here
leave nothing but floats; the exponential one has the same shape as nerfstudio's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


def exponential_rate(
    step: int,
    lr_init: float,
    lr_final: float,
    max_steps: int,
    warmup_steps: int = 0,
    lr_pre_warmup: float = 1e-8,
) -> float:
    """Returns the learning rate at a step: a cosine ramp up, then a straight line in log space.

    After `max_steps` the rate stays at `lr_final`.
    """
    if step < warmup_steps:
        ramp = math.sin(0.5 * math.pi * step / warmup_steps)
        return lr_pre_warmup + (lr_init - lr_pre_warmup) * ramp
    progress = min(max((step - warmup_steps) / max(max_steps - warmup_steps, 1), 0.0), 1.0)
    return math.exp(math.log(lr_init) * (1 - progress) + math.log(lr_final) * progress)


def linear_share(step: int, steps: int, warmup: int, decay_share: float) -> float:
    """Returns the share of the peak rate at a step: warm-up, plateau, straight line to 0."""
    rising = min(1.0, (step + 1) / max(warmup, 1))
    decay = max(decay_share * steps, 1.0)
    falling = min(1.0, max(0.0, (steps - step) / decay))
    return min(rising, falling)


@dataclass
class ExponentialDecayConfig:
    """Exponential decay with an optional warm-up; fits the scheduler slot of nerfstudio."""

    lr_final: float | None = None
    """Rate from max_steps on; the optimiser's own rate when left out."""
    max_steps: int = 30_000
    """Step at which lr_final is reached."""
    warmup_steps: int = 0
    """Steps over which the rate rises to the optimiser's own."""
    lr_pre_warmup: float = 1e-8
    """Rate at step 0 when there is a warm-up."""

    def setup(self) -> ExponentialDecayConfig:
        """Returns itself: there is no state outside the torch scheduler."""
        return self

    def get_scheduler(
        self, optimizer: torch.optim.Optimizer, lr_init: float
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Returns the torch scheduler of this schedule for an optimiser."""

        def factor(step: int) -> float:
            lr_final = lr_init if self.lr_final is None else self.lr_final
            rate = exponential_rate(
                step, lr_init, lr_final, self.max_steps, self.warmup_steps, self.lr_pre_warmup
            )
            return rate / lr_init

        return torch.optim.lr_scheduler.LambdaLR(optimizer, lr_lambda=factor)


@dataclass
class LinearDecayConfig:
    """Warm-up, plateau, linear decay to 0; fits the scheduler slot of nerfstudio."""

    steps: int = 6000
    """Step at which the rate is 0; set it together with --max-num-iterations."""
    warmup: int = 300
    """Steps over which the rate rises."""
    decay_share: float = 0.4
    """Share of the steps over which the rate falls."""

    def setup(self) -> LinearDecayConfig:
        """Returns itself: there is no state outside the torch scheduler."""
        return self

    def get_scheduler(
        self, optimizer: torch.optim.Optimizer, lr_init: float
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Returns the torch scheduler of this schedule for an optimiser."""

        def factor(step: int) -> float:
            return linear_share(step, self.steps, self.warmup, self.decay_share)

        return torch.optim.lr_scheduler.LambdaLR(optimizer, lr_lambda=factor)
