"""Reads the pickles of SMAL, SMAL+, BARC and BITE, and turns them into this project's body files.

Nothing that such a pickle names is imported or called; see `lerf_wild.storage.inert_pickle`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lerf_wild.animals import schema
from lerf_wild.animals.body_files import check_arrays, write_body
from lerf_wild.errors import ModelFileError
from lerf_wild.storage.inert_arrays import allowed_name, rebuilt
from lerf_wild.storage.inert_pickle import UnreadablePickle, read_inert

MAX_BYTES = 512 << 20
FAMILIES = {41: "SMAL", 145: "SMAL+", 30: "BARC or BITE"}
ORIGINAL_LICENCE = "that of the original file; SMAL-family models may not be redistributed"


def read_pickled_arrays(path: Path | str) -> dict[str, NDArray]:
    """The arrays of a pickled dictionary by name; what is no array is left out.

    Raises:
        ModelFileError: the file is missing, too large, damaged, or names what no model needs.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file. Give the .pkl of a SMAL-family model.")
    if path.stat().st_size > MAX_BYTES:
        raise ModelFileError(
            f"{path}: is larger than {MAX_BYTES >> 20} MiB; that is no SMAL model."
        )
    return arrays_of_pickle(path.read_bytes(), str(path))


def arrays_of_pickle(data: bytes, source: str) -> dict[str, NDArray]:
    """The arrays by name of a pickled dictionary's bytes; ``source`` is what messages name."""
    try:
        tree = rebuilt(read_inert(data, allowed_name))
    except UnreadablePickle as error:
        raise ModelFileError(
            f"{source}: {error} Give a model's own file, or a fresh copy."
        ) from None
    if not isinstance(tree, dict):
        raise ModelFileError(f"{source}: holds no dictionary of arrays; it is no SMAL model.")
    return {
        key: value
        for key, value in tree.items()
        if isinstance(key, str) and isinstance(value, np.ndarray)
    }


def body_arrays(found: Mapping[str, NDArray], source: str) -> dict[str, NDArray]:
    """The arrays of a body file out of those of a SMAL-family pickle, values untouched.

    Raises:
        ModelFileError: something is missing, or the joints are another tree.
    """
    needed = ("v_template", "f", "shapedirs", "J_regressor", "weights", "kintree_table")
    missing = [name for name in needed if name not in found]
    if missing:
        raise ModelFileError(f"{source}: lacks {', '.join(missing)}; it is no SMAL-family model.")
    regressor = found["J_regressor"]
    if regressor.ndim == 2 and regressor.shape[0] == len(found["v_template"]):
        regressor = regressor.T
    arrays = {
        "v_template": found["v_template"],
        "faces": found["f"].astype(np.int32),
        "shapedirs": found["shapedirs"],
        "J_regressor": np.ascontiguousarray(regressor),
        "weights": found["weights"],
    }
    if "posedirs" in found and found["posedirs"].size and np.any(found["posedirs"]):
        arrays["posedirs"] = found["posedirs"]
    check_arrays(arrays, source)
    _check_tree(found["kintree_table"], source)
    keypoints = smal_keypoints(arrays["v_template"])
    return arrays if keypoints is None else {**arrays, "keypoint_regressor": keypoints}


def smal_keypoints(template_V3: NDArray) -> NDArray[np.float32] | None:
    """Rows (26, V) of SMAL's published keypoint groups, or None for a mesh that isn't SMAL's.

    A mesh is taken for SMAL's when every group lies on its own side, as far out as its mirror, with
    the nose in front and the tail's tip behind.
    """
    rows = np.zeros((len(schema.SMAL_KEYPOINT_GROUPS), len(template_V3)), np.float32)
    for row, group in zip(rows, schema.SMAL_KEYPOINT_GROUPS):
        row[list(group)] = 1.0 / len(group)
    places = rows.astype(np.float64) @ template_V3
    size = float(np.ptp(template_V3[:, 0]))
    other = places[list(schema.KEYPOINT_MIRROR)] * [1.0, -1.0, 1.0]
    mirrored = np.abs(places - other).max() < 0.05 * size
    left = [i for i, name in enumerate(schema.KEYPOINT_NAMES) if name.startswith("left")]
    sided = (places[left, 1] > 0).all()
    ordered = places[24, 0] > places[18, 0] > places[7, 0] > places[25, 0] > places[19, 0]
    return rows if mirrored and sided and ordered else None


def convert(source: Path | str, target: Path | str) -> dict[str, object]:
    """Converts a pickle to a body file and says what it was.

    Raises:
        ModelFileError: the pickle is no SMAL-family model.
    """
    arrays = body_arrays(read_pickled_arrays(source), str(source))
    betas = arrays["shapedirs"].shape[2]
    family = FAMILIES.get(betas, f"SMAL family with {betas} betas")
    metadata = {"name": family, "licence": ORIGINAL_LICENCE}
    if "keypoint_regressor" in arrays:
        metadata["keypoint_names"] = json.dumps(schema.KEYPOINT_NAMES)
    write_body(target, arrays, metadata)
    return {
        "family": family,
        "vertices": len(arrays["v_template"]),
        "joints": len(arrays["J_regressor"]),
        "betas": betas,
        "pose_blend_shapes": "posedirs" in arrays,
        "keypoints": "keypoint_regressor" in arrays,
    }


def _check_tree(table: NDArray, source: str) -> None:
    if table.shape != (2, schema.JOINT_COUNT) or table.dtype.kind not in "iuf":
        raise ModelFileError(f"{source}: kintree_table is {table.shape}, expected 2 x 35.")
    if tuple(table[0, 1:].astype(np.int64)) != schema.PARENTS[1:]:
        raise ModelFileError(f"{source}: its joints make another tree than SMAL's.")
