"""Hashes of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lerf_wild.errors import InputError


def file_sha256(path: Path | str) -> str:
    """Returns the sha256 of a file in hexadecimal; raises InputError if it can't be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror}). Check the path.") from None
    return digest.hexdigest()
