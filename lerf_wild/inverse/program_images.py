"""Photos as squares of 256 pixels, which is what the reader looks at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lerf_wild.errors import DatasetError
from lerf_wild.inverse.program_detector import SIZE
from lerf_wild.storage.image_files import read_image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def find_photos(paths: Sequence[Path]) -> list[Path]:
    """Pictures that are named, and those in folders that are named, sorted.

    Raises:
        DatasetError: when nothing is there.
    """
    files: list[Path] = []
    for path in paths:
        inside = path.iterdir() if path.is_dir() else [path]
        files += sorted(f for f in inside if f == path or f.suffix.lower() in SUFFIXES)
    if not files:
        raise DatasetError("No photo was named; give pictures or folders of them.")
    return files


def load_photo(path: Path) -> NDArray[np.uint8]:
    """The middle square of a photo, (256, 256, 3); raises DatasetError for what is no picture."""
    return squared(read_image(path))


def squared(rgb_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The largest square in the middle of a picture, brought to 256 pixels."""
    height, width = rgb_HW3.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(rgb_HW3[top : top + side, left : left + side])
    return np.asarray(square.resize((SIZE, SIZE), Image.Resampling.LANCZOS))
