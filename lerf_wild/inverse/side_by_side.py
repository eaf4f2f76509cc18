"""Training by several processes at once, as `torchrun` starts them.

Every process has the same network, takes crops of its own, and steps by the mean of all gradients,
so that two of them see twice as many crops a step. Started without `torchrun` there is one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import distributed, nn


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this one is."""

    rank: int = 0
    count: int = 1

    def take_mean_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces gradients by their means over all processes."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        # One message: the cost of many small ones is that of their number.
        joined = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(joined)
        joined /= self.count
        for gradient, part in zip(gradients, joined.split([g.numel() for g in gradients])):
            gradient.copy_(part.view_as(gradient))

    def as_first_says(self, value: float) -> float:
        """The first process's value, in all of them: they have to stop at the same step."""
        if self.count == 1:
            return value
        told = torch.tensor(value, dtype=torch.float64)
        distributed.broadcast(told, src=0)
        return float(told)


def join_processes() -> Processes:
    """Meets the other processes that `torchrun` started; one alone without it."""
    if not distributed.is_torchelastic_launched():
        return Processes()
    distributed.init_process_group("gloo")
    return Processes(distributed.get_rank(), distributed.get_world_size())


def part_from_processes(processes: Processes) -> None:
    """Leaves the group once all have come to the end."""
    if processes.count > 1:
        distributed.barrier()
        distributed.destroy_process_group()
