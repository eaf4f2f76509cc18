"""The method `raw`. Import-light: every ns-* command of nerfstudio loads this."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Optional, Tuple, Type  # noqa: UP035

from nerfstudio.configs.base_config import InstantiateConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.plugins.types import MethodSpecification

from lerf_wild.errors import tell_plainly
from lerf_wild.methods.pictures.config import (
    PictureModelConfig,
    PicturePipelineConfig,
    common_settings,
)
from lerf_wild.schedulers import LinearDecayConfig

STEPS = 6000
LEARNING_RATE = 1e-3


def make_pipeline(config: "RawPipelineConfig", **kwargs: Any) -> Any:
    """Builds the pipeline of a config."""
    from lerf_wild.methods.raw.pipeline import RawPipeline

    tell_plainly()
    return RawPipeline(config, **kwargs)


def make_datamanager(config: "RawDataManagerConfig", **kwargs: Any) -> Any:
    """Builds the datamanager of a config."""
    from lerf_wild.methods.raw.datamanager import RawDataManager

    return RawDataManager(config, **kwargs)


def make_model(config: "RawModelConfig", **kwargs: Any) -> Any:
    """Builds the model of a config."""
    from lerf_wild.methods.raw.model import RawModel

    return RawModel(config, **kwargs)


def make_trainer(config: "RawTrainerConfig", **kwargs: Any) -> Any:
    """Builds the trainer of a config."""
    from lerf_wild.methods.raw.trainer import RawTrainer

    return RawTrainer(config, **kwargs)


@dataclass
class RawDataManagerConfig(InstantiateConfig):
    """Pictures with their programs, from shards or drawn when training starts."""

    _target: Type = field(default_factory=lambda: make_datamanager)  # noqa: UP006
    """Target to instantiate."""
    data: Optional[Path] = None  # noqa: UP045
    """Folder that `lerf-wild synth raw` wrote; scenes are drawn when left out."""
    more_data: Tuple[Path, ...] = ()  # noqa: UP006
    """Further such folders."""
    scenes: int = 250
    """Scenes that are drawn where no folder is given; 8 pictures each, about 0.1 s a picture."""
    batch_size: int = 8
    """Pictures in a step."""
    eval_scenes: int = 40
    """Scenes, one picture each, that the figures are measured on."""
    seed: int = 1
    """Seed of the scenes."""


@dataclass
class RawModelConfig(PictureModelConfig):
    """The reader, and the choices of RAW's baselines."""

    _target: Type = field(default_factory=lambda: make_model)  # noqa: UP006
    """Target to instantiate."""
    initial: Optional[Path] = None  # noqa: UP045
    """Weights to begin with, such as those of the package."""
    part: Literal["all", "pictures", "objects"] = "all"
    """Train the detector alone (pictures), the rest (objects), or both."""
    feedback: bool = True
    """Feed the values of an object to the next one."""
    linear_heads: bool = False
    """One linear layer a head, as the paper's text says."""
    permuted_ids: bool = False
    """Digits of a permuted number of asset and yaw in place of an embedding: RAW's baseline."""


@dataclass
class RawPipelineConfig(PicturePipelineConfig):
    """Samples and reader."""

    _target: Type = field(default_factory=lambda: make_pipeline)  # noqa: UP006
    """Target to instantiate."""
    datamanager: RawDataManagerConfig = field(default_factory=RawDataManagerConfig)
    """Where samples come from."""
    model: RawModelConfig = field(default_factory=RawModelConfig)
    """The reader."""
    template_yaws: int = 24
    """Templates an asset in the file that is written at the end."""


@dataclass
class RawTrainerConfig(TrainerConfig):
    """Trainer without a viewer."""

    _target: Type = field(default_factory=lambda: make_trainer)  # noqa: UP006
    """Target to instantiate."""


def _config() -> RawTrainerConfig:
    schedule = LinearDecayConfig(steps=STEPS, warmup=100, decay_share=0.6)
    own = AdamOptimizerConfig(lr=LEARNING_RATE, max_norm=5.0)
    trunk = AdamOptimizerConfig(lr=0.3 * LEARNING_RATE, max_norm=5.0)
    return RawTrainerConfig(
        method_name="raw",
        max_num_iterations=STEPS,
        steps_per_eval_batch=100,
        steps_per_eval_image=500,
        pipeline=RawPipelineConfig(),
        optimizers={
            "reader": {"optimizer": own, "scheduler": schedule},
            "trunk": {"optimizer": trunk, "scheduler": schedule},
        },
        **common_settings(),
    )


raw = MethodSpecification(
    config=_config(), description="Read a photo as a scene program of assets on the ground."
)
"""Programs from pictures of drawn scenes."""
