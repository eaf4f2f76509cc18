"""PLY headers: the parser of foreign ones, and comments that carry text and can't be broken out of.

Some readers (rply, which CloudCompare uses) refuse lines over 1023 bytes, so long text is spread
over several comments with the same label.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lerf_wild.errors import ExportError

MAX_HEADER_BYTES = 1 << 20
MAX_LINE_BYTES = 8192
_CHUNK_BYTES = 800

_BYTE_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}
_TYPES = {
    name: code
    for names, code in [
        (("char", "int8"), "i1"),
        (("uchar", "uint8"), "u1"),
        (("short", "int16"), "i2"),
        (("ushort", "uint16"), "u2"),
        (("int", "int32"), "i4"),
        (("uint", "uint32"), "u4"),
        (("float", "float32"), "f4"),
        (("double", "float64"), "f8"),
    ]
    for name in names
}


@dataclass(frozen=True)
class PlyHeader:
    """What a PLY header says about its vertices."""

    is_ascii: bool
    count: int
    dtype: np.dtype
    comments: tuple[str, ...]


def read_header(path: Path, handle: BinaryIO) -> PlyHeader:
    """Reads the header and leaves the handle at the first byte of the vertices.

    Vertices must come first and have no list properties. Raises ExportError naming the file.
    """
    if handle.readline(16).strip() != b"ply":
        raise ExportError(f"{path}: not a PLY file (its first line isn't 'ply').")
    byte_order, count, columns, comments = "", -1, [], []
    element = ""
    while True:
        words, text = _next_line(path, handle)
        match words:
            case ["end_header"]:
                break
            case ["comment" | "obj_info", *_]:
                comments.append(text.partition(" ")[2])
            case ["format", name, "1.0"] if name in _BYTE_ORDERS:
                byte_order = _BYTE_ORDERS[name]
            case ["element", name, number] if number.isdecimal() and len(number) < 16:
                if name != "vertex" and not element:
                    raise ExportError(f"{path}: its first element is {name[:40]!r}, not 'vertex'.")
                element = name
                count = int(number) if name == "vertex" else count
            case ["property", kind, name] if kind in _TYPES and element:
                if element == "vertex":
                    columns.append((name, byte_order + _TYPES[kind]))
            case ["property", "list", _, _, _] if element not in ("", "vertex"):
                pass
            case _:
                raise ExportError(f"{path}: header line {text[:60]!r} is not understood.")
    return PlyHeader(
        byte_order == "=", count, _dtype(path, byte_order, count, columns), tuple(comments)
    )


def _next_line(path: Path, handle: BinaryIO) -> tuple[list[str], str]:
    line = handle.readline(MAX_LINE_BYTES)
    if not line.endswith(b"\n") or handle.tell() > MAX_HEADER_BYTES:
        raise ExportError(f"{path}: the PLY header has no end; the file may be truncated.")
    # Old tools wrote comments in their own code page; nothing but comments may be beyond ASCII.
    text = line.decode("ascii", "replace").strip()
    return text.split(), text


def _dtype(path: Path, byte_order: str, count: int, columns: Sequence[tuple[str, str]]) -> np.dtype:
    if not byte_order or count < 0 or not columns:
        raise ExportError(f"{path}: the PLY header lacks its format, vertices or properties.")
    if len({name for name, _ in columns}) != len(columns):
        raise ExportError(f"{path}: the PLY header names a vertex property twice.")
    return np.dtype(list(columns))


def comment_lines(label: str, text: str) -> list[str]:
    """Returns `comment <label> <text>` lines in printable ASCII that `collect_comments` undoes.

    Anything beyond ASCII, line ends and quotes are written as JSON string escapes.
    """
    chunks = [""]
    for character in text:
        escaped = json.dumps(character)[1:-1]
        if len(chunks[-1]) + len(escaped) > _CHUNK_BYTES:
            chunks.append("")
        chunks[-1] += escaped
    return [f"comment {label} {_guard_spaces(chunk)}" for chunk in chunks]


def collect_comments(comments: Sequence[str], label: str) -> str | None:
    """Returns the text that `comment_lines` wrote under `label`, or None when there is none."""
    chunks = [text[len(label) + 1 :] for text in comments if text.startswith(label + " ")]
    if not chunks:
        return "" if label in comments else None
    try:
        return json.loads(f'"{"".join(chunks)}"')
    except ValueError:
        return None


def _guard_spaces(chunk: str) -> str:
    # Readers strip comments, so spaces at the ends are escaped too.
    inner = chunk.strip(" ")
    left = len(chunk) - len(chunk.lstrip(" "))
    right = len(chunk) - len(inner) - left if inner else 0
    return "\\u0020" * left + inner + "\\u0020" * right
