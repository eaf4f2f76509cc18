"""The four sizes of lerf-wild. Import-light: every ns-* command of nerfstudio loads this."""

import copy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Optional, Tuple, Type  # noqa: UP035

from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.configs.base_config import ViewerConfig
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManagerConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig, RAdamOptimizerConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.models.nerfacto import NerfactoModelConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from nerfstudio.plugins.types import MethodSpecification

from lerf_wild.dataparsers.wild_nerfstudio import WildNerfstudioDataParserConfig
from lerf_wild.errors import tell_plainly
from lerf_wild.methods.lerf_wild.datamanager import LerfWildDataManager
from lerf_wild.schedulers import ExponentialDecayConfig

# The targets are functions so that torch modules of ours load when a run starts and not before.
# The datamanager is the exception: ns-render patches methods of the class that it finds here.


def make_model(config: "LerfWildModelConfig", **kwargs: Any) -> Any:
    """Builds the model of a config."""
    from lerf_wild.methods.lerf_wild.model import LerfWildModel

    return LerfWildModel(config, **kwargs)


def make_pipeline(config: "LerfWildPipelineConfig", **kwargs: Any) -> Any:
    """Builds the pipeline of a config."""
    from lerf_wild.methods.lerf_wild.pipeline import LerfWildPipeline

    tell_plainly()
    return LerfWildPipeline(config, **kwargs)


def make_trainer(config: "LerfWildTrainerConfig", **kwargs: Any) -> Any:
    """Builds the trainer of a config."""
    from lerf_wild.methods.lerf_wild.trainer import LerfWildTrainer

    return LerfWildTrainer(config, **kwargs)


@dataclass
class LanguageFieldConfig:
    """What every model with a language field has to be told about it."""

    implementation: Literal["auto", "tcnn", "torch"] = "auto"
    """Hash grids and small networks: tiny-cuda-nn or torch; auto takes what the machine has."""
    language_levels: Tuple[int, ...] = (12, 12)  # noqa: UP006
    """Levels of each hash grid of the language field."""
    language_min_resolutions: Tuple[int, ...] = (16, 128)  # noqa: UP006
    """Coarsest resolution of each grid."""
    language_max_resolutions: Tuple[int, ...] = (128, 512)  # noqa: UP006
    """Finest resolution of each grid."""
    language_log2_table: int = 19
    """Log2 of the rows of a level's hash table."""
    language_features: int = 8
    """Features of a level."""
    language_width: int = 256
    """Width of the hidden layers of the CLIP branch."""
    language_hidden_layers: int = 4
    """Number of hidden layers of the CLIP branch."""
    dino_width: int = 256
    """Width of the one hidden layer of the DINO branch."""
    clip_loss_mult: float = 1.0
    """Weight of the CLIP loss (one minus the cosine)."""
    dino_loss_mult: float = 0.1
    """Weight of the DINO loss (squared error in units of the features' variance)."""
    query_scales: int = 30
    """Number of tile sizes a query tries, evenly spaced in their logarithm."""
    min_views: int = 5
    """Places that fewer training views see don't answer queries. Scenes of few views need less:
    never more than a third of the views is asked for."""
    phrases: Tuple[str, ...] = ()  # noqa: UP006
    """Phrases to look for from the start; `--prompt "red fox;fallen log"` does the same."""
    clip_dim: int = 0
    """Dimensions of the encoder; filled in when training starts."""
    dino_dim: int = 0
    """Dimensions of the patch encoder; filled in when training starts."""
    encoder_identity: str = ""
    """The encoder this field was trained with; filled in when training starts."""


@dataclass
class LerfWildModelConfig(LanguageFieldConfig, NerfactoModelConfig):
    """nerfacto and a language field beside it."""

    _target: Type = field(default_factory=lambda: make_model)  # noqa: UP006
    """Target to instantiate."""
    num_language_samples: int = 24
    """Samples of a ray, the heaviest first, that the language field is asked at."""
    probe_rays: int = 1024
    """Rays, on a regular grid over a view, that are tried at all sizes to choose one."""


@dataclass
class LerfWildDataManagerConfig(VanillaDataManagerConfig):
    """Images as bytes, and the language features that go with each ray."""

    _target: Type = field(default_factory=lambda: LerfWildDataManager)  # noqa: UP006
    """Target class to instantiate."""
    feature_cache: Optional[Path] = None  # noqa: UP045
    """Folder of the feature cache; the user's cache folder (or LERF_WILD_CACHE) when left out."""
    rare_share: float = 0.25
    """Share of the training rays that are drawn evenly over kinds of appearance rather than over
    pixels, so that the language field meets small things."""


@dataclass
class LerfWildPipelineConfig(VanillaPipelineConfig):
    """Pipeline that resolves the encoders and answers queries."""

    _target: Type = field(default_factory=lambda: make_pipeline)  # noqa: UP006
    """Target to instantiate."""
    encoder: str = "auto"
    """Image and text encoder: auto, wild-clip, an open_clip name/pretrained, or a local path."""
    patch_encoder: str = "auto"
    """Patch encoder of the DINO branch: auto, embedded, or a DINO model of transformers."""
    seed: int = 42
    """Seed of everything random within a training step; with the step it fixes the draw."""
    run_dir: Optional[Path] = None  # noqa: UP045
    """The run's folder; filled in when training starts, to find its queries.json."""


@dataclass
class LerfWildTrainerConfig(TrainerConfig):
    """Trainer that falls back to the CPU and writes checkpoints atomically."""

    _target: Type = field(default_factory=lambda: make_trainer)  # noqa: UP006
    """Target to instantiate."""


@dataclass
class FusedAdamOptimizerConfig(AdamOptimizerConfig):
    """Adam that passes over the parameters once: on a CPU eight times faster on hash tables."""

    fused: bool = True
    """Take torch's fused implementation."""


def _adam(
    lr_final: float,
    max_steps: int,
    lr: float = 1e-2,
    warmup: int = 0,
    config: type[AdamOptimizerConfig] = AdamOptimizerConfig,
) -> dict[str, Any]:
    return {
        "optimizer": config(lr=lr, eps=1e-15),
        "scheduler": ExponentialDecayConfig(
            lr_final=lr_final, max_steps=max_steps, warmup_steps=warmup
        ),
    }


def _radam(lr_final: float, max_steps: int) -> dict[str, Any]:
    return {
        "optimizer": RAdamOptimizerConfig(lr=1e-2, eps=1e-15, weight_decay=1e-9),
        "scheduler": ExponentialDecayConfig(lr_final=lr_final, max_steps=max_steps),
    }


def _base_config() -> LerfWildTrainerConfig:
    datamanager = LerfWildDataManagerConfig(
        dataparser=WildNerfstudioDataParserConfig(train_split_fraction=0.99),
        train_num_rays_per_batch=4096,
        eval_num_rays_per_batch=4096,
    )
    model = LerfWildModelConfig(
        eval_num_rays_per_chunk=1 << 15,
        average_init_density=0.01,
        camera_optimizer=CameraOptimizerConfig(mode="SO3xR3"),
    )
    return LerfWildTrainerConfig(
        method_name="lerf-wild",
        steps_per_eval_batch=500,
        steps_per_eval_image=500,
        steps_per_eval_all_images=25_000,
        steps_per_save=2000,
        max_num_iterations=30_000,
        mixed_precision=True,
        pipeline=LerfWildPipelineConfig(datamanager=datamanager, model=model),
        optimizers={
            "proposal_networks": _adam(1e-4, 200_000),
            "fields": _adam(1e-3, 30_000),
            "camera_opt": _adam(1e-4, 5000, lr=1e-3),
            "language": _radam(1e-3, 4000),
        },
        viewer=ViewerConfig(websocket_host="127.0.0.1", num_rays_per_chunk=1 << 15),
        vis="viewer",
    )


def _big_config() -> LerfWildTrainerConfig:
    config = copy.deepcopy(_base_config())
    config.method_name = "lerf-wild-big"
    config.pipeline.model.language_levels = (16, 16)
    config.pipeline.model.num_language_samples = 32
    config.pipeline.encoder = "auto-large"
    config.optimizers["language"] = _radam(1e-3, 3000)
    return config


def _lite_config() -> LerfWildTrainerConfig:
    config = copy.deepcopy(_base_config())
    config.method_name = "lerf-wild-lite"
    model = config.pipeline.model
    model.language_levels = (16,)
    model.language_min_resolutions = (16,)
    model.language_max_resolutions = (512,)
    model.num_language_samples = 12
    config.optimizers["language"] = _radam(1e-3, 7000)
    return config


TINY_STEPS = 10_000
"""Steps of the laptop size: after these its colours hardly gain, in about ten minutes."""


def _tiny_model() -> LerfWildModelConfig:
    return LerfWildModelConfig(
        implementation="torch",
        num_levels=6,
        features_per_level=4,
        base_res=16,
        max_res=1024,
        log2_hashmap_size=17,
        hidden_dim=32,
        hidden_dim_color=32,
        num_proposal_iterations=1,
        num_proposal_samples_per_ray=(48,),
        num_nerf_samples_per_ray=24,
        proposal_net_args_list=[
            {"hidden_dim": 16, "log2_hashmap_size": 13, "num_levels": 5, "max_res": 64}
        ],
        proposal_warmup=500,
        proposal_weights_anneal_max_num_iters=300,
        use_appearance_embedding=False,
        average_init_density=0.05,
        camera_optimizer=CameraOptimizerConfig(mode="off"),
        eval_num_rays_per_chunk=4096,
        language_levels=(8,),
        language_min_resolutions=(16,),
        language_max_resolutions=(512,),
        language_log2_table=16,
        language_features=4,
        language_width=64,
        language_hidden_layers=1,
        dino_width=64,
        num_language_samples=6,
    )


def _tiny_config() -> LerfWildTrainerConfig:
    config = copy.deepcopy(_base_config())
    config.method_name = "lerf-wild-tiny"
    config.max_num_iterations = TINY_STEPS
    config.steps_per_save = 500
    config.steps_per_eval_all_images = TINY_STEPS
    config.mixed_precision = False
    config.pipeline.model = _tiny_model()
    config.pipeline.datamanager.train_num_rays_per_batch = 1024
    config.pipeline.datamanager.eval_num_rays_per_batch = 1024
    config.pipeline.datamanager.dataparser.train_split_fraction = 0.9
    adam = partial(_adam, max_steps=TINY_STEPS, config=FusedAdamOptimizerConfig)
    config.optimizers = {
        "proposal_networks": adam(5e-4, lr=3e-2),
        "fields": adam(5e-4, lr=3e-2),
        "camera_opt": adam(1e-4, lr=1e-3),
        "language": adam(1e-3),
    }
    config.pipeline.patch_encoder = "embedded"
    config.viewer.num_rays_per_chunk = 4096
    return config


lerf_wild = MethodSpecification(
    config=_base_config(), description="Language field over nerfacto: find phrases in a scene."
)
lerf_wild_tiny = MethodSpecification(
    config=_tiny_config(), description="lerf-wild for a laptop: minutes on two CPU cores."
)
lerf_wild_lite = MethodSpecification(
    config=_lite_config(), description="lerf-wild with a smaller field, for GPUs of about 8 GB."
)
lerf_wild_big = MethodSpecification(
    config=_big_config(), description="lerf-wild with a larger field and a larger encoder."
)
