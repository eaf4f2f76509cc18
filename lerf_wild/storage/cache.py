"""The feature cache: one content-keyed, memory-mapped safetensors file per entry.

The key is a hash of everything that the entry depends on, so an entry never goes stale and needs no
check beyond its shape. Files appear whole or not at all. The lock only saves work: should it fail
on some network file system, two processes write the same bytes and the last rename wins.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import filelock
import platformdirs
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lerf_wild.errors import CacheError
from lerf_wild.storage.atomic import TEMPORARY_SUFFIX, atomic_path
from lerf_wild.storage.hashes import file_sha256

__all__ = [
    "CacheWarning",
    "FeatureCache",
    "Template",
    "content_key",
    "default_cache_root",
    "file_sha256",
]

Template = Mapping[str, tuple[Sequence[int | None], torch.dtype]]
"""Per tensor its shape, None where any size will do, and its dtype."""

STALE_TEMPORARY_S = 24 * 3600.0
"""Age in seconds after which a temporary file is taken for the remains of a killed process."""

_KEY = re.compile(r"[0-9a-f]{64}")


class CacheWarning(UserWarning):
    """A cache entry was damaged and has been set aside."""


def default_cache_root() -> Path:
    """Returns the folder that LERF_WILD_CACHE names, else one in the user's cache folder."""
    chosen = os.environ.get("LERF_WILD_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("lerf-wild"))


def content_key(description: Mapping[str, object]) -> str:
    """Returns the sha256 of the description's canonical JSON as 64 hexadecimal digits.

    The order of keys doesn't matter. Raises TypeError for a value that JSON doesn't have and
    ValueError for NaN, both mistakes of the caller.
    """
    canonical = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


class FeatureCache:
    """Entries of named tensors under `root/features`; damaged ones go to `root/quarantine`."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._has_warned = False
        self._has_swept = False

    def path(self, key: str) -> Path:
        """Returns where the entry of `key` is or would be."""
        if not _KEY.fullmatch(key):
            raise CacheError(f"Cache key {key[:80]!r} is not 64 hexadecimal digits.")
        return self.root / "features" / key[:2] / f"{key}.safetensors"

    def get(self, key: str, like: Template) -> dict[str, Tensor] | None:
        """Returns the memory-mapped CPU tensors that `like` names, or None when there are none.

        An entry that is cut off, or differs from `like` in names, shape or dtype, is moved to
        the quarantine folder with one warning per cache object, and None is returned. Raises
        CacheError when the file is there but can't be opened.
        """
        path = self.path(key)
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt", device="cpu") as entry:
                # The tensors stay views of the mapped file after the handle is closed.
                names = set(entry.keys())
                tensors = {name: entry.get_tensor(name) for name in like if name in names}
            problem = _difference(tensors, like)
        except FileNotFoundError:
            return None
        except PermissionError:
            raise CacheError(_denied(path)) from None
        except (SafetensorError, OSError, RuntimeError, ValueError) as error:
            problem = str(error) or type(error).__name__
        if problem is None:
            return tensors
        self._quarantine(path, problem)
        return None

    def put(self, key: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, object]) -> None:
        """Writes an entry so that it is there completely or not at all.

        Metadata values that aren't text are stored as JSON. Raises CacheError when the disk is full
        or the folder can't be written; what was there before stays.
        """
        path = self.path(key)
        texts = {
            name: value if isinstance(value, str) else json.dumps(value, allow_nan=False)
            for name, value in metadata.items()
        }
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        try:
            self._sweep_once()
            with atomic_path(path) as temporary:
                save_file(whole, temporary, metadata=texts)
        except (OSError, SafetensorError) as error:
            raise CacheError(_not_written(path, error)) from None

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Holds the lock of an entry, to be taken around computing it.

        Look for the entry again once inside: another process may have just written it. Where the
        file system has no locks the block runs without one.
        """
        self.path(key)
        lock = filelock.FileLock(self.root / "locks" / f"{key}.lock")
        try:
            (self.root / "locks").mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except (OSError, NotImplementedError):
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def _quarantine(self, path: Path, problem: str) -> None:
        target = self.root / "quarantine" / f"{path.stem}.{uuid.uuid4().hex[:8]}.safetensors"
        # On a read-only cache the entry stays where it is and is recomputed by every process.
        with contextlib.suppress(OSError):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"Cache entry {path} is damaged ({problem.splitlines()[0][:120]}); moved to "
                f"{target.parent} and computed again. Further ones are moved without a word.",
                CacheWarning,
                stacklevel=3,
            )

    def _sweep_once(self) -> None:
        if self._has_swept:
            return
        self._has_swept = True
        oldest = time.time() - STALE_TEMPORARY_S
        for path in self.root.glob(f"features/*/.*{TEMPORARY_SUFFIX}"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


def _difference(tensors: Mapping[str, Tensor], like: Template) -> str | None:
    for name, (shape, dtype) in like.items():
        if name not in tensors:
            return f"tensor {name!r} is missing"
        tensor = tensors[name]
        if tensor.dtype != dtype:
            return f"tensor {name!r} is {tensor.dtype}, expected {dtype}"
        wanted = [have if want is None else want for have, want in zip(tensor.shape, shape)]
        if tensor.dim() != len(shape) or list(tensor.shape) != wanted:
            return f"tensor {name!r} has shape {list(tensor.shape)}, expected {list(shape)}"
    return None


def _denied(path: Path) -> str:
    return (
        f"Cache entry {path} may not be read.\n"
        "Change its permissions, or name another folder in the variable LERF_WILD_CACHE."
    )


def _not_written(path: Path, error: Exception) -> str:
    text = str(error)
    is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "StorageFull" in text
    reason = "the disk is full" if is_full else text.splitlines()[0][:160]
    return (
        f"Cache entry {path} can't be written: {reason}.\n"
        "Free some space, or name another folder in the variable LERF_WILD_CACHE."
    )
