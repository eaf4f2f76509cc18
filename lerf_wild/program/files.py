"""Scene programs on disk: UTF-8 text (`.scene`, `.txt`) or JSON (`.json`)."""

from __future__ import annotations

from pathlib import Path

from lerf_wild.errors import InputError, SceneProgramError
from lerf_wild.program.json_form import from_json, to_json
from lerf_wild.program.parser import Parsed, parse_with_notes
from lerf_wild.program.printer import print_program
from lerf_wild.program.tokens import MAX_CHARACTERS
from lerf_wild.program.types import Program
from lerf_wild.storage.atomic import write_json, write_text, writing
from lerf_wild.storage.json_files import read_json


def read_program(path: Path | str) -> Program:
    """Read a program; notes about what had to be put right are lost (see `read_with_notes`).

    Raises:
        SceneProgramError: naming the file and the line, or the place in the JSON.
    """
    return read_with_notes(path).program


def read_with_notes(path: Path | str) -> Parsed:
    """Read a program and what had to be put right; raises as `read_program` does."""
    path = Path(path)
    try:
        if path.suffix.lower() == ".json":
            return Parsed(from_json(read_json(path)))
        return parse_with_notes(_read_text(path))
    except InputError as error:
        text = str(error)
        raise SceneProgramError(text if str(path) in text else f"{path}: {text}") from None


def write_program(path: Path | str, program: Program) -> None:
    """Write a program atomically, as JSON when the name ends in `.json`, else as text.

    Raises:
        SceneProgramError: when the file can't be written.
    """
    path = Path(path)
    with writing(path, SceneProgramError):
        if path.suffix.lower() == ".json":
            write_json(path, to_json(program))
        else:
            write_text(path, print_program(program))


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(4 * MAX_CHARACTERS + 1)
    except OSError as error:
        raise SceneProgramError(f"{path}: can't be read ({error.strerror}).") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SceneProgramError(f"{path}: is not UTF-8 text; save it as UTF-8.") from None
