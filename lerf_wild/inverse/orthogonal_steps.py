"""An optimiser whose steps in large matrices have singular values of about one.

Symbols: R rows of a matrix, C columns. A convolution's kernel is a matrix with a row for each
channel that comes out.

The mean gradient of a matrix has few large directions and many small ones; a step of Adam follows
the large ones. Here the mean is replaced by the nearest matrix with orthogonal rows or columns, so
that all directions are learnt at the same pace: Muon (Jordan et al., 2024), with steps as large as
Adam's (Liu et al., 2025, "Muon is scalable for LLM training"), so that one rate serves both. What
is no large matrix goes the way of AdamW.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

ITERATIONS = 5
QUINTIC = (3.4445, -4.7750, 2.0315)
"""Of the odd polynomial that, applied again and again, brings singular values from 0-1 to between
0.7 and 1.2, small ones fast (Jordan et al.)."""
ADAMS_SIZE = 0.2
"""Root mean square of a usual step of Adam, over the rate."""
LEAST_SIDE = 48
"""Rows and columns that a matrix needs to be a large one."""


class OrthogonalSteps(torch.optim.Optimizer):
    """Muon for large matrices, AdamW for the rest.

    Args:
        matrices: Parameters that `is_large`, of two or more dimensions.
        others: All others.
        rate: Rate of both.
        decay: Weight decay of both, times the rate.
        memory: How much of the mean gradient of matrices stays, a step.
        moments: The same for AdamW's mean and its mean square.
        low_precision: Whether matrices are brought near orthogonal ones in bfloat16, which
            processors without it do three times slower than in float32.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        rate: float,
        decay: float = 1e-4,
        memory: float = 0.95,
        moments: tuple[float, float] = (0.9, 0.99),
        low_precision: bool = True,
    ) -> None:
        groups = [{"params": list(matrices), "large": True}, {"params": list(others)}]
        self.dtype = torch.bfloat16 if low_precision else torch.float32
        usual = {"lr": rate, "decay": decay, "memory": memory, "moments": moments, "large": False}
        super().__init__([group for group in groups if group["params"]], usual)

    @torch.no_grad()
    def step(self) -> None:
        """One step by the gradients at hand; parameters without one stay as they are."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1.0 - group["lr"] * group["decay"])
                    (self._matrix if group["large"] else self._other)(parameter, group)

    def _matrix(self, parameter: nn.Parameter, group: dict) -> None:
        state = self.state[parameter]
        if not state:
            state["exp_avg"] = torch.zeros_like(parameter)
        mean = state["exp_avg"].lerp_(parameter.grad, 1.0 - group["memory"])
        # Nesterov's: the mean as it would be were this gradient seen once more.
        ahead = parameter.grad.lerp(mean, group["memory"])
        longer = max(ahead.shape[0], ahead[0].numel())
        parameter.sub_(orthogonal(ahead, self.dtype), alpha=ADAMS_SIZE * group["lr"] * longer**0.5)

    def _other(self, parameter: nn.Parameter, group: dict) -> None:
        state, (first, second) = self.state[parameter], group["moments"]
        if not state:
            zeros = torch.zeros_like(parameter)
            state.update(step=torch.zeros(()), exp_avg=zeros, exp_avg_sq=zeros.clone())
        state["step"] += 1
        count = float(state["step"])
        mean = state["exp_avg"].lerp_(parameter.grad, 1.0 - first) / (1.0 - first**count)
        square = state["exp_avg_sq"].lerp_(parameter.grad.square(), 1.0 - second)
        spread = (square / (1.0 - second**count)).sqrt_().add_(1e-8)
        parameter.addcdiv_(mean, spread, value=-group["lr"])


def is_large(parameter: Tensor) -> bool:
    """Whether both sides of a parameter, taken for a matrix, have `LEAST_SIDE` or more."""
    return parameter.ndim > 1 and min(parameter.shape[0], parameter[0].numel()) >= LEAST_SIDE


def orthogonal(gradient: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """The matrix (R, C), or kernel of R rows, with about the same singular vectors and singular
    values of about one; a zero stays a zero. ``dtype`` is what it is computed in."""
    found = gradient.flatten(1).to(dtype)
    tall = found.shape[0] > found.shape[1]
    if tall:
        found = found.T
    found = found / (found.norm() + 1e-7)
    once, thrice, fivefold = QUINTIC
    for _ in range(ITERATIONS):
        square = found @ found.T
        change = torch.addmm(square, square, square, beta=thrice, alpha=fivefold)
        found = torch.addmm(found, change, found, beta=once)
    return (found.T if tall else found).reshape(gradient.shape).to(gradient.dtype)
