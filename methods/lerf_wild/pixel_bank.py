"""Every training pixel in one uint8 table, for images of any and of different sizes.

Symbols: I images, P pixels of all images together, R rays, C colour channels (3, or 4 with alpha).

nerfstudio keeps images as float32 of one size, four times the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from nerfstudio.data.datasets.base_dataset import InputDataset
from torch import Tensor

from lerf_wild.errors import DatasetError


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
) -> tuple[UInt8[Tensor, "h w c"], UInt8[Tensor, "h w"] | None]:
    """Returns one image and its mask (True: use), cut to the camera's size.

    Raises DatasetError that names the file.
    """
    path = dataset.image_filenames[index]
    try:
        data = dataset.get_data(index, image_type="uint8")
    except (OSError, ValueError, SyntaxError, AssertionError, EOFError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"{path}: can't be read as an image ({reason[:200]}).") from None
    height = int(dataset.cameras.height[index])
    width = int(dataset.cameras.width[index])
    image = data["image"][:height, :width]
    if image.shape[0] < height - 1 or image.shape[1] < width - 1:
        raise DatasetError(
            f"{path}: {image.shape[1]}x{image.shape[0]} pixels, but its camera has "
            f"{width}x{height}. Correct w and h in transforms.json."
        )
    mask = data.get("mask")
    if mask is None:
        return image, None
    mask = mask[: image.shape[0], : image.shape[1], 0].bool()
    if not bool(mask.any()):
        raise DatasetError(f"{path}: its mask leaves no pixel. Drop the frame or mend the mask.")
    return image, mask


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
