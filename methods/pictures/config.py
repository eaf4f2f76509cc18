"""What the configs of these methods share. Import-light: every ns-* command loads this."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from nerfstudio.configs.base_config import InstantiateConfig, ViewerConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig


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
