"""Frames to a video file or to a folder of pictures, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from lerf_wild.errors import ExportError
from lerf_wild.storage.atomic import atomic_path, writing

CODECS = {
    ".mp4": ("mp4", "libx264"),
    ".mkv": ("matroska", "libx264"),
    ".webm": ("webm", "libvpx-vp9"),
}
"""File ending -> container and codec."""

FALLBACK_CODEC = "mpeg4"
"""Part of every build of the codecs, whatever its licence."""

WriteFrame = Callable[[np.ndarray], None]


@contextmanager
def open_frames(path: Path, fps: float) -> Iterator[WriteFrame]:
    """Yields a function that takes one uint8 RGB frame after the other, all of one size.

    A path with the ending of a video is written when the block ends and only if it succeeds; any
    other path is a folder that frames are written into, frame_00000.png and so on. Raises
    ExportError for an ending that is no video format and when nothing can be written.
    """
    with writing(path):
        if path.suffix.lower() in CODECS:
            with atomic_path(path) as temporary, _video(path, temporary, fps) as write:
                yield write
        else:
            yield _folder(path)


def check_output(path: Path) -> None:
    """Raises ExportError for a path that is neither a video of a known kind nor a folder."""
    if path.suffix and path.suffix.lower() not in CODECS and not path.is_dir():
        known = ", ".join(CODECS)
        raise ExportError(f"{path}: end it in {known} for a video, or name a folder for pictures.")
    if path.is_file() and path.suffix.lower() not in CODECS:
        raise ExportError(f"{path}: a file is in the place of the folder. Name another one.")


@contextmanager
def _video(path: Path, temporary: Path, fps: float) -> Iterator[WriteFrame]:
    container_name, codec = CODECS[path.suffix.lower()]
    codec = codec if codec in av.codecs_available else FALLBACK_CODEC
    with av.open(str(temporary), "w", format=container_name) as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1000))
        stream.pix_fmt = "yuv420p"

        size: list[tuple[int, int]] = []

        def write(frame_HW3: np.ndarray) -> None:
            even_HW3 = _even(frame_HW3)
            if not size:
                size.append(even_HW3.shape[:2])
                stream.height, stream.width = size[0]
            even_HW3 = _fitted(even_HW3, size[0])
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even_HW3), format="rgb24")
            container.mux(stream.encode(frame))

        yield write
        container.mux(stream.encode(None))


def _folder(path: Path) -> WriteFrame:
    path.mkdir(parents=True, exist_ok=True)
    count = 0

    def write(frame_HW3: np.ndarray) -> None:
        nonlocal count
        with atomic_path(path / f"frame_{count:05d}.png") as temporary:
            Image.fromarray(frame_HW3).save(temporary, format="PNG", compress_level=3)
        count += 1

    return write


def _even(frame_HW3: np.ndarray) -> np.ndarray:
    # Colour planes of half the size need even sides; the last row or column is repeated.
    height, width = frame_HW3.shape[:2]
    return np.pad(frame_HW3, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _fitted(frame_HW3: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    # Captures may mix sizes, a video can't: later frames take the size of the first.
    if frame_HW3.shape[:2] == size:
        return frame_HW3
    return np.asarray(Image.fromarray(frame_HW3).resize(size[::-1], Image.Resampling.BICUBIC))
