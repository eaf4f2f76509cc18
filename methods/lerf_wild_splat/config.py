"""The method lerf-wild-splat. Import-light: every ns-* command of nerfstudio loads this."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Tuple, Type  # noqa: UP035

from nerfstudio.configs.base_config import ViewerConfig
from nerfstudio.data.datamanagers.full_images_datamanager import FullImageDatamanagerConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.models.splatfacto import SplatfactoModelConfig
from nerfstudio.plugins.types import MethodSpecification

from lerf_wild.dataparsers.wild_nerfstudio import WildNerfstudioDataParserConfig
from lerf_wild.errors import tell_plainly
from lerf_wild.methods.lerf_wild.config import (
    LanguageFieldConfig,
    LerfWildPipelineConfig,
    LerfWildTrainerConfig,
)
from lerf_wild.schedulers import ExponentialDecayConfig

STEPS = 30_000


def make_model(config: "LerfWildSplatModelConfig", **kwargs: Any) -> Any:
    """Builds the model of a config."""
    from lerf_wild.methods.lerf_wild_splat.model import LerfWildSplatModel

    return LerfWildSplatModel(config, **kwargs)


def make_datamanager(config: "LerfWildSplatDataManagerConfig", **kwargs: Any) -> Any:
    """Builds the datamanager of a config."""
    from lerf_wild.methods.lerf_wild_splat.datamanager import LerfWildSplatDataManager

    return LerfWildSplatDataManager(config, **kwargs)


def make_pipeline(config: "LerfWildSplatPipelineConfig", **kwargs: Any) -> Any:
    """Builds the pipeline of a config; without CUDA the process ends with two lines and code 2."""
    from lerf_wild.methods.lerf_wild_splat.pipeline import LerfWildSplatPipeline, need_cuda

    need_cuda()
    tell_plainly()
    return LerfWildSplatPipeline(config, **kwargs)


def make_trainer(config: "LerfWildSplatTrainerConfig", **kwargs: Any) -> Any:
    """Builds the trainer of a config; without CUDA the process ends with two lines and code 2."""
    from lerf_wild.methods.lerf_wild.trainer import LerfWildTrainer
    from lerf_wild.methods.lerf_wild_splat.pipeline import need_cuda

    need_cuda()
    return LerfWildTrainer(config, **kwargs)


@dataclass
class LerfWildSplatModelConfig(LanguageFieldConfig, SplatfactoModelConfig):
    """splatfacto and a language field at the centres of its gaussians."""

    _target: Type = field(default_factory=lambda: make_model)  # noqa: UP006
    """Target to instantiate."""
    language_width: int = 64
    """Width of the hidden layers of the CLIP branch; training draws as many channels."""
    language_hidden_layers: int = 2
    """Number of hidden layers of the CLIP branch."""
    dino_width: int = 32
    """Width of the hidden layer of the DINO branch; drawn too."""
    language_start: int = 1500
    """Step from which on the language field is trained: before, the gaussians are not in place."""
    language_pixels: int = 1 << 17
    """Pixels of the picture in which language is rasterised in training, at the most."""
    query_channels: int = 31
    """Channels that a phrase is rasterised with; with the weight they make one pass of gsplat."""


@dataclass
class LerfWildSplatDataManagerConfig(FullImageDatamanagerConfig):
    """Whole images, with language targets at some of their pixels."""

    _target: Type = field(default_factory=lambda: make_datamanager)  # noqa: UP006
    """Target class to instantiate."""
    feature_cache: Optional[Path] = None  # noqa: UP045
    """Folder of the feature cache; the user's cache folder (or LERF_WILD_CACHE) when left out."""
    language_rays: int = 8192
    """Pixels of an image that have language targets in a step."""
    train_num_rays_per_batch: int = 8192
    """As `language_rays`; read where times are estimated."""


@dataclass
class LerfWildSplatPipelineConfig(LerfWildPipelineConfig):
    """lerf-wild's pipeline, with gaussians that start at the capture's points."""

    _target: Type = field(default_factory=lambda: make_pipeline)  # noqa: UP006
    """Target to instantiate."""


@dataclass
class LerfWildSplatTrainerConfig(LerfWildTrainerConfig):
    """Trainer that needs CUDA."""

    _target: Type = field(default_factory=lambda: make_trainer)  # noqa: UP006
    """Target to instantiate."""


GAUSSIAN_RATES: Tuple[Tuple[str, float], ...] = (  # noqa: UP006
    ("features_dc", 0.0025),
    ("features_rest", 0.0025 / 20),
    ("opacities", 0.05),
    ("scales", 0.005),
    ("quats", 0.001),
)
"""Learning rates of splatfacto (nerfstudio 1.1.5) that don't change."""


def _decaying(lr: float, lr_final: float, warmup: int = 0) -> dict[str, Any]:
    return {
        "optimizer": AdamOptimizerConfig(lr=lr, eps=1e-15),
        "scheduler": ExponentialDecayConfig(
            lr_final=lr_final, max_steps=STEPS, warmup_steps=warmup
        ),
    }


def _config() -> LerfWildSplatTrainerConfig:
    datamanager = LerfWildSplatDataManagerConfig(
        dataparser=WildNerfstudioDataParserConfig(load_3D_points=True), cache_images_type="uint8"
    )
    optimizers: dict[str, Any] = {
        name: {"optimizer": AdamOptimizerConfig(lr=rate, eps=1e-15), "scheduler": None}
        for name, rate in GAUSSIAN_RATES
    }
    optimizers["means"] = _decaying(1.6e-4, 1.6e-6)
    optimizers["camera_opt"] = _decaying(1e-4, 5e-7, warmup=1000)
    optimizers["bilateral_grid"] = _decaying(2e-3, 1e-4, warmup=1000)
    optimizers["language"] = _decaying(1e-2, 1e-3)
    return LerfWildSplatTrainerConfig(
        method_name="lerf-wild-splat",
        steps_per_eval_image=500,
        steps_per_eval_batch=0,
        steps_per_save=2000,
        steps_per_eval_all_images=STEPS,
        max_num_iterations=STEPS,
        mixed_precision=False,
        pipeline=LerfWildSplatPipelineConfig(
            datamanager=datamanager, model=LerfWildSplatModelConfig()
        ),
        optimizers=optimizers,
        viewer=ViewerConfig(websocket_host="127.0.0.1", num_rays_per_chunk=1 << 15),
        vis="viewer",
    )


lerf_wild_splat = MethodSpecification(
    config=_config(),
    description="lerf-wild on gaussian splats, for views in real time; needs a CUDA GPU.",
)
