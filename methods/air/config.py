"""The method `air`. Import-light: every ns-* command of nerfstudio loads this."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Optional, Type  # noqa: UP035

from nerfstudio.configs.base_config import InstantiateConfig, ViewerConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from nerfstudio.plugins.types import MethodSpecification

STEPS = 6000
LEARNING_RATE = 1.5e-3


def make_pipeline(config: "AirPipelineConfig", **kwargs: Any) -> Any:
    """Builds the pipeline of a config."""
    from lerf_wild.methods.air.pipeline import AirPipeline

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
class AirModelConfig(InstantiateConfig):
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
    averaging: float = 0.998
    """Decay a step of the running average of the weights, which is what is measured and kept."""
    rotation_weight: float = 1.0
    """Weight of the rotation loss."""
    lateral_weight: float = 5.0
    """Weight of the loss of x and y."""
    low_precision: bool = True
    """bfloat16 convolutions; twice as fast where the processor has the instruction."""


@dataclass
class AirPipelineConfig(VanillaPipelineConfig):
    """Scenes and network."""

    _target: Type = field(default_factory=lambda: make_pipeline)  # noqa: UP006
    """Target to instantiate."""
    datamanager: AirDataManagerConfig = field(default_factory=AirDataManagerConfig)
    """Where scenes come from."""
    model: AirModelConfig = field(default_factory=AirModelConfig)
    """The network."""
    run_dir: Optional[Path] = None  # noqa: UP045
    """The run's folder; filled in when training starts, for pictures and weights."""


@dataclass
class AirTrainerConfig(TrainerConfig):
    """Trainer without a viewer."""

    _target: Type = field(default_factory=lambda: make_trainer)  # noqa: UP006
    """Target to instantiate."""


@dataclass
class AirScheduleConfig(InstantiateConfig):
    """Warm-up, plateau, linear decay to 0."""

    _target: Type = field(default_factory=lambda: AirScheduleConfig)  # noqa: UP006
    """Target to instantiate."""
    steps: int = STEPS
    """Step at which the rate is 0; set it together with --max-num-iterations."""
    warmup: int = 300
    """Steps over which the rate rises."""
    decay_share: float = 0.4
    """Share of the steps over which the rate falls."""

    def setup(self, **kwargs: Any) -> "AirScheduleConfig":
        """Returns itself: there is no state outside the torch scheduler."""
        return self

    def get_scheduler(self, optimizer: Any, lr_init: float) -> Any:
        """Returns the torch scheduler of this schedule for an optimiser."""
        from torch.optim.lr_scheduler import LambdaLR

        from lerf_wild.inverse.primitive_training import TrainingSpec, learning_rate

        spec = TrainingSpec(
            steps=self.steps, warmup=self.warmup, decay_share=self.decay_share, learning_rate=1.0
        )
        return LambdaLR(optimizer, lr_lambda=lambda step: learning_rate(step, spec))


def _config() -> AirTrainerConfig:
    adam = AdamOptimizerConfig(lr=LEARNING_RATE, max_norm=5.0)
    return AirTrainerConfig(
        method_name="air",
        max_num_iterations=STEPS,
        steps_per_save=500,
        steps_per_eval_batch=100,
        steps_per_eval_image=250,
        steps_per_eval_all_images=1000,
        mixed_precision=False,
        pipeline=AirPipelineConfig(),
        optimizers={"network": {"optimizer": adam, "scheduler": AirScheduleConfig()}},
        viewer=ViewerConfig(quit_on_train_completion=True),
        vis="tensorboard",
    )


air = MethodSpecification(
    config=_config(), description="Recover 3D primitives from images by inverting a renderer."
)
