"""The door for file names that a dataset gives: they must stay inside the dataset's folder."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

from lerf_wild.errors import DatasetError

MAX_NAME_CHARACTERS = 1024
MAX_SEGMENT_BYTES = 255

_SCHEME = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]*://")


def inside(root: Path | str, name: str, allow_outside: bool = False) -> Path:
    """Returns the resolved path of `name` under `root`; the file need not exist.

    `name` is checked as a POSIX and as a Windows path, so that a dataset means the same on both,
    and after symbolic links are followed. With `allow_outside` absolute paths, `..` and links that
    leave the folder are let through: some nerfstudio captures have them, and the user has said
    so. Raises DatasetError.
    """
    _check_text(name)
    root = Path(root)
    if not allow_outside:
        _check_relative(name)
    try:
        path = (root / name).resolve()
        is_inside = path.is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError) as error:
        raise DatasetError(f"File name {_shown(name)} can't be resolved ({error}).") from None
    if not is_inside and not allow_outside:
        raise DatasetError(
            f"File name {_shown(name)} is a link that leaves {root}.\n"
            "Copy the file into the folder, or pass --allow-outside-root True if you trust it."
        )
    return path


def _check_text(name: object) -> None:
    if not isinstance(name, str):
        raise DatasetError(f"A file name must be text, got {type(name).__name__}.")
    if not name.strip() or name.strip("/\\. ") == "":
        raise DatasetError(f"File name {_shown(name)} names no file.")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise DatasetError(f"File name {_shown(name)} holds a control character.")
    if len(name) > MAX_NAME_CHARACTERS:
        raise DatasetError(f"File name {_shown(name)} is over {MAX_NAME_CHARACTERS} characters.")
    if _SCHEME.match(name):
        raise DatasetError(f"File name {_shown(name)} is an address; only local files are read.")
    if any(len(segment.encode()) > MAX_SEGMENT_BYTES for segment in name.split("/")):
        raise DatasetError(f"File name {_shown(name)} has a part over {MAX_SEGMENT_BYTES} bytes.")


def _check_relative(name: str) -> None:
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    if posix.is_absolute() or windows.anchor or "\\" in name or name.startswith("~"):
        problem = "is not a relative path with forward slashes"
    elif any(unicodedata.normalize("NFKC", part).strip() == ".." for part in posix.parts):
        # Full-width dots become plain ones on file systems that normalise names.
        problem = "climbs out of its folder"
    else:
        return
    raise DatasetError(
        f"File name {_shown(name)} {problem}.\n"
        "Make it relative to the dataset's folder, or pass --allow-outside-root True to trust it."
    )


def _shown(name: object) -> str:
    text = ascii(name)
    return text if len(text) <= 100 else f"{text[:100]}..."
