"""The language targets of training rays: CLIP at a random tile size, DINO at the pixel.

Symbols: I images, R rays, D CLIP dimensions, C DINO dimensions, N patches of all images.

Features are those of the image files as they are, whatever the scale at which rays are drawn, so
that one cache entry serves them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.data.datasets.base_dataset import InputDataset
from torch import Tensor

from lerf_wild.language.feature_store import FeatureEntry, FeatureStore
from lerf_wild.language.lookup import PyramidBank, is_centred, lookup_many
from lerf_wild.language.rare_tiles import RareTiles
from lerf_wild.storage.cache import FeatureCache, default_cache_root

if TYPE_CHECKING:
    from lerf_wild.methods.lerf_wild.datamanager import LerfWildDataManager
    from lerf_wild.methods.lerf_wild.encoders import RunEncoders

MAX_BANK_BYTES = 2 << 30
"""Features up to this size are held in memory in one piece; larger ones stay mapped files."""


@dataclass(frozen=True)
class RayTargets:
    """What the language field should say along each ray."""

    clip_RD: Float[Tensor, "r d"]
    clip_valid_R: Bool[Tensor, "r"]
    dino_RC: Float[Tensor, "r c"]


class PatchBank:
    """Patch-feature grids of many images in one table, read at the nearest cell."""

    def __init__(self, grids_CHW: Sequence[Float[Tensor, "c h w"]]) -> None:
        flat = [grid.flatten(1).T for grid in grids_CHW]
        self.table_NC = torch.cat(flat)
        counts = torch.tensor([len(rows) for rows in flat])
        self.starts_I = counts.cumsum(0) - counts
        self.grid_sizes_I2 = torch.tensor([grid.shape[1:] for grid in grids_CHW])
        # Targets of unit variance make the loss weight mean the same for every patch encoder.
        sample = self.table_NC[:: max(1, len(self.table_NC) // 65536)]
        self.scale = 1.0 / float(sample.float().std().clamp(min=1e-6))

    def lookup(
        self, image_R: Int[Tensor, "r"], place_R2: Float[Tensor, "r 2"]
    ) -> Float[Tensor, "r c"]:
        """Features at places (x, y as shares of the image), scaled to unit variance."""
        grid_R2 = self.grid_sizes_I2[image_R]
        cell_R2 = (place_R2.flip(-1) * grid_R2).long().clamp(min=0).minimum(grid_R2 - 1)
        rows = self.starts_I[image_R] + cell_R2[:, 0] * grid_R2[:, 1] + cell_R2[:, 1]
        return self.table_NC[rows].float() * self.scale


class LanguageTargets:
    """Both kinds of features of all training images, ready to be looked up."""

    def __init__(
        self,
        store: FeatureStore,
        camera_sizes_I2: Int[Tensor, "i 2"],
        max_bytes: int = MAX_BANK_BYTES,
    ) -> None:
        entries = store.entries
        self.spec = store.spec
        self.patches = PatchBank([entry.patches for entry in entries])
        self._entries = entries
        self._bank = PyramidBank(entries) if _tile_bytes(entries) <= max_bytes else None
        self._rare = RareTiles(entries)
        self._camera_sizes_I2 = camera_sizes_I2.float()
        layouts = [(entry.layout.width, entry.layout.height) for entry in entries]
        self._image_sizes_I2 = torch.tensor(layouts, dtype=torch.float32)

    def draw_rare(self, count: int) -> tuple[Int[Tensor, "r"], Float[Tensor, "r 2"]]:
        """Images and places (x, y in pixels of the camera) of what fills little of the pictures."""
        image_R, pixel_R2 = self._rare.draw(count)
        share_R2 = pixel_R2 / self._image_sizes_I2[image_R]
        return image_R, share_R2 * self._camera_sizes_I2[image_R]

    def favour(self, indices_R3: Int[Tensor, "r 3"]) -> Float[Tensor, "r"]:
        """How many times as likely as by an even draw `draw_rare` meets (image, row, column)."""
        image_R = indices_R3[:, 0]
        share_R2 = (indices_R3[:, [2, 1]] + 0.5) / self._camera_sizes_I2[image_R]
        return self._rare.favour(image_R, share_R2 * self._image_sizes_I2[image_R])

    def lookup(
        self, indices_R3: Int[Tensor, "r 3"], level_position_R: Float[Tensor, "r"]
    ) -> RayTargets:
        """Targets at (image, row, column) pixels and positions 0-1 in the pyramid of tile sizes."""
        image_R = indices_R3[:, 0]
        place_R2 = (indices_R3[:, [2, 1]] + 0.5) / self._camera_sizes_I2[image_R]
        pixel_R2 = place_R2 * self._image_sizes_I2[image_R]
        if self._bank is not None:
            clip_RD, valid_R = self._bank.lookup(image_R, level_position_R, pixel_R2)
        else:
            clip_RD, valid_R = lookup_many(self._entries, image_R, level_position_R, pixel_R2)
        ratio_R = self.spec.tile_ratio(level_position_R)
        valid_R = valid_R & is_centred(pixel_R2, self._image_sizes_I2[image_R], ratio_R)
        return RayTargets(clip_RD, valid_R, self.patches.lookup(image_R, place_R2))


def prepare_targets(datamanager: LerfWildDataManager, encoders: RunEncoders) -> LanguageTargets:
    """Encodes all training images, or finds their features in the cache.

    Raises DatasetError, EncoderError or CacheError.
    """
    store = _store(datamanager, encoders)
    outputs = datamanager.train_dataparser_outputs
    store.prepare(outputs.image_filenames, outputs.mask_filenames)
    return LanguageTargets(store, _camera_sizes(datamanager.train_dataset))


def kept_tiles(datamanager: LerfWildDataManager, encoders: RunEncoders) -> Sequence[FeatureEntry]:
    """The features of all training images if the cache still has them, else none.

    Raises EncoderError when the run's encoders can't be had.
    """
    outputs = datamanager.train_dataparser_outputs
    return _store(datamanager, encoders).kept(outputs.image_filenames, outputs.mask_filenames)


def _store(datamanager: LerfWildDataManager, encoders: RunEncoders) -> FeatureStore:
    root = datamanager.config.feature_cache or default_cache_root()
    return FeatureStore(FeatureCache(root), encoders.choice, encoders.patch_choice)


def _camera_sizes(dataset: InputDataset) -> Int[Tensor, "i 2"]:
    cameras = dataset.cameras
    return torch.stack([cameras.width.flatten(), cameras.height.flatten()], dim=-1).cpu()


def _tile_bytes(entries: Sequence[FeatureEntry]) -> int:
    return sum(entry.tiles.numel() * entry.tiles.element_size() for entry in entries)
