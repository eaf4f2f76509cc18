"""The exceptions that lerf-wild raises for anything a user can put right.

A message has one or two lines and says what was read, where, what was expected and what to do.
The command line prints it without a traceback and exits with code 2.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType

EXIT_CODE = 2
"""Of commands that bad input ends."""


class LerfWildError(Exception):
    """Root of every error that lerf-wild raises on purpose."""


class InputError(LerfWildError, ValueError):
    """Something that was given to lerf-wild can't be used."""


class DatasetError(InputError):
    """A scene or dataset is missing a file, or one of its files is wrong."""


class CacheError(InputError):
    """The feature cache can't be written or read."""


class EncoderError(InputError):
    """An image or text encoder can't be had or doesn't fit."""


class ExportError(InputError):
    """A result can't be written, or a file that holds one can't be read back."""


class QueryError(InputError):
    """The phrases of a query can't be used."""


class ModelFileError(InputError):
    """A file of weights or of a body model is wrong."""


class SceneProgramError(InputError):
    """A scene program doesn't parse or breaks its limits."""


class AssetError(InputError):
    """An asset of the library is missing or wrong."""


class WildlifeError(InputError):
    """A population file is wrong, or an item can't be put where it was asked for."""


class TrainingError(LerfWildError, RuntimeError):
    """Training can't go on, for example because a loss is no longer finite."""


def tell_plainly() -> None:
    """Makes errors of this package end nerfstudio's commands with their own lines and exit code 2.

    ns-train, ns-eval and the others would show a traceback. Scripts that call the same classes keep
    theirs, and so does whoever has a hook already.
    """
    if _is_nerfstudio_command(Path(sys.argv[0])) and sys.excepthook is sys.__excepthook__:
        sys.excepthook = _end_plainly


def _is_nerfstudio_command(program: Path) -> bool:
    return program.name.startswith("ns-") or program.parts[-3:-1] == ("nerfstudio", "scripts")


def _end_plainly(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not issubclass(kind, LerfWildError):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write(f"{error}\n")
    raise SystemExit(EXIT_CODE)
