"""Machine-readable results: flat JSON with figures as numbers, and what they were made with."""

import math
import platform
import shlex
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Annotated

import tyro

from lerf_wild import __version__
from lerf_wild.errors import ExportError
from lerf_wild.storage import atomic

JsonFile = Annotated[
    Path | None,
    tyro.conf.arg(name="json", metavar="FILE", help="Also write the result to this JSON file."),
]
"""Type of the `--json FILE` flag: `def query(..., json_file: JsonFile = None)`."""

_DISTRIBUTIONS = ("torch", "nerfstudio", "open_clip_torch", "transformers", "numpy", "trimesh")


def write_report(
    path: Path | str | None, figures: Mapping[str, object], seed: int | None = None
) -> None:
    """Writes the figures with the command, seed, versions and device beside them, atomically.

    Nothing is written when `path` is None, so that commands can pass their flag on. Figures are
    rates from 0 to 1, lengths in metres or world units, angles in degrees; one that isn't
    finite is written as null. Raises ExportError when the file can't be written.
    """
    if path is None:
        return
    content = {**{name: _plain(value) for name, value in figures.items()}, **surroundings(seed)}
    with atomic.writing(path, hint=atomic.IS_FULL):
        try:
            atomic.write_json(path, content)
        except (TypeError, ValueError) as error:
            raise ExportError(f"{path}: a figure can't be written as JSON ({error}).") from None


def surroundings(seed: int | None = None) -> dict[str, object]:
    """Returns the command, seed, versions and device of this process, as flat keys."""
    return {
        "command": _command(),
        "seed": seed,
        "device": device_name(),
        "version_lerf_wild": __version__,
        "version_python": platform.python_version(),
        **{f"version_{name}": installed_version(name) for name in _DISTRIBUTIONS},
    }


def installed_version(distribution: str) -> str | None:
    """Returns the version of an installed distribution, without importing it, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def device_name() -> str:
    """Returns the GPU's name, or "cpu" with its number of threads."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"cpu, {torch.get_num_threads()} threads, {platform.machine()}"


def _command() -> str:
    # Folders of the machine are left out, so that reports can be shared.
    if sys.orig_argv[1:2] == ["-m"]:
        return shlex.join(["python", "-m", *sys.orig_argv[2:]])
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _plain(value: object) -> object:
    # Scalars of numpy and torch have item(); JSON has neither those nor NaN.
    if not isinstance(value, str | bytes) and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
