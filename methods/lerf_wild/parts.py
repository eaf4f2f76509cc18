"""What the model is put together from, apart from nerfacto's own parts."""

from __future__ import annotations

from typing import Any

import torch
from nerfstudio.cameras.rays import RaySamples
from nerfstudio.model_components.renderers import DepthRenderer
from torch import Tensor, nn

from lerf_wild.errors import LerfWildError, ModelFileError
from lerf_wild.methods.lerf_wild.config import LanguageFieldConfig
from lerf_wild.methods.lerf_wild.field import GridSpec, LanguageField


class TappedDepth(DepthRenderer):
    """The depth renderer, which also keeps what it was given: nerfacto doesn't return it."""

    _seen: tuple[Tensor, RaySamples] | None = None

    def forward(self, weights: Tensor, ray_samples: RaySamples, **kwargs: Any) -> Tensor:
        """Renders as nerfstudio does and remembers what it was given."""
        self._seen = (weights, ray_samples)
        return super().forward(weights, ray_samples, **kwargs)

    def take(self) -> tuple[Tensor, RaySamples]:
        """Hands out and forgets the weights and samples of the latest call."""
        seen, self._seen = self._seen, None
        assert seen is not None, "nothing was rendered"
        return seen


class ColourLoss(nn.Module):
    """Mean squared error of colours, with a weight a ray where there are weights.

    nerfacto calls its loss with colours alone, so the weights are put here before.
    """

    weight_R1: Tensor | None = None

    def forward(self, true_R3: Tensor, seen_R3: Tensor) -> Tensor:
        """The loss, a scalar."""
        error_R3 = (true_R3 - seen_R3).square()
        return (error_R3 if self.weight_R1 is None else self.weight_R1 * error_R3).mean()


class KeptCounter:
    """Keeps rendering from shifting the steps at which proposal networks are trained."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler

    def __enter__(self) -> None:
        self.since = self.sampler._steps_since_update

    def __exit__(self, *_: object) -> None:
        self.sampler._steps_since_update = self.since


def language_field(config: LanguageFieldConfig) -> LanguageField:
    """Builds the language field; raises ModelFileError for a config that was never trained."""
    if config.clip_dim <= 0 or config.dino_dim <= 0:
        raise ModelFileError(
            "The model config has no encoder dimensions. They are filled in when training starts; "
            "load the config.yml that the training wrote."
        )
    grids = tuple(
        GridSpec(levels, low, high, config.language_log2_table, config.language_features)
        for levels, low, high in zip(
            config.language_levels,
            config.language_min_resolutions,
            config.language_max_resolutions,
        )
    )
    return LanguageField(
        grids=grids,
        width=config.language_width,
        hidden_layers=config.language_hidden_layers,
        clip_dim=config.clip_dim,
        dino_dim=config.dino_dim,
        dino_width=config.dino_width,
        implementation=config.implementation,
    )


def implementation(wanted: str) -> str:
    """Decides between tiny-cuda-nn and torch; their tables differ, so a run must keep its own."""
    if wanted == "torch":
        return wanted
    from nerfstudio.utils.external import TCNN_EXISTS

    has_tcnn = TCNN_EXISTS and torch.cuda.is_available()
    if wanted == "tcnn" and not has_tcnn:
        raise LerfWildError(
            "This run or command asks for tiny-cuda-nn, which needs a CUDA GPU and the package.\n"
            "To train here pass --pipeline.model.implementation torch."
        )
    return "tcnn" if has_tcnn else "torch"
