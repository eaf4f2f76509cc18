"""The door for image files.

Pixels are returned as stored: the orientation tag is not applied, because camera poses from
structure from motion (and nerfstudio) refer to the stored pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from lerf_wild.errors import DatasetError

MAX_PIXELS = 150_000_000
"""Most pixels an image may have; medium-format drone cameras make 100 million."""

_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def read_image(path: Path | str, with_alpha: bool = False) -> np.ndarray:
    """Returns the image as uint8 [height, width, 3] RGB.

    Transparent images are laid over white; with `with_alpha` the result is uint8
    [height, width, 4] instead, opaque where the file has no alpha. 16-bit greys keep their upper
    byte. Raises DatasetError for a missing, truncated, oversized or foreign file.
    """
    rgba = _load(Path(path), _to_rgba)
    return rgba if with_alpha else _over_white(rgba)


def read_mask(path: Path | str) -> np.ndarray:
    """Returns the mask as bool [height, width]: True where the file isn't black.

    Raises DatasetError as read_image does.
    """
    return _load(Path(path), lambda image: _to_grey(image) > 0)


def _load(path: Path, convert: Callable[[Image.Image], np.ndarray]) -> np.ndarray:
    try:
        with Image.open(path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise DatasetError(
                    f"{path}: {width}x{height} pixels, more than the {MAX_PIXELS:,} we read."
                )
            return convert(image)
    except FileNotFoundError:
        raise DatasetError(f"{path}: image not found. Check the path in the scene file.") from None
    except DatasetError:
        raise
    except UnidentifiedImageError:
        raise DatasetError(
            f"{path}: not a readable image (its content is in no known format). Copy it again, or "
            "save it as PNG or JPEG."
        ) from None
    # Pillow's plug-ins raise any of these for a file that is cut off or isn't an image.
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        IndexError,
        TypeError,
        OverflowError,
        Image.DecompressionBombError,
    ) as error:
        reason = str(error).replace(str(path), "").split("\n")[0][:100] or type(error).__name__
        raise DatasetError(
            f"{path}: not a readable image ({reason}). It may be truncated: copy it again."
        ) from None


def _to_rgba(image: Image.Image) -> np.ndarray:
    if image.mode in _SIXTEEN_BIT_MODES:
        grey = _to_grey(image)
        return np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    return np.asarray(image.convert("RGBA")).copy()


def _to_grey(image: Image.Image) -> np.ndarray:
    if image.mode in _SIXTEEN_BIT_MODES:
        values = np.asarray(image).astype(np.int64)
        return np.clip(np.maximum(values >> 8, values > 0), 0, 255).astype(np.uint8)
    return np.asarray(image.convert("L")).copy()


def _over_white(rgba_HW4: np.ndarray) -> np.ndarray:
    colour, alpha = rgba_HW4[..., :3], rgba_HW4[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(colour)
    share = alpha.astype(np.float32) / 255
    return np.rint(colour * share + 255 * (1 - share)).astype(np.uint8)
