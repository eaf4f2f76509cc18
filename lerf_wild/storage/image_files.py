"""The door for image files.

Captures are read as stored: camera poses from structure from motion (and nerfstudio) refer to the
stored pixels. A photo that stands for itself is read `upright`, turned as its EXIF asks for, since
viewers show it so, and boxes, points and detectors refer to what they show.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from lerf_wild.errors import DatasetError

MAX_PIXELS = 150_000_000
"""Most pixels an image may have; medium-format drone cameras make 100 million."""
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"),
    *(".heic", ".heif", ".avif"),
)
"""What photos are called. Those of the second row may be read or not: a folder that holds some gets
a line for each that can't be, rather than silence."""

# Pillow's guard against decompression bombs is set to our limit; what is larger is refused below.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# What is odd in a file, such as broken EXIF, does no harm as long as its pixels are read.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes the stored pixels upright, by EXIF's orientation."""
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def read_image(path: Path | str, with_alpha: bool = False, upright: bool = False) -> np.ndarray:
    """Returns the image as uint8 [height, width, 3] RGB.

    Transparent images are laid over white; with `with_alpha` the result is uint8
    [height, width, 4] instead, opaque where the file has no alpha. 16-bit greys keep their upper
    byte. With `upright` the picture is turned as its EXIF asks for. Raises DatasetError for a
    missing, truncated, oversized or foreign file.
    """
    return _load(Path(path), _to_rgba if with_alpha else _to_rgb, upright)


def read_mask(path: Path | str, upright: bool = False) -> np.ndarray:
    """Returns the mask as bool [height, width]: True where the file isn't black.

    Raises DatasetError as read_image does.
    """
    return _load(Path(path), lambda image: _to_grey(image) > 0, upright)


def _load(path: Path, convert: Callable[[Image.Image], np.ndarray], upright: bool) -> np.ndarray:
    try:
        with Image.open(path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise DatasetError(_oversized(path, f"{width}x{height} pixels"))
            return convert(_turned(image) if upright else image)
    except FileNotFoundError:
        raise DatasetError(f"{path}: image not found. Check the path.") from None
    except DatasetError:
        raise
    except UnidentifiedImageError:
        raise DatasetError(_foreign(path)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DatasetError(_oversized(path, "too many pixels")) from None
    # Pillow's plug-ins raise any of these for a file that is cut off or isn't an image.
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        IndexError,
        TypeError,
        OverflowError,
    ) as error:
        reason = str(error).replace(str(path), "").split("\n")[0][:100] or type(error).__name__
        if isinstance(error, OSError) and error.strerror:
            raise DatasetError(f"{path}: can't be read ({error.strerror}).") from None
        raise DatasetError(
            f"{path}: not a readable image ({reason}). Copy it again, or save it as PNG or JPEG."
        ) from None


def _oversized(path: Path, size: str) -> str:
    return f"{path}: {size}, more than the {MAX_PIXELS:,} we read. Save it smaller."


def _foreign(path: Path) -> str:
    with open(path, "rb") as file:
        start = file.read(12)
    if not start:
        return f"{path}: not a readable image (the file is empty). Copy it again."
    if start[4:8] == b"ftyp" and start[8:12] in (*_HEIC_BRANDS, b"avif", b"avis"):
        form = "AVIF" if start[8:10] == b"av" else "HEIC"
        return f"{path}: not a readable image: {form}, which isn't decoded here. Save it as JPEG."
    return (
        f"{path}: not a readable image (its content is in no known format). Copy it again, or "
        "save it as PNG or JPEG."
    )


def _turned(image: Image.Image) -> Image.Image:
    image.load()
    # EXIF comes from outside, and Pillow stumbles over broken ones in many ways; without one a
    # picture is as it is stored.
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        turn = None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.has_transparency_data:
        return _over_white(_to_rgba(image))
    if image.mode == "F":
        raise ValueError("floating point numbers, of which none is said to be white")
    if image.mode in _SIXTEEN_BIT_MODES:
        return np.repeat(_to_grey(image)[..., None], 3, axis=2)
    return np.array(image.convert("RGB"))


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
    # Rounded division by 255 of numbers that 16 bits can hold.
    missing = (255 - colour).astype(np.uint16) * alpha + np.uint16(127)
    return (255 - missing // 255).astype(np.uint8)
