"""Writes that are either complete or not there.

Every file is written under a temporary name in its own folder, flushed to the disk and renamed.
A process killed at any moment leaves the old file, the new file, or a stray `*.tmp`.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from lerf_wild.errors import ExportError, InputError

IS_FULL = " Is the disk full?"
TEMPORARY_SUFFIX = ".tmp"


@contextlib.contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """Yields a temporary path beside `target` that takes its place when the block succeeds.

    The file is synced and renamed on success and removed on any failure, so `target` never holds
    half of what was written. The folder is made when it is missing. Raises OSError as the file
    system does, for example when the disk is full.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name[-100:]}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")
    try:
        yield temporary
        _sync_file(temporary)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


@contextlib.contextmanager
def writing(
    path: Path | str, error: type[InputError] = ExportError, hint: str = ""
) -> Iterator[None]:
    """Says in one line which file it is when the file system refuses what the block writes.

    Raises `error`, which ends with `hint`, in place of OSError.
    """
    try:
        yield
    except OSError as fault:
        raise error(f"{path}: can't be written ({fault.strerror or fault}).{hint}") from None


def write_bytes(path: Path | str, data: bytes) -> None:
    """Writes bytes atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    """Writes UTF-8 text with `\\n` line ends atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path | str, obj: object) -> None:
    """Writes indented JSON atomically; raises ValueError for NaN and infinity."""
    text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False)
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        # Half of a character, as names of files that are no UTF-8 have: told by its number.
        text = json.dumps(obj, indent=2, allow_nan=False)
    write_text(path, text + "\n")


def _sync_file(path: Path) -> None:
    # Windows can only sync a handle that is open for writing.
    with open(path, "rb+") as handle:
        os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    # Windows can't open a folder, and some network file systems can't sync one; the rename itself
    # has happened by now, so only its survival of a power cut is at stake.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
