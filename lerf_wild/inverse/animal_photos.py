"""Photos as the regressor takes them, and boxes that a detector has found in them.

Symbols: H, W size of a photo in pixels, D side of the square around it. Places are -1 to 1 across
that square (x right, y down), in whose middle the photo lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lerf_wild.errors import InputError
from lerf_wild.inverse import detections
from lerf_wild.storage.image_files import read_image

MIN_SIDE_PX = 32
WORKING_PX = 512
"""Photos are brought to at most this side; the network sees far fewer pixels."""
MIN_CONTRAST = 2.0
"""Standard deviation of the grey values, of 255, below which a photo shows nothing."""


@dataclass(frozen=True)
class Photo:
    """A photo in a square."""

    name: str
    rgb_HW3: NDArray[np.uint8]
    square_3DD: Tensor
    """0-1, grey around the photo, at most `WORKING_PX` wide."""

    @property
    def side_px(self) -> int:
        """Side of the square in the photo's pixels."""
        return max(self.rgb_HW3.shape[:2])

    def to_pixels(self, spots_N2: NDArray[np.floating]) -> NDArray[np.float64]:
        """Places in the square as pixels (x, y) of the photo."""
        height, width = self.rgb_HW3.shape[:2]
        corner = 0.5 * (self.side_px - np.array([width, height]))
        return 0.5 * (np.asarray(spots_N2, np.float64) + 1.0) * self.side_px - corner

    def from_pixels(self, pixels_N2: NDArray[np.floating]) -> NDArray[np.float64]:
        """Pixels (x, y) of the photo as places in the square."""
        height, width = self.rgb_HW3.shape[:2]
        corner = 0.5 * (self.side_px - np.array([width, height]))
        return 2.0 * (np.asarray(pixels_N2, np.float64) + corner) / self.side_px - 1.0


def read_photo(path: Path) -> Photo:
    """Reads a photo of any size and form.

    Raises:
        DatasetError: the file is missing, broken, too large or no image.
        InputError: it is too small, or shows nothing at all.
    """
    return photo_of(read_image(path, upright=True), str(path))


def photo_of(rgb_HW3: NDArray[np.uint8], name: str) -> Photo:
    """A picture in memory as a photo.

    Raises:
        InputError: it is too small, or shows nothing at all.
    """
    height, width = rgb_HW3.shape[:2]
    if min(height, width) < MIN_SIDE_PX:
        raise InputError(f"{name}: {width}x{height} pixels; give at least {MIN_SIDE_PX} a side.")
    scale = min(1.0, WORKING_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(Image.fromarray(rgb_HW3).resize(size, Image.Resampling.BOX))
    if small.mean(axis=2).std() < MIN_CONTRAST:
        raise InputError(f"{name}: shows one even colour; give a photo with an animal in it.")
    side = max(size)
    square = torch.full((3, side, side), 0.5)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    shown = torch.from_numpy(small.copy()).permute(2, 0, 1).float() / 255.0
    square[:, top : top + size[1], left : left + size[0]] = shown
    return Photo(name, rgb_HW3, square)


def read_detections(path: Path, photo: Path, least: float = 0.2) -> NDArray[np.float64]:
    """Boxes (N, 4: left, top, right, bottom as shares of the photo) of animals, the surest first,
    from a JSON of MegaDetector; people and vehicles are left out.

    Raises:
        DatasetError: the file is no such JSON, or knows nothing of the photo.
    """
    found = detections.read_detections(path).of(photo, least)
    return np.array([animal.box_4 for animal in found.animals]).reshape(-1, 4)
