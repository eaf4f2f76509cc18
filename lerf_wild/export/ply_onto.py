"""Scores onto a splat or mesh that somebody else has made: a copy of its PLY with more columns.

N points of the scored scene, M vertices of the file, P phrases.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from lerf_wild.errors import ExportError
from lerf_wild.export.ply import RELEVANCY_PREFIX
from lerf_wild.export.ply_header import PlyHeader, comment_lines, read_header
from lerf_wild.export.point_cloud import slugs
from lerf_wild.storage.atomic import atomic_path, writing

NEIGHBOURS = 3
REACH_GAPS = 6.0
"""A vertex further from the scored points than this many of their usual gaps is of something that
the capture doesn't show, and scores 0."""


@dataclass(frozen=True)
class ForeignPly:
    """A PLY file, taken apart so that it can be put together with more columns."""

    header_lines: tuple[str, ...]
    header: PlyHeader
    rows_M: np.ndarray
    """Vertices as a structured array."""
    rest: bytes
    """Faces and whatever else follows the vertices."""

    @property
    def positions_M3(self) -> Float[np.ndarray, "M 3"]:
        """Places of the vertices, float64; NaN and infinity are let through."""
        return np.stack([self.rows_M[name].astype(np.float64) for name in "xyz"], axis=1)


def read_foreign(path: Path | str) -> ForeignPly:
    """Reads a splat or mesh; raises ExportError for a file that is no such PLY."""
    path = Path(path)
    try:
        with open(path, "rb") as handle:
            header = read_header(path, handle)
            start = handle.tell()
            handle.seek(0)
            # Not splitlines: in latin-1 half of many a letter of a comment passes for a line's end.
            header_text = handle.read(start).decode("latin-1").removesuffix("\n")
            lines = tuple(line.removesuffix("\r") for line in header_text.split("\n"))
            size = os.fstat(handle.fileno()).st_size - start
            if header.is_ascii:
                raise ExportError(f"{path}: is a text PLY; save it as binary to lift scores to it.")
            if header.count * header.dtype.itemsize > size:
                raise ExportError(f"{path}: holds fewer vertices than it promises; truncated?")
            rows_M = np.fromfile(handle, dtype=header.dtype, count=header.count)
            rest = handle.read()
    except OSError as error:
        raise ExportError(f"{path}: can't be read ({error.strerror}). Check the path.") from None
    if not {"x", "y", "z"} <= set(rows_M.dtype.names) or len(rows_M) == 0:
        raise ExportError(f"{path}: has no vertices with x, y and z.")
    return ForeignPly(lines, header, rows_M, rest)


def write_onto(
    source: Path,
    target: Path,
    positions_N3: Float[np.ndarray, "N 3"],
    relevancy_NP: Float[np.ndarray, "N P"],
    phrases: Sequence[str],
) -> int:
    """Writes a copy of a PLY with a relevancy for each phrase; returns the number of vertices.

    Both must be in the same coordinates. Everything that the file holds stays as it is. Raises
    ExportError.
    """
    foreign = read_foreign(source)
    names = [RELEVANCY_PREFIX + slug for slug in slugs(phrases)]
    taken = set(names) & set(foreign.rows_M.dtype.names)
    if taken:
        raise ExportError(f"{source}: already has a column {min(taken)}. Take the original file.")
    lifted_MP = lifted(foreign.positions_M3, positions_N3, relevancy_NP)
    order = foreign.rows_M.dtype[0].byteorder.replace("=", "<").replace("|", "<")
    kind = ">f4" if order == ">" else "<f4"
    rows_M = np.zeros(
        len(foreign.rows_M), dtype=[*foreign.rows_M.dtype.descr, *((name, kind) for name in names)]
    )
    for name in foreign.rows_M.dtype.names:
        rows_M[name] = foreign.rows_M[name]
    for index, name in enumerate(names):
        rows_M[name] = lifted_MP[:, index]
    header = "\n".join(_header(foreign, names, phrases)) + "\n"
    with writing(target):
        with atomic_path(target) as temporary, open(temporary, "wb") as handle:
            handle.write(header.encode("latin-1"))
            rows_M.tofile(handle)
            handle.write(foreign.rest)
    return len(rows_M)


def lifted(
    vertices_M3: Float[np.ndarray, "M 3"],
    positions_N3: Float[np.ndarray, "N 3"],
    relevancy_NP: Float[np.ndarray, "N P"],
) -> Float[np.ndarray, "M P"]:
    """Returns the scores of the nearest points, weighted by nearness; 0 for vertices far away."""
    tree = cKDTree(positions_N3)
    probes_N3 = positions_N3[:: max(1, len(positions_N3) // 2000)]
    count = min(NEIGHBOURS, len(positions_N3))
    gaps = tree.query(probes_N3, k=[min(2, len(positions_N3))])[0]
    reach = REACH_GAPS * max(float(np.median(gaps)), 1e-9)
    is_whole_M = np.isfinite(vertices_M3).all(axis=1)
    scores_MP = np.zeros((len(vertices_M3), relevancy_NP.shape[1]), np.float32)
    distance_MK, index_MK = tree.query(vertices_M3[is_whole_M], k=range(1, count + 1), workers=-1)
    weight_MK = np.where(distance_MK <= reach, 1 / np.maximum(distance_MK, 1e-6 * reach), 0.0)
    total_M = weight_MK.sum(axis=1)
    weight_MK = weight_MK / np.where(total_M > 0, total_M, 1.0)[:, None]
    for column in range(relevancy_NP.shape[1]):
        near_MK = relevancy_NP[:, column][index_MK]
        scores_MP[is_whole_M, column] = (near_MK * weight_MK).sum(axis=1)
    return scores_MP


def _header(foreign: ForeignPly, names: Sequence[str], phrases: Sequence[str]) -> list[str]:
    lines = list(foreign.header_lines)
    vertex = next(index for index, line in enumerate(lines) if line.startswith("element vertex"))
    last = vertex
    while lines[last + 1].split()[:1] in (["property"], ["comment"]):
        last += 1
    said = [
        line for index, text in enumerate(phrases) for line in comment_lines(f"query {index}", text)
    ]
    columns = [f"property float {name}" for name in names]
    return [*lines[:vertex], *said, *lines[vertex : last + 1], *columns, *lines[last + 1 :]]
