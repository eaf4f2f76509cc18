"""Every training pixel in one uint8 table, for images of any and of different sizes.

Symbols: I images, P pixels of all images together, R rays, C colour channels (3, or 4 with alpha).

nerfstudio keeps images as float32 of one size, four times the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from nerfstudio.data.datasets.base_dataset import InputDataset
from PIL import Image
from torch import Tensor

from lerf_wild.errors import DatasetError
from lerf_wild.storage.image_files import read_image, read_mask


@dataclass(frozen=True)
class PixelBank:
    """Pixels of all images behind one another; draws rays evenly over all allowed pixels."""

    pixels_PC: UInt8[Tensor, "p c"]
    starts_I: Int[Tensor, "i"]
    """Row of each image's first pixel."""
    widths_I: Int[Tensor, "i"]
    allowed: Int[Tensor, "a"] | None
    """Rows that masks leave, or None when there are no masks."""

    def draw(
        self, num_rays: int, generator: torch.Generator | None = None
    ) -> tuple[Int[Tensor, "r 3"], Float[Tensor, "r c"]]:
        """Returns (image, row, column) of random pixels and their colours in [0, 1]."""
        count = len(self.pixels_PC) if self.allowed is None else len(self.allowed)
        rows = torch.randint(count, (num_rays,), generator=generator)
        if self.allowed is not None:
            rows = self.allowed[rows]
        return self.at(rows)

    def rows_of(self, image_R: Int[Tensor, "r"], xy_R2: Float[Tensor, "r 2"]) -> Int[Tensor, "r"]:
        """Rows of the pixels at places (x, y in pixels).

        Places outside go to the border, those that a mask takes to the next pixel that none takes.
        """
        ends_I = torch.cat([self.starts_I[1:], self.starts_I.new_tensor([len(self.pixels_PC)])])
        width_R = self.widths_I[image_R]
        height_R = (ends_I - self.starts_I)[image_R] // width_R
        column_R, row_R = xy_R2.long().clamp(min=0).unbind(-1)
        inside_R = row_R.minimum(height_R - 1) * width_R + column_R.minimum(width_R - 1)
        rows_R = self.starts_I[image_R] + inside_R
        if self.allowed is None:
            return rows_R
        return self.allowed[
            torch.searchsorted(self.allowed, rows_R).clamp(max=len(self.allowed) - 1)
        ]

    def at(self, rows: Int[Tensor, "r"]) -> tuple[Int[Tensor, "r 3"], Float[Tensor, "r c"]]:
        """Returns (image, row, column) of pixels and their colours in [0, 1]."""
        image = torch.searchsorted(self.starts_I, rows, right=True) - 1
        inside = rows - self.starts_I[image]
        width = self.widths_I[image]
        indices = torch.stack([image, inside // width, inside % width], dim=-1)
        return indices, self.pixels_PC[rows].float() / 255.0


def build_pixel_bank(dataset: InputDataset) -> PixelBank:
    """Reads all images and masks of a dataset.

    Images are cut to their camera's size where a downscaled file is a pixel larger. Raises
    DatasetError for an image that can't be decoded, differs in size, or is masked everywhere.
    """
    images: list[Tensor] = []
    masks: list[Tensor | None] = []
    for index in range(len(dataset)):
        image, mask = read_view(dataset, index)
        images.append(image)
        masks.append(mask)
    channels = max(image.shape[-1] for image in images)
    pixels = torch.cat([_with_channels(image, channels).flatten(0, 1) for image in images])
    counts = torch.tensor([image.shape[0] * image.shape[1] for image in images])
    return PixelBank(
        pixels_PC=pixels,
        starts_I=counts.cumsum(0) - counts,
        widths_I=torch.tensor([image.shape[1] for image in images]),
        allowed=_allowed_rows(masks, counts.tolist()),
    )


def read_view(
    dataset: InputDataset, index: int
) -> tuple[UInt8[Tensor, "h w c"], Bool[Tensor, "h w"] | None]:
    """Returns one image, with alpha if it has any, and its mask (True: use), cut to the camera.

    Raises DatasetError that names the file.
    """
    path = dataset.image_filenames[index]
    rgba = read_image(path, with_alpha=True)
    pixels = rgba[..., :3] if bool((rgba[..., 3] == 255).all()) else rgba
    image = torch.from_numpy(_scaled(pixels, dataset.scale_factor, Image.Resampling.BILINEAR))
    height = int(dataset.cameras.height[index])
    width = int(dataset.cameras.width[index])
    if image.shape[0] < height - 1 or image.shape[1] < width - 1:
        raise DatasetError(
            f"{path}: {image.shape[1]}x{image.shape[0]} pixels, but its camera has "
            f"{width}x{height}. Correct w and h in transforms.json."
        )
    image = image[:height, :width]
    return image, _mask_of(dataset, index, image.shape[:2])


def _mask_of(
    dataset: InputDataset, index: int, size: tuple[int, int]
) -> Bool[Tensor, "h w"] | None:
    paths = dataset._dataparser_outputs.mask_filenames
    if paths is None:
        return None
    grey = read_mask(paths[index]).astype(np.uint8) * 255
    mask = torch.from_numpy(_scaled(grey, dataset.scale_factor, Image.Resampling.NEAREST) > 0)
    if mask.shape[0] < size[0] or mask.shape[1] < size[1]:
        raise DatasetError(
            f"{paths[index]}: a mask of {mask.shape[1]}x{mask.shape[0]} pixels for an image of "
            f"{size[1]}x{size[0]}. Sizes must agree."
        )
    mask = mask[: size[0], : size[1]]
    if not bool(mask.any()):
        raise DatasetError(
            f"{paths[index]}: the mask leaves no pixel. Drop the frame or mend the mask."
        )
    return mask


def _scaled(pixels: np.ndarray, factor: float, filter_: Image.Resampling) -> np.ndarray:
    if factor == 1.0:
        return pixels
    height, width = pixels.shape[:2]
    size = (int(width * factor), int(height * factor))
    return np.array(Image.fromarray(pixels).resize(size, resample=filter_))


def _with_channels(image: Tensor, channels: int) -> Tensor:
    if image.shape[-1] == channels:
        return image
    opaque = image.new_full((*image.shape[:2], channels - image.shape[-1]), 255)
    return torch.cat([image, opaque], dim=-1)


def _allowed_rows(masks: Sequence[Tensor | None], counts: Sequence[int]) -> Tensor | None:
    if all(mask is None for mask in masks):
        return None
    flat = [
        torch.ones(count, dtype=torch.bool) if mask is None else mask.flatten()
        for mask, count in zip(masks, counts)
    ]
    return torch.cat(flat).nonzero().flatten()
