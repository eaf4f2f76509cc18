"""Rays with their colours and language targets.

Features are prepared by the pipeline when training starts. Viewing, rendering and exporting need
cameras only: no image and no feature is read then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.utils.dataloaders import (
    FixedIndicesEvalDataloader,
    RandIndicesEvalDataloader,
)
from nerfstudio.model_components.ray_generators import RayGenerator
from torch import Tensor

from lerf_wild.methods.lerf_wild.pixel_bank import PixelBank, build_pixel_bank

if TYPE_CHECKING:
    from lerf_wild.methods.lerf_wild.features import LanguageTargets

TILE_ANGLE = "tile_angle"
"""Ray metadata: tile side at distance 1, so that times a distance it is a size in nerf units."""

COLOUR_WEIGHT = "colour_weight"
"""Entry of a batch: what each ray's colour counts, so that colours are learnt as from even rays."""


class LerfWildDataManager(VanillaDataManager[InputDataset]):
    """VanillaDataManager with images as bytes and language targets for each ray."""

    train_bank: PixelBank | None = None
    eval_bank: PixelBank | None = None
    targets: LanguageTargets | None = None

    def __init__(self, config: Any, *args: Any, test_mode: str = "val", **kwargs: Any) -> None:
        if test_mode != "val" and hasattr(config.dataparser, "check_images"):
            config.dataparser.check_images = False
        super().__init__(config, *args, test_mode=test_mode, **kwargs)

    def setup_train(self) -> None:
        """Reads the training images if this is for training; sets up cameras in any case."""
        if self.test_mode == "val":
            self.train_bank = build_pixel_bank(self.train_dataset)
        self.train_pixel_sampler = self._get_pixel_sampler(
            self.train_dataset, self.config.train_num_rays_per_batch
        )
        self.train_ray_generator = RayGenerator(self.train_dataset.cameras.to(self.device))

    def setup_eval(self) -> None:
        """Sets up the held-out cameras; their images are read when they are asked for."""
        self.eval_pixel_sampler = self._get_pixel_sampler(
            self.eval_dataset, self.config.eval_num_rays_per_batch
        )
        self.eval_ray_generator = RayGenerator(self.eval_dataset.cameras.to(self.device))
        self.fixed_indices_eval_dataloader = FixedIndicesEvalDataloader(
            input_dataset=self.eval_dataset, device=self.device, num_workers=0
        )
        self.eval_dataloader = RandIndicesEvalDataloader(
            input_dataset=self.eval_dataset, device=self.device, num_workers=0
        )

    def next_train(self, step: int) -> tuple[RayBundle, dict[str, Tensor]]:
        """Random training rays; all randomness is that of torch's default generator."""
        self.train_count += 1
        count = self.train_pixel_sampler.num_rays_per_batch
        rare = round(self.config.rare_share * count) if self.targets is not None else 0
        indices, batch = _draw(self.train_bank, self.train_dataset.cameras, count - rare)
        if rare > 0:
            drawn = self.train_bank.at(self.train_bank.rows_of(*self.targets.draw_rare(rare)))
            indices = torch.cat([indices, drawn[0]])
            share = rare / count
            odds = 1.0 - share + share * self.targets.favour(indices)
            batch = {"image": torch.cat([batch["image"], drawn[1]]), "indices": indices}
            batch[COLOUR_WEIGHT] = (1.0 / odds)[:, None].to(self.device)
        rays = self.train_ray_generator(indices.to(self.device))
        if self.targets is not None:
            self._add_targets(rays, batch, indices)
        return rays, batch

    def next_eval(self, step: int) -> tuple[RayBundle, dict[str, Tensor]]:
        """Random held-out rays with their colours."""
        self.eval_count += 1
        if self.eval_bank is None:
            self.eval_bank = build_pixel_bank(self.eval_dataset)
        count = self.eval_pixel_sampler.num_rays_per_batch
        indices, batch = _draw(self.eval_bank, self.eval_dataset.cameras, count)
        return self.eval_ray_generator(indices.to(self.device)), batch

    def _add_targets(self, rays: RayBundle, batch: dict[str, Tensor], indices: Tensor) -> None:
        # Even in the logarithm, as queries try sizes. LERF draws sides evenly: nine in ten of its
        # tiles are then more than twice as large as the smallest, and small things are hardly seen.
        level_position = self.targets.spec.level_position(torch.rand(len(indices)))
        found = self.targets.lookup(indices, level_position)
        batch["clip"] = found.clip_RD.to(self.device)
        batch["clip_valid"] = found.clip_valid_R.to(self.device)
        batch["dino"] = found.dino_RC.to(self.device)
        ratio = self.targets.spec.tile_ratio(level_position)
        angle = ratio * image_angles(self.train_dataset.cameras)[indices[:, 0]]
        rays.metadata[TILE_ANGLE] = angle[:, None].to(self.device)


def image_angles(cameras: Cameras) -> Float[Tensor, "images"]:
    """Image height over focal length of each camera: what a view spans at distance 1."""
    return (cameras.height.float() / cameras.fy).flatten().cpu()


def _draw(
    bank: PixelBank | None, cameras: Cameras, count: int
) -> tuple[Int[Tensor, "r 3"], dict[str, Tensor]]:
    if bank is not None:
        indices, colours = bank.draw(count)
        return indices, {"image": colours, "indices": indices}
    image = torch.randint(len(cameras), (count,))
    size = torch.stack([cameras.height.flatten(), cameras.width.flatten()], dim=-1).cpu()
    inside = (torch.rand(count, 2) * size[image]).long()
    indices = torch.cat([image[:, None], inside], dim=-1)
    return indices, {"indices": indices}
