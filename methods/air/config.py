"""The method `air`. Import-light: every ns-* command of nerfstudio loads this."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Optional, Type  # noqa: UP035

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
LEARNING_RATE = 1.5e-3

AirScheduleConfig = LinearDecayConfig
"""Its name in the config.yml of earlier runs of air, raw and genzoo."""


def make_pipeline(config: "AirPipelineConfig", **kwargs: Any) -> Any:
    """Builds the pipeline of a config."""
    from lerf_wild.methods.air.pipeline import AirPipeline

    tell_plainly()
    return AirPipeline(config, **kwargs)


def make_datamanager(config: "AirDataManagerConfig", **kwargs: Any) -> Any:
    """Builds the datamanager of a config."""
    from lerf_wild.methods.air.datamanager import AirDataManager

    return AirDataManager(config, **kwargs)


def make_model(config: "AirModelConfig", **kwargs: Any) -> Any:
    """Builds the model of a config."""
    from lerf_wild.methods.air.model import AirModel

    return AirModel(config, **kwargs)


def make_trainer(config: "AirTrainerConfig", **kwargs: Any) -> Any:
    """Builds the trainer of a config."""
    from lerf_wild.methods.air.trainer import AirTrainer

    return AirTrainer(config, **kwargs)


@dataclass
class AirDataManagerConfig(InstantiateConfig):
    """Scenes of primitives, rendered as they are needed or read from shards."""

    _target: Type = field(default_factory=lambda: make_datamanager)  # noqa: UP006
    """Target to instantiate."""
    data: Optional[Path] = None  # noqa: UP045
    """Folder that `lerf-wild synth primitives` wrote; fresh scenes are rendered when left out."""
    setup_name: Literal["reference", "perspective", "free-camera"] = "reference"
    """Camera, light and primitives."""
    batch_size: int = 64
    """Scenes in a step."""
    eval_scenes: int = 256
    """Scenes that the figures are measured on."""
    seed: int = 1
    """Seed of the scenes."""


@dataclass
class AirModelConfig(PictureModelConfig):
    """Sizes of the network and weights of the losses."""

    _target: Type = field(default_factory=lambda: make_model)  # noqa: UP006
    """Target to instantiate."""
    stem: int = 32
    """Channels at stride 2."""
    fine: int = 64
    """Channels at stride 4."""
    coarse: int = 128
    """Channels at stride 8."""
    token: int = 96
    """Width of tokens and queries."""
    queries: int = 6
    """Candidates for objects in an image."""
    rotation_weight: float = 1.0
    """Weight of the rotation loss."""
    lateral_weight: float = 5.0
    """Weight of the loss of x and y."""


@dataclass
class AirPipelineConfig(PicturePipelineConfig):
    """Scenes and network."""

    _target: Type = field(default_factory=lambda: make_pipeline)  # noqa: UP006
    """Target to instantiate."""
    datamanager: AirDataManagerConfig = field(default_factory=AirDataManagerConfig)
    """Where scenes come from."""
    model: AirModelConfig = field(default_factory=AirModelConfig)
    """The network."""


@dataclass
class AirTrainerConfig(TrainerConfig):
    """Trainer without a viewer."""

    _target: Type = field(default_factory=lambda: make_trainer)  # noqa: UP006
    """Target to instantiate."""


def _config() -> AirTrainerConfig:
    schedule = LinearDecayConfig(steps=STEPS)
    adam = AdamOptimizerConfig(lr=LEARNING_RATE, max_norm=5.0)
    return AirTrainerConfig(
        method_name="air",
        max_num_iterations=STEPS,
        steps_per_eval_batch=100,
        steps_per_eval_image=250,
        pipeline=AirPipelineConfig(),
        optimizers={"network": {"optimizer": adam, "scheduler": schedule}},
        **common_settings(),
    )


air = MethodSpecification(
    config=_config(), description="Recover 3D primitives from images by inverting a renderer."
)
