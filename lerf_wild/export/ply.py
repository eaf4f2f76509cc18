"""Relevancy clouds as PLY, and the door for PLY files that come from outside.

The order of columns matters. CloudCompare guesses roles by substring in file order: "lynx" holds
NX, "bunny" NY, "red fox" RED. Position, normal and colour therefore come before the scores. MeshLab
reads only the column `quality`, which holds the best score.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lerf_wild import __version__
from lerf_wild.errors import ExportError
from lerf_wild.export.ply_header import PlyHeader, collect_comments, comment_lines, read_header
from lerf_wild.export.point_cloud import RelevancyCloud, coordinate_offset, require_finite, slugs
from lerf_wild.storage.atomic import IS_FULL, atomic_path, writing

RELEVANCY_PREFIX = "scalar_relevancy_"
_POSITION, _NORMAL, _COLOUR = ("x", "y", "z"), ("nx", "ny", "nz"), ("red", "green", "blue")
_RESERVED_LABELS = ("lerf_wild", "query", "negatives", "offset", "up")
_METADATA_LABEL = re.compile(r"[a-z][a-z0-9_]{0,39}")


def write_cloud(path: Path | str, cloud: RelevancyCloud) -> None:
    """Writes a binary little-endian PLY atomically.

    Positions are stored as float32 after subtracting `coordinate_offset`, which is written as a
    comment. Phrases, canonical phrases and metadata are comments too. Raises ExportError for a
    point that isn't finite or beyond float32, for metadata that JSON doesn't have, and when the
    file can't be written.
    """
    require_finite(cloud)
    offset_3 = coordinate_offset(cloud.positions_N3)
    header = "\n".join(_header_lines(cloud, offset_3)) + "\n"
    rows_N = _rows(cloud, offset_3)
    with writing(path, hint=IS_FULL):
        with atomic_path(path) as temporary, open(temporary, "wb") as handle:
            handle.write(header.encode("ascii"))
            rows_N.tofile(handle)


def read_cloud(path: Path | str) -> RelevancyCloud:
    """Reads back what `write_cloud` wrote; raises ExportError for anything else."""
    path = Path(path)
    rows_N, comments = read_vertices(path)
    names = rows_N.dtype.names
    relevancy = [name for name in names if name.startswith(RELEVANCY_PREFIX)]
    needed = (*_POSITION, *_NORMAL, *_COLOUR, "scalar_scale", "scalar_views")
    missing = [name for name in needed if name not in names]
    if missing or not relevancy:
        what = ", ".join(missing) or f"{RELEVANCY_PREFIX}*"
        raise ExportError(f"{path}: not a relevancy cloud, it lacks the columns {what}.")
    return RelevancyCloud(
        positions_N3=_columns(rows_N, _POSITION, np.float64) + _read_offset(path, comments),
        normals_N3=_columns(rows_N, _NORMAL, np.float32),
        colours_N3=_columns(rows_N, _COLOUR, np.uint8),
        relevancy_NP=_columns(rows_N, relevancy, np.float32),
        scale_N=rows_N["scalar_scale"].astype(np.float32),
        views_N=rows_N["scalar_views"].astype(np.uint16),
        phrases=tuple(_phrase(comments, index, name) for index, name in enumerate(relevancy)),
        canonical=_read_canonical(comments),
        metadata=_read_metadata(comments),
    )


def read_vertices(path: Path | str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Reads the vertices of any PLY (binary or ASCII) as a structured array, and the comments.

    The count is checked against the size of the file before memory is taken, so a header that
    promises terabytes costs nothing. Raises ExportError for a damaged or foreign file and for
    numbers that aren't finite.
    """
    path = Path(path)
    try:
        with open(path, "rb") as handle:
            header = read_header(path, handle)
            rest = os.fstat(handle.fileno()).st_size - handle.tell()
            # An ASCII number takes at least a digit and a separator; the last line may lack one.
            row_bytes = 2 * len(header.dtype) if header.is_ascii else header.dtype.itemsize
            if header.count * row_bytes > rest + header.is_ascii:
                raise ExportError(
                    f"{path}: promises {header.count} points of {row_bytes} bytes but holds "
                    f"{rest} bytes; the file may be truncated."
                )
            if header.is_ascii:
                rows_N = _read_ascii(path, handle, header)
            else:
                rows_N = np.fromfile(handle, dtype=header.dtype, count=header.count)
    except OSError as error:
        raise ExportError(f"{path}: can't be read ({error.strerror}). Check the path.") from None
    for name in rows_N.dtype.names:
        if not np.isfinite(rows_N[name]).all():
            raise ExportError(f"{path}: column {name[:40]!r} holds NaN or infinity.")
    return rows_N, header.comments


def _header_lines(cloud: RelevancyCloud, offset_3: np.ndarray) -> list[str]:
    lines = ["ply", "format binary_little_endian 1.0", f"comment lerf_wild {__version__}"]
    for index, phrase in enumerate(cloud.phrases):
        lines += comment_lines(f"query {index}", phrase)
    if cloud.canonical:
        lines += comment_lines("negatives", ";".join(map(_without_semicolon, cloud.canonical)))
    lines.append("comment up +z")
    lines.append("comment offset " + " ".join(repr(float(value)) for value in offset_3))
    for label, value in cloud.metadata.items():
        lines += comment_lines(label, _metadata_text(label, value))
    lines.append(f"element vertex {len(cloud)}")
    kinds = {"f4": "float", "u1": "uchar", "u2": "ushort"}
    for name, (dtype, _) in _row_dtype(cloud).fields.items():
        lines.append(f"property {kinds[dtype.str[1:]]} {name}")
    return [*lines, "end_header"]


def _metadata_text(label: str, value: object) -> str:
    if not _METADATA_LABEL.fullmatch(label) or label in _RESERVED_LABELS:
        raise ExportError(f"Metadata name {label[:60]!r} must match [a-z][a-z0-9_]* and be free.")
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ExportError(f"Metadata {label!r} can't be written as JSON ({error}).") from None


def _row_dtype(cloud: RelevancyCloud) -> np.dtype:
    scores = [RELEVANCY_PREFIX + slug for slug in slugs(cloud.phrases)]
    return np.dtype(
        [(name, "<f4") for name in (*_POSITION, *_NORMAL)]
        + [(name, "u1") for name in _COLOUR]
        + [(name, "<f4") for name in ("quality", *scores, "scalar_scale")]
        + [("scalar_views", "<u2")]
    )


def _rows(cloud: RelevancyCloud, offset_3: np.ndarray) -> np.ndarray:
    local_N3 = cloud.positions_N3 - offset_3
    if np.abs(local_N3).max(initial=0) > np.finfo(np.float32).max:
        raise ExportError("A point is too far from the others for the float32 numbers of PLY.")
    columns = [
        *local_N3.T,
        *cloud.normals_N3.T,
        *cloud.colours_N3.T,
        cloud.best_N,
        *cloud.relevancy_NP.T,
        cloud.scale_N,
        cloud.views_N,
    ]
    rows_N = np.zeros(len(cloud), dtype=_row_dtype(cloud))
    for name, column in zip(rows_N.dtype.names, columns):
        rows_N[name] = column
    return rows_N


def _read_ascii(path: Path, handle: BinaryIO, header: PlyHeader) -> np.ndarray:
    if header.count == 0:
        return np.zeros(0, dtype=header.dtype)
    try:
        with warnings.catch_warnings():
            # numpy warns of an empty body, which the count below turns into an error.
            warnings.simplefilter("ignore", UserWarning)
            rows_N = np.loadtxt(
                handle, dtype=header.dtype, max_rows=header.count, comments=None, ndmin=1
            )
    except (ValueError, OverflowError) as error:
        raise ExportError(f"{path}: a point can't be read ({str(error)[:100]}).") from None
    if len(rows_N) != header.count:
        raise ExportError(f"{path}: promises {header.count} points but holds {len(rows_N)}.")
    return rows_N


def _columns(rows_N: np.ndarray, names: Sequence[str], dtype: type) -> np.ndarray:
    return np.stack([rows_N[name] for name in names], axis=1).astype(dtype)


def _read_offset(path: Path, comments: Sequence[str]) -> np.ndarray:
    words = next((text.split()[1:] for text in comments if text.startswith("offset ")), "000")
    try:
        offset_3 = np.array([float(word) for word in words])
    except ValueError:
        offset_3 = np.zeros(0)
    if offset_3.shape != (3,) or not np.isfinite(offset_3).all():
        raise ExportError(f"{path}: the comment with the offset doesn't hold three numbers.")
    return offset_3


def _phrase(comments: Sequence[str], index: int, name: str) -> str:
    phrase = collect_comments(comments, f"query {index}")
    return name.removeprefix(RELEVANCY_PREFIX) if phrase is None else phrase


def _read_canonical(comments: Sequence[str]) -> tuple[str, ...]:
    text = collect_comments(comments, "negatives")
    return () if text is None else tuple(map(_with_semicolon, text.split(";")))


def _read_metadata(comments: Sequence[str]) -> dict[str, object]:
    labels = dict.fromkeys(text.partition(" ")[0] for text in comments)
    metadata: dict[str, object] = {}
    for label in labels:
        if not _METADATA_LABEL.fullmatch(label) or label in _RESERVED_LABELS:
            continue
        # Comments of other programs are free text; only ours are JSON.
        with contextlib.suppress(ValueError, RecursionError):
            metadata[label] = json.loads(collect_comments(comments, label) or "")
    return metadata


def _without_semicolon(phrase: str) -> str:
    return phrase.replace("%", "%25").replace(";", "%3B")


def _with_semicolon(text: str) -> str:
    return text.replace("%3B", ";").replace("%25", "%")
