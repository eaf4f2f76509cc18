"""Pictures of any kind and size as the network's input: grey, 64x64, 0-1, black background."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lerf_wild.errors import DatasetError
from lerf_wild.render.primitives import IMAGE_SIZE
from lerf_wild.storage.image_files import MAX_PIXELS, read_image

ARRAYS = (".npy", ".npz")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm")


def find_images(paths: list[Path]) -> list[Path]:
    """The files that the arguments name: files themselves, and images and arrays of folders.

    Raises:
        DatasetError: a path doesn't exist, or a folder has no image.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [p for p in sorted(path.iterdir()) if p.suffix.lower() in (*ARRAYS, *PICTURES)]
            if not inside:
                raise DatasetError(f"{path}: no image in this folder. Give PNG, npy or npz files.")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise DatasetError(f"{path}: no such file or folder. Check the path.")
    return found


def load_images(path: Path) -> Iterator[Tensor]:
    """Yields the images of a file as float32 [64, 64]: one of a picture, N of an array.

    Raises:
        DatasetError: the file is broken, of another kind, or holds values out of range.
    """
    if path.suffix.lower() in ARRAYS:
        array = _read_array(path)
        for image in _as_stack(array, path):
            yield to_input(_to_unit(image, path))
    else:
        rgba = torch.from_numpy(read_image(path, with_alpha=True, upright=True)).float() / 255.0
        yield to_input(rgba[..., :3] * rgba[..., 3:])


def to_input(image: Tensor) -> Tensor:
    """Makes an image [H, W] or [H, W, 3] in 0-1 grey, square and 64x64.

    Narrow images get black borders. The outermost pixel centres stay on the border of the
    picture plane, as in the reference at every size, and larger images are averaged first.
    """
    if image.ndim == 3:
        image = image @ image.new_tensor([0.299, 0.587, 0.114])
    height, width = image.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = F.pad(image, (left, side - width - left, top, side - height - top))
    if side == IMAGE_SIZE:
        return square
    weights = _resampling(side)
    return (weights @ square @ weights.T).clamp(0.0, 1.0)


def _resampling(side: int) -> Tensor:
    """Weights [64, side] of linear interpolation, widened so that shrinking averages."""
    spacing = (side - 1) / (IMAGE_SIZE - 1)
    centres = torch.arange(IMAGE_SIZE) * spacing
    distance = (torch.arange(side) - centres[:, None]).abs()
    weights = (1.0 - distance / max(spacing, 1.0)).clamp(min=0.0)
    return weights / weights.sum(1, keepdim=True)


def _read_array(path: Path) -> np.ndarray:
    try:
        loaded = np.load(path, allow_pickle=False)  # noqa: TID251 - this module is the door.
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            if "images" not in loaded.files:
                names = ", ".join(loaded.files[:8]) or "nothing"
                raise DatasetError(f"{path}: has no array `images` (it has {names}).")
            return loaded["images"]
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file. Check the path.") from None
    except DatasetError:
        raise
    # numpy and zipfile raise these, and more, for files that are cut off or of another kind.
    except Exception as error:
        reason = str(error).split("\n")[0][:100] or type(error).__name__
        raise DatasetError(f"{path}: not a readable numpy file ({reason}).") from None


def _as_stack(array: np.ndarray, path: Path) -> np.ndarray:
    if array.ndim == 2:
        array = array[None]
    elif array.ndim == 3 and array.shape[-1] == 3 and array.shape[1] != 3:
        array = array[None]
    right_form = array.ndim == 3 or (array.ndim == 4 and array.shape[-1] == 3)
    if not right_form or array.size == 0:
        raise DatasetError(
            f"{path}: shape {array.shape}; give N x H x W or N x H x W x 3, not empty."
        )
    if array.shape[1] * array.shape[2] > MAX_PIXELS:
        raise DatasetError(f"{path}: images of {array.shape[1]}x{array.shape[2]} are too large.")
    return array


def _to_unit(image: np.ndarray, path: Path) -> Tensor:
    if image.dtype == np.uint8:
        return torch.from_numpy(image.astype(np.float32)) / 255.0
    if image.dtype.kind != "f":
        raise DatasetError(f"{path}: values of type {image.dtype}; give uint8, or floats in 0-1.")
    values = image.astype(np.float32)
    if not np.isfinite(values).all() or values.min() < -1e-3 or values.max() > 1.001:
        raise DatasetError(f"{path}: float values must be finite and lie in 0-1.")
    return torch.from_numpy(np.clip(values, 0.0, 1.0))
