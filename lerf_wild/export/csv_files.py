"""Relevancy clouds as comma-separated text, for spreadsheets and R."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lerf_wild.export.point_cloud import RelevancyCloud, require_finite, slugs
from lerf_wild.storage.atomic import IS_FULL, atomic_path, writing

_ROWS_AT_ONCE = 100_000


def write_cloud_csv(path: Path | str, cloud: RelevancyCloud) -> None:
    """Writes one line a point below one line of column names, atomically.

    Columns: x y z nx ny nz red green blue relevancy_<slug>... scale views. Positions keep twelve
    significant digits, scores six decimals. Raises ExportError for a point that isn't finite and
    when the file can't be written.
    """
    require_finite(cloud)
    scores = [f"relevancy_{slug}" for slug in slugs(cloud.phrases)]
    names = [*"xyz", "nx", "ny", "nz", "red", "green", "blue", *scores, "scale", "views"]
    line = ",".join(
        ["%.12g"] * 3 + ["%.6g"] * 3 + ["%d"] * 3 + ["%.6f"] * len(scores) + ["%.6g", "%d"]
    )
    with writing(path, hint=IS_FULL):
        with atomic_path(path) as temporary, open(temporary, "w", newline="\n") as handle:
            handle.write(",".join(names) + "\n")
            for start in range(0, len(cloud), _ROWS_AT_ONCE):
                table = _table(cloud, slice(start, start + _ROWS_AT_ONCE))
                handle.write(((line + "\n") * len(table)) % tuple(table.ravel().tolist()))


def _table(cloud: RelevancyCloud, part: slice) -> np.ndarray:
    columns = (
        cloud.positions_N3,
        cloud.normals_N3,
        cloud.colours_N3,
        cloud.relevancy_NP,
        cloud.scale_N[:, None],
        cloud.views_N[:, None],
    )
    return np.concatenate([column[part].astype(np.float64) for column in columns], axis=1)
