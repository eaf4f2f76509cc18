"""The method `genzoo`. Import-light: every ns-* command of nerfstudio loads this."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Type  # noqa: UP035

from nerfstudio.configs.base_config import InstantiateConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.plugins.types import MethodSpecification

from lerf_wild.errors import tell_plainly
from lerf_wild.methods.pictures.config import (
    OrthogonalStepsConfig,
    PictureModelConfig,
    PicturePipelineConfig,
    common_settings,
)
from lerf_wild.schedulers import LinearDecayConfig

STEPS = 20_000
LEARNING_RATE = 1e-3


def make_pipeline(config: "GenzooPipelineConfig", **kwargs: Any) -> Any:
    """Builds the pipeline of a config."""
    from lerf_wild.methods.genzoo.pipeline import GenzooPipeline

    tell_plainly()
    return GenzooPipeline(config, **kwargs)


def make_datamanager(config: "GenzooDataManagerConfig", **kwargs: Any) -> Any:
    """Builds the datamanager of a config."""
    from lerf_wild.methods.genzoo.datamanager import GenzooDataManager

    return GenzooDataManager(config, **kwargs)


def make_model(config: "GenzooModelConfig", **kwargs: Any) -> Any:
    """Builds the model of a config."""
    from lerf_wild.methods.genzoo.model import GenzooModel

    return GenzooModel(config, **kwargs)


def make_trainer(config: "GenzooTrainerConfig", **kwargs: Any) -> Any:
    """Builds the trainer of a config."""
    from lerf_wild.methods.genzoo.trainer import GenzooTrainer

    return GenzooTrainer(config, **kwargs)


@dataclass
class GenzooDataManagerConfig(InstantiateConfig):
    """Generated pictures, from shards or drawn when training starts."""

    _target: Type = field(default_factory=lambda: make_datamanager)  # noqa: UP006
    """Target to instantiate."""
    data: Optional[Path] = None  # noqa: UP045
    """Folder that `lerf-wild synth genzoo` wrote; pictures are drawn when left out."""
    eval_data: Optional[Path] = None  # noqa: UP045
    """Such a folder of validation pictures; some of the split `val` are drawn when left out."""
    pictures: int = 2000
    """Pictures that are drawn where no folder is given; 0.1 s each."""
    eval_pictures: int = 200
    """Pictures that the figures are measured on."""
    batch_size: int = 96
    """Crops in a step; GenZoo takes 128."""
    augment: bool = True
    """Crops and colours that differ each time."""
    seed: int = 1
    """Seed of the pictures and of what is done to them."""


@dataclass
class GenzooModelConfig(PictureModelConfig):
    """The network and weights of the losses."""

    _target: Type = field(default_factory=lambda: make_model)  # noqa: UP006
    """Target to instantiate."""
    backbone: str = "small"
    """`small`, or a ViTPose by name, such as usyd-community/vitpose-base-simple, or its folder."""
    input_px: int = 96
    """Side of a crop; ViTPose sees it at 256."""
    initial: Optional[Path] = None  # noqa: UP045
    """Weights to begin with, such as those of the package."""
    opening_steps: int = 6000
    """Steps in which little of the pose's gradient reaches the features, where no weights are given
    to begin with."""
    projection_weight: float = 0.01
    """Weight of the sum of distances of joints in the crop; GenZoo's."""
    rotation_weight: float = 100.0
    """Weight of the mean square of rotations; GenZoo's."""
    shape_weight: float = 50.0
    """Weight of the mean distance of rest vertices; GenZoo's."""
    raw_rotations: bool = False
    """Leaves rotations as nine numbers, as the released GenZoo does; for comparison."""


@dataclass
class GenzooPipelineConfig(PicturePipelineConfig):
    """Pictures and network."""

    _target: Type = field(default_factory=lambda: make_pipeline)  # noqa: UP006
    """Target to instantiate."""
    datamanager: GenzooDataManagerConfig = field(default_factory=GenzooDataManagerConfig)
    """Where pictures come from."""
    model: GenzooModelConfig = field(default_factory=GenzooModelConfig)
    """The network."""


@dataclass
class GenzooTrainerConfig(TrainerConfig):
    """Trainer without a viewer."""

    _target: Type = field(default_factory=lambda: make_trainer)  # noqa: UP006
    """Target to instantiate."""


def _config() -> GenzooTrainerConfig:
    schedule = LinearDecayConfig(steps=STEPS, warmup=200, decay_share=0.7)
    large, small = (OrthogonalStepsConfig(lr=LEARNING_RATE, large=large) for large in (True, False))
    return GenzooTrainerConfig(
        method_name="genzoo",
        max_num_iterations=STEPS,
        steps_per_eval_batch=200,
        steps_per_eval_image=500,
        pipeline=GenzooPipelineConfig(),
        optimizers={
            "network": {"optimizer": large, "scheduler": schedule},
            "network_rest": {"optimizer": small, "scheduler": schedule},
        },
        **common_settings(),
    )


genzoo = MethodSpecification(
    config=_config(), description="An animal's shape, pose and camera from one picture."
)
"""Learned from generated pictures alone."""
