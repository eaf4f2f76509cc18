"""Scenes for training and measuring: fresh ones, or those of shards."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lerf_wild.errors import DatasetError
from lerf_wild.inverse.primitive_setups import find_setup
from lerf_wild.methods.air.config import AirDataManagerConfig
from lerf_wild.methods.pictures.datamanager import EVAL_SEED, PictureDataManager
from lerf_wild.render.primitive_scenes import PrimitiveScenes, concatenate
from lerf_wild.synth.primitives import read_shards


class AirDataManager(PictureDataManager):
    """Hands out images and their objects; the same step always gets the same scenes."""

    def __init__(self, config: AirDataManagerConfig, device: str | torch.device = "cpu") -> None:
        super().__init__(config, device)
        self.setup = find_setup(config.setup_name)
        self.shards = None if config.data is None else self._read(config.data)

    def _read(self, folder: Path) -> tuple[Tensor, PrimitiveScenes]:
        parts = list(read_shards(folder))
        if not parts:
            raise DatasetError(f"{folder}: holds no scene. Write it with `synth primitives`.")
        images = torch.cat([images for images, _ in parts])
        return images, concatenate([scenes for _, scenes in parts])

    def train_batch(self, step: int) -> tuple[Tensor, PrimitiveScenes]:
        """Images and scenes, in picture coordinates, of a step."""
        generator = self.step_generator(step)
        count = self.config.batch_size
        if self.shards is None:
            images, scenes = self.setup.draw(count, generator)
        else:
            everything, all_scenes = self.shards
            rows = torch.randint(len(everything), (count,), generator=generator)
            images, scenes = everything[rows], all_scenes[rows]
        return images.to(self.device), self.setup.to_picture(scenes).to(self.device)

    def eval_batch(self, count: int) -> tuple[Tensor, PrimitiveScenes]:
        """Validation images and their scenes in world coordinates."""
        return self.setup.draw(count, torch.Generator().manual_seed(EVAL_SEED))

    def get_train_rays_per_batch(self) -> int:
        """Pixels in a step: what nerfstudio reports speed in."""
        return self.config.batch_size * self.setup.view.camera.size**2
