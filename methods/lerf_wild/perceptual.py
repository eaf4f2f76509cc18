"""LPIPS that is built when it is first asked for, and left out where it can't be had.

`NerfactoModel` (nerfstudio 1.1.5) builds LPIPS with the model, which downloads AlexNet: without a
network no model could be made.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torchmetrics.image.lpip
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor, nn

from lerf_wild.language.perceptual import build_or_none


class LazyPerceptualMetric(nn.Module):
    """Stands in for torchmetrics' LPIPS; gives NaN when its network can't be had."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self._arguments = (args, kwargs)
        # In a list, so that its weights are not the model's and stay out of checkpoints.
        self._built: list[nn.Module | None] = []

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Returns the LPIPS distance of two image batches [1, 3, H, W] in [0, 1], or NaN."""
        if not self._built:
            self._built.append(self._build())
        metric = self._built[0]
        if metric is None:
            return torch.tensor(float("nan"))
        return metric.to(first.device)(first.clamp(0, 1), second.clamp(0, 1))

    def _build(self) -> nn.Module | None:
        args, kwargs = self._arguments
        metric, reason = build_or_none(lambda: _REAL_METRIC(*args, **kwargs))
        if metric is None:
            CONSOLE.print(f"LPIPS is left out: its network can't be had ({reason}).")
        return metric


_REAL_METRIC = torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity


@contextlib.contextmanager
def lazy_perceptual_metric() -> Iterator[None]:
    """Makes nerfstudio models that are built inside the block take the lazy metric."""
    module = torchmetrics.image.lpip
    module.LearnedPerceptualImagePatchSimilarity = LazyPerceptualMetric
    try:
        yield
    finally:
        module.LearnedPerceptualImagePatchSimilarity = _REAL_METRIC
