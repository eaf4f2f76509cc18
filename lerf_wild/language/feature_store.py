"""Tile embeddings and patch features of a capture's images, computed once and kept in the cache.

An entry's key covers the image file's bytes, its mask, the encoders' weights and the tiles, so that
nothing stale is ever reused, whatever files are called. Encoders are only loaded when an entry is
missing, and entries are mapped into memory, so a second start costs little more than hashing the
files. Interrupted work goes on with the first missing image.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float16
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from torch import Tensor

from lerf_wild.errors import CacheError, DatasetError, InputError
from lerf_wild.language.encoders import ImageTextEncoder, PatchEncoder
from lerf_wild.language.pyramid import encode_pyramid
from lerf_wild.language.pyramid_layout import (
    DEFAULT_SPEC,
    PyramidLayout,
    PyramidSpec,
    pyramid_layout,
)
from lerf_wild.storage.cache import FeatureCache, content_key
from lerf_wild.storage.hashes import file_sha256
from lerf_wild.storage.image_files import read_image, read_mask

SCHEMA_VERSION = 1
"""Goes up whenever the same images would give other features."""

_LIKE = {
    "tiles": ((None, None), torch.float16),
    "valid": ((None,), torch.bool),
    "size": ((2,), torch.int64),
}
_PATCHES_LIKE = {"patches": ((None, None, None), torch.float16)}

EncoderT_co = TypeVar("EncoderT_co", covariant=True)


class Source(Protocol, Generic[EncoderT_co]):
    """An encoder that need not be loaded yet, such as `registry.EncoderChoice`."""

    @property
    def identity(self) -> str:
        """What the loaded encoder will call itself."""

    def load(self) -> EncoderT_co:
        """Loads the encoder."""


@dataclass(frozen=True)
class FeatureEntry:
    """What is known of one image; the tensors are mapped from the cache file."""

    tiles: Float16[Tensor, "N D"]
    valid: Bool[Tensor, "N"]
    layout: PyramidLayout
    patches: Float16[Tensor, "C h w"] | None


@dataclass(frozen=True)
class Prepared:
    """What a call of `FeatureStore.prepare` did."""

    computed: int
    """Images that were encoded."""
    reused: int
    """Images whose entry was there."""
    seconds: float


class FeatureStore:
    """The features of a list of images, in their order."""

    def __init__(
        self,
        cache: FeatureCache,
        encoder: Source[ImageTextEncoder],
        patch_encoder: Source[PatchEncoder] | None = None,
        spec: PyramidSpec = DEFAULT_SPEC,
    ) -> None:
        self.cache = cache
        self.spec = spec
        self._encoder = encoder
        self._patch_encoder = patch_encoder
        self._like = _LIKE if patch_encoder is None else {**_LIKE, **_PATCHES_LIKE}
        self._keys: list[str] = []
        self._entries: list[FeatureEntry] = []

    def __len__(self) -> int:
        """Returns the number of images that are prepared."""
        return len(self._entries)

    def entry(self, index: int) -> FeatureEntry:
        """Returns the features of one image, in the order given to `prepare`."""
        return self._entries[index]

    @property
    def entries(self) -> Sequence[FeatureEntry]:
        """The features of all images."""
        return tuple(self._entries)

    def prepare(
        self,
        image_paths: Sequence[Path],
        mask_paths: Sequence[Path] | None = None,
        progress: bool = True,
        load_image: Callable[[int], np.ndarray] | None = None,
        treatments: Sequence[Mapping[str, object]] | None = None,
    ) -> Prepared:
        """Makes sure that the features of all images are in the cache, and opens them.

        Args:
            image_paths: image files; their bytes are part of the key.
            mask_paths: as many masks, white where pixels count, or None.
            progress: show images per second and the time left while encoding.
            load_image: returns image `i` as uint8 [H, W, 3] when it is not simply the file's
                content, for example because it is undistorted or scaled first.
            treatments: with `load_image`, what it does to each image, as JSON values; part of
                the key.

        Raises DatasetError for unreadable images, EncoderError and CacheError as the parts do.
        """
        started = time.perf_counter()
        if mask_paths is not None and len(mask_paths) != len(image_paths):
            raise DatasetError(f"{len(image_paths)} images but {len(mask_paths)} masks were given.")
        if load_image is not None and treatments is None:
            raise CacheError("load_image needs treatments, or the cache can't tell images apart.")
        self._keys = self._content_keys(image_paths, mask_paths, treatments)
        found = [self._read(key) for key in self._keys]
        missing = [index for index, entry in enumerate(found) if entry is None]
        read = load_image or (lambda index: read_image(image_paths[index]))
        for index in _track(missing, progress):
            mask_path = None if mask_paths is None else mask_paths[index]
            found[index] = self._obtain(index, lambda i=index: read(i), mask_path)
        self._entries = found
        seconds = time.perf_counter() - started
        return Prepared(len(missing), len(found) - len(missing), seconds)

    def kept(
        self, image_paths: Sequence[Path], mask_paths: Sequence[Path] | None = None
    ) -> Sequence[FeatureEntry]:
        """The features of images that `prepare` was once called for; none if one isn't there, be it
        an image or its features."""
        try:
            keys = self._content_keys(image_paths, mask_paths, None)
        except InputError:
            return []
        entries = [self._read(key) for key in keys]
        return [] if None in entries else [entry for entry in entries if entry is not None]

    def _content_keys(
        self,
        image_paths: Sequence[Path],
        mask_paths: Sequence[Path] | None,
        treatments: Sequence[Mapping[str, object]] | None,
    ) -> list[str]:
        # Hashing releases the interpreter's lock, so threads divide the time.
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            image_hashes = list(pool.map(file_sha256, image_paths))
            mask_hashes = list(pool.map(file_sha256, mask_paths or []))
        patch_encoder = self._patch_encoder
        common = {
            "schema": SCHEMA_VERSION,
            "encoder": self._encoder.identity,
            "patch_encoder": None if patch_encoder is None else patch_encoder.identity,
            "pyramid": asdict(self.spec),
        }
        masks = mask_hashes or [None] * len(image_hashes)
        treatments = treatments or [{}] * len(image_hashes)
        return [
            content_key({**common, "image": image, "mask": mask, "treatment": dict(treatment)})
            for image, mask, treatment in zip(image_hashes, masks, treatments)
        ]

    def _read(self, key: str) -> FeatureEntry | None:
        tensors = self.cache.get(key, self._like)
        if tensors is None:
            return None
        layout = pyramid_layout(self.spec, *tensors["size"].tolist())
        return FeatureEntry(tensors["tiles"], tensors["valid"], layout, tensors.get("patches"))

    def _obtain(
        self, index: int, load: Callable[[], np.ndarray], mask_path: Path | None
    ) -> FeatureEntry:
        key = self._keys[index]
        with self.cache.lock(key):
            # Another process may have written it while this one waited for the lock.
            entry = self._read(key)
            if entry is not None:
                return entry
            self.cache.put(key, self._compute(load(), mask_path), {"schema": SCHEMA_VERSION})
        entry = self._read(key)
        if entry is None:
            raise CacheError(f"{self.cache.path(key)}: vanished right after it was written.")
        return entry

    def _compute(self, image_HW3: np.ndarray, mask_path: Path | None) -> dict[str, Tensor]:
        image_3HW = torch.from_numpy(image_HW3).permute(2, 0, 1).float() / 255
        mask_HW = None if mask_path is None else torch.from_numpy(read_mask(mask_path))
        if mask_HW is not None and mask_HW.shape != image_3HW.shape[1:]:
            raise DatasetError(
                f"{mask_path}: mask of {mask_HW.shape[1]}x{mask_HW.shape[0]} pixels for an image "
                f"of {image_3HW.shape[2]}x{image_3HW.shape[1]}. Sizes must agree."
            )
        encoder, patch_encoder = self._loaded
        pyramid = encode_pyramid(image_3HW, mask_HW, encoder, self.spec)
        tensors = {
            "tiles": pyramid.tiles,
            "valid": pyramid.valid,
            "size": torch.tensor(image_3HW.shape[1:], dtype=torch.int64),
        }
        if patch_encoder is not None:
            features_1Chw = patch_encoder.patch_features(image_3HW[None])
            tensors["patches"] = features_1Chw[0].to("cpu", torch.float16)
        return tensors

    @functools.cached_property
    def _loaded(self) -> tuple[ImageTextEncoder, PatchEncoder | None]:
        return self._encoder.load(), self._patch_encoder and self._patch_encoder.load()


class _Rate(ProgressColumn):
    """Images per second since the start: rich's own speed is unknown until it sampled twice."""

    def render(self, task: Task) -> str:
        """Returns the column's text."""
        seconds = task.finished_time or task.elapsed
        return f"{task.completed / seconds:.1f} images/s" if task.completed and seconds else ""


def _track(missing: Sequence[int], show: bool) -> Iterator[int]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not show or len(missing) == 0) as bar:
        yield from bar.track(missing, description="Encoding images")
