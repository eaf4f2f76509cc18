"""What the configs of these methods share. Import-light: every ns-* command loads this."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from nerfstudio.configs.base_config import InstantiateConfig, ViewerConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig

if TYPE_CHECKING:
    from torch.nn import Parameter

    from lerf_wild.inverse.orthogonal_steps import OrthogonalSteps


@dataclass
class OrthogonalStepsConfig:
    """Steps whose large matrices are orthogonal; fits the optimiser slot of nerfstudio."""

    lr: float = 1e-3
    """Highest rate."""
    max_norm: Optional[float] = 20.0  # noqa: UP045
    """Longest gradient of the group; a longer one is shortened to it."""
    large: bool = True
    """Whether the group is the one of large matrices; the other takes AdamW's steps."""
    decay: float = 1e-4
    """Weight decay, times the rate."""
    low_precision: bool = True
    """bfloat16 in the steps of large matrices; slower on processors without it."""

    def setup(self, params: Iterable["Parameter"]) -> "OrthogonalSteps":
        """The optimiser of the group's parameters."""
        from lerf_wild.inverse.orthogonal_steps import OrthogonalSteps

        split = (params, ()) if self.large else ((), params)
        return OrthogonalSteps(*split, self.lr, decay=self.decay, low_precision=self.low_precision)


@dataclass
class PictureModelConfig(InstantiateConfig):
    """A network that is used by the running average of its weights."""

    averaging: float = 0.998
    """Decay a step of the running average of the weights, which is what is measured and kept."""
    low_precision: bool = True
    """bfloat16 convolutions; twice as fast where the processor has the instruction."""


@dataclass
class PicturePipelineConfig(VanillaPipelineConfig):
    """Pictures and network."""

    run_dir: Optional[Path] = None  # noqa: UP045
    """The run's folder; filled in when training starts, for what is written at its end."""


def common_settings() -> dict[str, Any]:
    """Settings of the trainer that are the same for these methods."""
    return {
        "steps_per_save": 500,
        "steps_per_eval_all_images": 1000,
        "mixed_precision": False,
        "viewer": ViewerConfig(quit_on_train_completion=True),
        "vis": "tensorboard",
    }
