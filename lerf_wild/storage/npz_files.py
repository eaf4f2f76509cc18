"""The door for .npz files of others: arrays without pickles, or a line on what is wrong."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lerf_wild.errors import InputError


def read_npz(path: Path, error: type[InputError]) -> dict[str, NDArray]:
    """All arrays of a file by name; raises `error` where it is missing, damaged or has objects."""
    try:
        # The handle is ours, since numpy leaves its own open when the archive is damaged.
        with open(path, "rb") as handle:
            found = np.load(handle, allow_pickle=False)  # noqa: TID251 - this module is the door.
            return {name: found[name] for name in found.files}
    except (
        *(OSError, ValueError, KeyError, EOFError, AttributeError),
        *(NotImplementedError, RuntimeError, MemoryError),
    ) as fault:
        reason = str(fault).split("\n")[0][:100]
        raise error(f"{path}: no readable .npz ({reason}).") from None
    except (zipfile.BadZipFile, zlib.error) as fault:
        raise error(f"{path}: a damaged .npz ({fault}).") from None
