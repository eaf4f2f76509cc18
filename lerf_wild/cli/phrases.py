"""The phrases of a command line: typed, of a file, or of a set that was saved in the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lerf_wild.errors import QueryError
from lerf_wild.language.phrases import clean_phrases
from lerf_wild.storage.json_files import read_json


def read_phrases(
    phrases: Sequence[str],
    phrases_file: Path | None,
    phrase_set: str | None = None,
    folder: Path | None = None,
) -> tuple[str, ...]:
    """Returns the checked phrases of the command line, of a file and of a saved set.

    The file is a JSON list, `{"phrases": [...]}`, or a text with a phrase a line; sets lie in the
    folder of a run or of a baked scene. Raises QueryError and InputError.
    """
    found = list(phrases)
    if phrases_file is not None:
        found += _phrases_of_file(phrases_file)
    if phrase_set is not None:
        found += _phrases_of_set(phrase_set, folder)
    if not found:
        raise QueryError('No phrases were given.\nPass some: --phrases "red fox" "fallen log".')
    return tuple(dict.fromkeys(clean_phrases(found)))


def _phrases_of_set(name: str, folder: Path | None) -> tuple[str, ...]:
    from lerf_wild.live.phrase_sets import read_set

    path = Path(folder or ".")
    return read_set(path if path.is_dir() else path.parent, name).texts


def _phrases_of_file(path: Path) -> list[str]:
    if path.suffix.lower() == ".json":
        content = read_json(path, max_bytes=1 << 20)
        listed = content.get("phrases") if isinstance(content, dict) else content
        if isinstance(listed, list) and all(isinstance(item, str) for item in listed):
            return listed
        raise QueryError(f'{path}: expected a list of phrases, or {{"phrases": [...]}}.')
    try:
        text = path.read_bytes()[: 1 << 20].decode("utf-8-sig")
    except OSError as error:
        raise QueryError(f"{path}: can't be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise QueryError(f"{path}: not a UTF-8 text with one phrase a line.") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
