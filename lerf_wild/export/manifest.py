"""The side file `relevancy.json`: what is in the exported files, in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lerf_wild import __version__
from lerf_wild.errors import ExportError
from lerf_wild.export.point_cloud import RelevancyCloud, coordinate_offset, slugs
from lerf_wild.storage import atomic
from lerf_wild.storage.hashes import file_sha256
from lerf_wild.storage.json_files import read_json

FORMAT = "lerf_wild.relevancy"
FORMAT_VERSION = 1


def write_manifest(
    path: Path | str,
    cloud: RelevancyCloud,
    files: Sequence[Path | str],
    extra: Mapping[str, object] | None = None,
) -> None:
    """Writes phrases, columns, ranges, frame and the hashes of the files beside it, atomically.

    `extra` holds further JSON values by name (thresholds, the dataparser's transform, the source
    run). Raises ExportError for values that JSON doesn't have and when the file can't be written.
    """
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "lerf_wild": __version__,
        "points": len(cloud),
        "queries": _queries(cloud),
        "canonical": list(cloud.canonical),
        "offset": coordinate_offset(cloud.positions_N3).tolist(),
        "bounds": _bounds(cloud.positions_N3),
        "files": [_file(Path(file)) for file in files],
    }
    content = content | dict(cloud.metadata) | dict(extra or {}) | content
    with atomic.writing(path, hint=atomic.IS_FULL):
        try:
            atomic.write_json(path, content)
        except (TypeError, ValueError) as error:
            raise ExportError(f"{path}: a value can't be written as JSON ({error}).") from None


def read_manifest(path: Path | str) -> dict[str, object]:
    """Reads a side file back; raises InputError or ExportError when it isn't one of ours."""
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ExportError(f"{path}: not a side file of a relevancy cloud.")
    if content.get("format_version") != FORMAT_VERSION:
        raise ExportError(
            f"{path}: format version {content.get('format_version')}, expected {FORMAT_VERSION}. "
            "Update lerf-wild."
        )
    return content


def _queries(cloud: RelevancyCloud) -> list[dict[str, object]]:
    return [
        {
            "phrase": phrase,
            "column": f"scalar_relevancy_{slug}",
            "maximum": float(scores_N.max()) if len(cloud) else None,
            "mean": float(scores_N.mean(dtype=np.float64)) if len(cloud) else None,
        }
        for phrase, slug, scores_N in zip(cloud.phrases, slugs(cloud.phrases), cloud.relevancy_NP.T)
    ]


def _bounds(positions_N3: np.ndarray) -> list[list[float]] | None:
    if len(positions_N3) == 0:
        return None
    return [positions_N3.min(axis=0).tolist(), positions_N3.max(axis=0).tolist()]


def _file(path: Path) -> dict[str, object]:
    sha256 = file_sha256(path)
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256}
