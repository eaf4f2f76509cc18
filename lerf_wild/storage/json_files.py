"""The door for JSON that comes from outside.

Python's own reader takes NaN, Infinity and 1e999, keeps the last of two equal keys and dies with a
RecursionError on deep nesting; this one refuses all of them and names the file and the line.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import NoReturn

from lerf_wild.errors import InputError

MAX_DEPTH = 64
"""Levels of nesting that are accepted; a scene file has five."""

_STRING_OR_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|([-+.\w]+)', re.DOTALL)


def read_json(path: Path | str, max_bytes: int = 64 << 20) -> object:
    """Reads a UTF-8 JSON file into dicts, lists, strings, finite numbers, bools and None.

    Raises InputError, naming the file and where possible the line, when the file is missing, larger
    than `max_bytes`, not UTF-8, not JSON, nested deeper than MAX_DEPTH, holds a number that
    isn't finite, or repeats a key within an object.
    """
    path = Path(path)
    text = _read_text(path, max_bytes)
    try:
        value = json.loads(
            text,
            parse_constant=lambda literal: _refuse_number(path, text, literal),
            parse_float=lambda literal: _finite_float(path, text, literal),
            object_pairs_hook=lambda pairs: _unique_keys(path, pairs),
        )
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}, line {error.lineno}: not valid JSON ({error.msg}). Repair the file."
        ) from None
    except RecursionError:
        raise InputError(_too_deep(path)) from None
    except InputError:
        raise
    except ValueError as error:
        # Python refuses integers of more than some thousand digits with a plain ValueError.
        raise InputError(f"{path}: a number can't be read ({error}).") from None
    if _is_deeper_than(value, MAX_DEPTH):
        raise InputError(_too_deep(path))
    return value


def _read_text(path: Path, max_bytes: int) -> str:
    try:
        with open(path, "rb") as handle:
            data = handle.read(max_bytes + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path}: can't be read ({reason}). Check the path.") from None
    if len(data) > max_bytes:
        raise InputError(f"{path}: larger than {max_bytes >> 20} MiB, the most a JSON file may be.")
    try:
        # Windows editors put a byte-order mark first; it carries no meaning.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}: not UTF-8 text. Save the file as UTF-8.") from None


def _refuse_number(path: Path, text: str, literal: str) -> NoReturn:
    line = _line_of(text, literal)
    raise InputError(f"{path}, line {line}: {literal[:40]} is not a finite number.")


def _finite_float(path: Path, text: str, literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        _refuse_number(path, text, literal)
    return value


def _unique_keys(path: Path, pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"{path}: the key {repeated[:80]!r} appears twice in one object.")
    return result


def _line_of(text: str, literal: str) -> int:
    for match in _STRING_OR_TOKEN.finditer(text):
        if match.group(1) == literal:
            return text.count("\n", 0, match.start()) + 1
    return 1


def _is_deeper_than(value: object, depth: int) -> bool:
    layer = [[value]]
    for _ in range(depth + 1):
        children = (
            child for node in layer for child in (node.values() if isinstance(node, dict) else node)
        )
        layer = [child for child in children if isinstance(child, dict | list)]
        if not layer:
            return False
    return True


def _too_deep(path: Path) -> str:
    return f"{path}: nested deeper than {MAX_DEPTH} levels, which no file of ours is."
