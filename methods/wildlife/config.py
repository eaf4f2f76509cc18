"""A lerf-wild run that is shown with its items, and the method that refines them. Import-light."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Optional, Tuple, Type  # noqa: UP035

from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.plugins.types import MethodSpecification

from lerf_wild.errors import tell_plainly
from lerf_wild.methods.lerf_wild.config import (
    LerfWildModelConfig,
    LerfWildPipelineConfig,
)

CONFIG_FILE = "wildlife.yml"
"""Beside a run's config.yml: the same run with its items, for every ns-* command."""


def make_model(config: "WildlifeModelConfig", **kwargs: Any) -> Any:
    """Builds the model of a config."""
    from lerf_wild.methods.wildlife.model import WildlifeModel

    return WildlifeModel(config, **kwargs)


def make_pipeline(config: "WildlifePipelineConfig", **kwargs: Any) -> Any:
    """Builds the pipeline of a config."""
    from lerf_wild.methods.wildlife.pipeline import WildlifePipeline

    tell_plainly()
    return WildlifePipeline(config, **kwargs)


def make_trainer(config: "WildlifeTrainerConfig", **kwargs: Any) -> Any:
    """Builds the trainer of a config."""
    from lerf_wild.methods.wildlife.trainer import WildlifeTrainer

    return WildlifeTrainer(config, **kwargs)


@dataclass
class WildlifeModelConfig(LerfWildModelConfig):
    """lerf-wild with items among its samples."""

    _target: Type = field(default_factory=lambda: make_model)  # noqa: UP006
    """Target to instantiate."""
    pixel_rays: int = 2
    """Rays along each side of a pixel that are traced for items."""
    item_shadows: bool = True
    """Whether items throw shadows on the scene."""


@dataclass
class WildlifePipelineConfig(LerfWildPipelineConfig):
    """lerf-wild's pipeline, with the items of a file."""

    _target: Type = field(default_factory=lambda: make_pipeline)  # noqa: UP006
    """Target to instantiate."""
    population: Optional[Path] = None  # noqa: UP045
    """The file of placed items; wildlife.json in the run's folder when left out."""


def with_items(config: Any, run_folder: Path) -> Any:
    """The config of a trained lerf-wild run as one that shows its items; changes the config."""
    model = _as(WildlifeModelConfig, config.pipeline.model)
    config.pipeline = _as(WildlifePipelineConfig, config.pipeline)
    config.pipeline.model = model
    config.pipeline.run_dir = run_folder
    config.relative_model_dir = run_folder / "nerfstudio_models"
    return config


def _as(kind: type, config: Any) -> Any:
    """A config of a kind with the values of one that it extends."""
    if isinstance(config, kind):
        return config
    made = kind()
    for item in fields(config):
        if item.name != "_target":
            setattr(made, item.name, getattr(config, item.name))
    return made


@dataclass
class WildlifeTrainerConfig(TrainerConfig):
    """Refines the items of a trained run against its photos: `--load-config` names the run."""

    _target: Type = field(default_factory=lambda: make_trainer)  # noqa: UP006
    """Target to instantiate."""
    run: Optional[Path] = None  # noqa: UP045
    """The run's config.yml; --load-config says the same."""
    items: Tuple[str, ...] = ()  # noqa: UP006
    """Which items; all that are shown when left out."""
    evaluations: int = 160
    """Guesses that are compared from each of five headings."""

    def __post_init__(self) -> None:
        # nerfstudio would put the run's own config in the place of this one.
        if self.load_config is not None:
            self.run, self.load_config = self.load_config, None


wildlife = MethodSpecification(
    config=WildlifeTrainerConfig(method_name="wildlife", vis="tensorboard"),
    description="Refine items that are placed in a trained lerf-wild run against its photos.",
)
