"""Photos as the reader looks at them: squares of 256 pixels, or wide pictures of that height."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lerf_wild.errors import DatasetError
from lerf_wild.inverse.program_detector import SIZE
from lerf_wild.storage.image_files import SUFFIXES, read_image

LEAST_SIDE = 32
"""Pixels; of a smaller photo nothing could be read."""
WIDEST = 8
"""Wider photos, as multiples of their height, are cut to this around their middle."""
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class PhotoPlace:
    """A photo, and what it is called below the folder that was named."""

    path: Path
    name: str
    """With forward slashes and suffix."""
    folder: str
    """Where its results go below the output folder; "" for the output folder itself."""


@dataclass(frozen=True)
class Photo:
    """Part of a photo at 256 pixels of height, and which part it is."""

    rgb_HW3: NDArray[np.uint8]
    window_4: Box
    """Left, top, right, bottom of the part in the file's pixels."""
    file_size: tuple[int, int]
    """Width and height of the file's picture."""

    def from_file(self, boxes_N4: NDArray[np.floating] | Sequence[Box]) -> NDArray[np.float64]:
        """Boxes in the file's pixels as boxes in this picture's."""
        left, top, right, _ = self.window_4
        scale = self.rgb_HW3.shape[1] / (right - left)
        return (np.reshape(boxes_N4, (-1, 4)) - [left, top, left, top]) * scale

    def shares(self, boxes_N4: NDArray[np.floating]) -> NDArray[np.float64]:
        """Boxes in this picture's pixels as shares of the file's width and height."""
        left, top, right, _ = self.window_4
        scale = (right - left) / self.rgb_HW3.shape[1]
        pixels = np.reshape(boxes_N4, (-1, 4)) * scale + [left, top, left, top]
        return np.clip(pixels / [*self.file_size, *self.file_size], 0.0, 1.0)

    def fov_deg(self, whole_deg: float) -> float:
        """The part's vertical field of view, where that of the whole photo is known."""
        share = (self.window_4[3] - self.window_4[1]) / self.file_size[1]
        return float(np.degrees(2 * np.arctan(share * np.tan(np.radians(whole_deg) / 2))))


def find_photos(paths: Sequence[Path], output_dir: Path | None = None) -> list[PhotoPlace]:
    """Pictures that are named, and those in and below folders that are named, sorted.

    What lies in the output folder is left out, so that results are not read as photos.

    Raises:
        DatasetError: when nothing is there.
    """
    found: list[tuple[Path, str]] = []
    # Other than Path.is_dir, this says no to names that no file can have.
    folders = [path for path in paths if os.path.isdir(path)]
    for path in paths:
        if path in folders:
            start = f"{path.resolve().name}/" if len(folders) > 1 else ""
            inside = _pictures_below(path, output_dir)
            found += [(f, start + f.relative_to(path).as_posix()) for f in inside]
        else:
            found.append((path, path.name))
    if not found:
        where = f"{folders[0]}: holds no photo" if folders else "No photo was named"
        raise DatasetError(f"{where}; give pictures or folders of them.")
    if len(found) == 1 and not folders:
        return [PhotoPlace(*found[0], "")]
    return [
        PhotoPlace(path, name, folder)
        for (path, name), folder in zip(found, _folders([name for _, name in found]))
    ]


def load_photo(path: Path) -> NDArray[np.uint8]:
    """The middle square of a photo, (256, 256, 3); raises DatasetError for what is no picture."""
    return open_photo(path).rgb_HW3


def open_photo(path: Path, animals: Sequence[Box] | None = None) -> Photo:
    """The middle square of a photo, as a viewer shows it.

    Args:
        path: The photo.
        animals: Where a detector has seen animals, the surest first (left, top, right, bottom as
            shares of the photo); then all of a photo is kept that is wider than high, and of a
            higher one the square that shows most of them.

    Raises:
        DatasetError: for what is no picture, or too small.
    """
    rgb = read_image(path, upright=True)
    height, width = rgb.shape[:2]
    if min(height, width) < LEAST_SIDE:
        raise DatasetError(f"{path}: {width}x{height} pixels; give at least {LEAST_SIDE} a side.")
    is_wide = animals is not None and width > height
    across = min(width, WIDEST * height) if is_wide else min(height, width)
    down = min(height, across)
    left, top = (width - across) // 2, _top(animals or (), height, down)
    part = Image.fromarray(rgb[top : top + down, left : left + across])
    size = (max(SIZE, round(SIZE * across / down)), SIZE)
    shown = np.asarray(part.resize(size, Image.Resampling.LANCZOS))
    return Photo(shown, (left, top, left + across, top + down), (width, height))


def _top(animals: Sequence[Box], height: int, down: int) -> int:
    """First row of the part that shows most animals, of the tallest photos; else of the middle."""
    middle = (height - down) // 2
    if middle == 0 or not animals:
        return middle
    rows_N2 = np.array([[box[1], box[3]] for box in animals]) * height
    centres = [(rows_N2[:, 0].min() + rows_N2[:, 1].max()) / 2, *rows_N2.mean(axis=1)]
    tops = [int(np.clip(round(centre - down / 2), 0, height - down)) for centre in centres]
    shown = [((rows_N2[:, 0] >= t) & (rows_N2[:, 1] <= t + down)).sum() for t in tops]
    return tops[int(np.argmax(shown))]


def _pictures_below(folder: Path, output_dir: Path | None) -> list[Path]:
    own = None if output_dir is None else output_dir.resolve()
    is_apart = own is None or own == folder.resolve()
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and file.name != "side_by_side.jpg"
        and (is_apart or own not in file.resolve().parents)
    )


def _folders(names: Iterable[str]) -> list[str]:
    """A folder for each photo: its name without suffix, or with it where two differ by it only.

    Raises:
        DatasetError: when two photos are of one name.
    """
    names = list(names)
    stems = Counter(str(PurePosixPath(name).with_suffix("")) for name in names)
    if len(set(names)) != len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise DatasetError(f"Two photos are called {twice}; read them in separate runs.")
    plain = [str(PurePosixPath(name).with_suffix("")) for name in names]
    return [stem if stems[stem] == 1 else name for stem, name in zip(plain, names)]
