"""Relevancy clouds as LAS or LAZ, for GIS tools.

Point format 7 with extra bytes: QGIS, PDAL, lidR and PotreeConverter 2 read those by name. LAS
gives names and descriptions 32 bytes; the whole phrases are in the side file.
"""

from __future__ import annotations

from pathlib import Path

import laspy
import numpy as np

from lerf_wild.errors import ExportError
from lerf_wild.export.point_cloud import RelevancyCloud, require_finite, slugs
from lerf_wild.storage.atomic import IS_FULL, atomic_path, writing

NAME_BYTES = 31
"""Longest name or description of an extra dimension, one byte being kept for the end mark."""

_STEPS = 1e8
"""Steps across the extent of the scene; 32-bit coordinates have room for twenty times more."""


def write_cloud_las(path: Path | str, cloud: RelevancyCloud) -> None:
    """Writes LAS 1.4 atomically, or LAZ when the path ends so and a LAZ backend is installed.

    The best score is also the intensity (0 to 65535), colours fill 16 bits. Coordinates are
    rounded to a power of ten of at most 1e-7 of the extent. Raises ExportError.
    """
    path = Path(path)
    require_finite(cloud)
    compress = path.suffix.lower() == ".laz"
    if compress and not laspy.LazBackend.detect_available():
        raise ExportError(
            f"{path}: LAZ needs a compressor.\nRun `pip install lazrs`, or write .las instead."
        )
    las = _las_data(cloud)
    with writing(path, hint=IS_FULL):
        with atomic_path(path) as temporary, open(temporary, "wb+") as handle:
            las.write(handle, do_compress=compress)
            # laspy closes what it is given; atomic_path opens the file again to sync it.


def coordinate_step(positions_N3: np.ndarray) -> float:
    """Returns the power of ten, in the unit of the positions, that coordinates are rounded to."""
    extent = float(np.ptp(positions_N3, axis=0).max()) if len(positions_N3) else 0.0
    step = 10.0 ** np.ceil(np.log10(max(extent, 1e-3) / _STEPS))
    # Far from the origin float64 itself has no finer steps.
    resolution = float(np.spacing(np.abs(positions_N3).max())) if len(positions_N3) else 0.0
    return float(max(step, resolution))


def _las_data(cloud: RelevancyCloud) -> laspy.LasData:
    header = laspy.LasHeader(version="1.4", point_format=7)
    # The standard wants this bit for formats above 5, whether or not a coordinate system is given.
    header.global_encoding.wkt = True
    header.scales = np.full(3, coordinate_step(cloud.positions_N3))
    if len(cloud):
        header.offsets = np.floor(cloud.positions_N3.min(axis=0))
    extra = _extra_columns(cloud)
    header.add_extra_dims(
        [
            laspy.ExtraBytesParams(name=name, type=column.dtype, description=description)
            for name, (column, description) in extra.items()
        ]
    )
    las = laspy.LasData(header)
    las.xyz = cloud.positions_N3
    las.intensity = np.rint(np.clip(cloud.best_N, 0, 1) * 65535).astype(np.uint16)
    las.red, las.green, las.blue = cloud.colours_N3.T.astype(np.uint16) * 257
    for name, (column, _) in extra.items():
        las[name] = column
    return las


def _extra_columns(cloud: RelevancyCloud) -> dict[str, tuple[np.ndarray, str]]:
    prefix = "relevancy_"
    names = slugs(cloud.phrases, NAME_BYTES - len(prefix))
    columns = {
        prefix + name: (cloud.relevancy_NP[:, index], _description(phrase))
        for index, (name, phrase) in enumerate(zip(names, cloud.phrases))
    }
    for index, name in enumerate(("normal_x", "normal_y", "normal_z")):
        columns[name] = (cloud.normals_N3[:, index], "surface normal")
    columns["scale"] = (cloud.scale_N, "size of the best match")
    columns["views"] = (cloud.views_N, "training views of the point")
    return columns


def _description(phrase: str) -> str:
    plain = phrase.encode("ascii", "replace").decode()
    return "".join(letter if letter.isprintable() else " " for letter in plain)[:NAME_BYTES]
