"""The pipeline of lerf-wild with the items of a run's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lerf_wild.assets.library import Library, open_library
from lerf_wild.methods.lerf_wild.pipeline import LerfWildPipeline
from lerf_wild.methods.wildlife.config import WildlifePipelineConfig
from lerf_wild.methods.wildlife.item_field import ItemField
from lerf_wild.methods.wildlife.surfaces import RunPlace, surroundings_of
from lerf_wild.registry import make_panel
from lerf_wild.wildlife.population_files import population_path
from lerf_wild.wildlife.stage import Stage


class WildlifePipeline(LerfWildPipeline):
    """lerf-wild's pipeline, whose model shows items."""

    config: WildlifePipelineConfig

    def __init__(
        self,
        config: WildlifePipelineConfig,
        device: str | torch.device,
        test_mode: str = "val",
        world_size: int = 1,
        local_rank: int = 0,
        grad_scaler: Any = None,
    ) -> None:
        super().__init__(config, device, test_mode, world_size, local_rank, grad_scaler)
        path = config.population or population_path(Path(config.run_dir or "."))
        self.items = item_field(self, Path(path))
        self.model.attach_items(self.items)
        self.wildlife_panel = make_panel("wildlife", self)


def item_field(pipeline: Any, path: Path, library: Library | None = None) -> ItemField:
    """The items of a population file in a pipeline's scene."""
    held: list[Any] = []
    libraries = [library] if library is not None else []

    def surroundings() -> Any:
        if not held:
            held.append(surroundings_of(pipeline))
        return held[0]

    def opened() -> Library:
        if not libraries:
            libraries.append(open_library())
        return libraries[0]

    return ItemField(path, Stage(RunPlace(pipeline)), opened, surroundings)
