"""The door for body models: one safetensors format for SMAL, SMAL+, BARC, BITE and the quadruped.

Symbols: V vertices (3889), F faces (7774), J joints (35), K betas, P keypoints, Q pose features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lerf_wild.animals import schema
from lerf_wild.animals.body import BodyModel
from lerf_wild.errors import ModelFileError
from lerf_wild.storage.atomic import write_bytes

Arrays = Mapping[str, NDArray]
FORMAT = "lerf-wild body 1"
REQUIRED = ("v_template", "faces", "shapedirs", "J_regressor", "weights")
WEIGHT_TOLERANCE = 1e-3
"""How far a row of skinning weights may be from a sum of 1."""


def read_body(path: Path | str) -> BodyModel:
    """Reads a converted or bundled body model in float32.

    Raises:
        ModelFileError: the file is missing, of another format, or not a consistent body.
    """
    arrays, metadata = read_body_arrays(path)
    return body_from_arrays(arrays, metadata, str(path))


def read_body_arrays(path: Path | str) -> tuple[dict[str, NDArray], dict[str, str]]:
    """All tensors and the text of a body file, unchecked beyond its format."""
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file. Give a body model as .safetensors.")
    if path.suffix == ".pkl":
        raise ModelFileError(
            f"{path}: a pickle is not opened as it is; convert it once with "
            f"`lerf-wild animal convert {path.name} {path.stem}.safetensors`."
        )
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error).split("\n")[0][:100]
        raise ModelFileError(f"{path}: not a readable safetensors file ({reason}).") from None
    if metadata.get("format") != FORMAT:
        raise ModelFileError(
            f"{path}: holds no body model (format {metadata.get('format')!r}, expected "
            f"{FORMAT!r}). Make one with `lerf-wild animal convert`."
        )
    return arrays, metadata


def body_from_arrays(arrays: Arrays, metadata: Mapping[str, str], source: str) -> BodyModel:
    """Checks arrays and makes a model of them; ``source`` is what messages name."""
    check_arrays(arrays, source)
    posedirs = arrays.get("posedirs")
    keypoints, mirror = arrays.get("keypoint_regressor"), arrays.get("mirror")
    return BodyModel(
        template_V3=_floats(arrays["v_template"]),
        faces_F3=torch.from_numpy(arrays["faces"].astype(np.int64)),
        shapedirs_V3K=_floats(arrays["shapedirs"]),
        joint_regressor_JV=_floats(arrays["J_regressor"]),
        weights_VJ=_floats(arrays["weights"]),
        posedirs_V3Q=None if posedirs is None else _floats(posedirs),
        keypoint_regressor_PV=None if keypoints is None else _floats(keypoints),
        mirror_V=None if mirror is None else torch.from_numpy(mirror.astype(np.int64)),
        parents=tuple(_json_list(metadata, "parents", schema.PARENTS, source)),
        keypoint_names=tuple(_json_list(metadata, "keypoint_names", (), source)),
        name=metadata.get("name", "unnamed"),
        licence=metadata.get("licence", "unknown"),
    )


def check_arrays(arrays: Arrays, source: str) -> None:
    """Raises ModelFileError unless the arrays make a body of the SMAL schema."""
    missing = [name for name in REQUIRED if name not in arrays]
    if missing:
        raise ModelFileError(f"{source}: lacks {', '.join(missing)}; it is no SMAL-family model.")
    _check_counts(arrays, source)
    _check_shapes(arrays, source)
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ModelFileError(f"{source}: {name} holds NaN or infinity; get a fresh copy.")
    faces, sums = arrays["faces"], arrays["weights"].sum(axis=1)
    if faces.min() < 0 or faces.max() >= schema.VERTEX_COUNT:
        raise ModelFileError(f"{source}: a face names a vertex that isn't there.")
    if np.abs(sums - 1.0).max() > WEIGHT_TOLERANCE or arrays["weights"].min() < -1e-6:
        raise ModelFileError(f"{source}: rows of the skinning weights don't sum to 1.")


def write_body(path: Path | str, arrays: Arrays, metadata: Mapping[str, str]) -> None:
    """Writes checked arrays atomically, in the types that they have."""
    check_arrays(arrays, str(path))
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_bytes(path, save(tensors, {**metadata, "format": FORMAT}))


def _check_counts(arrays: Arrays, source: str) -> None:
    joints = arrays["J_regressor"].shape[0] if arrays["J_regressor"].ndim == 2 else 0
    if joints == 33:
        raise ModelFileError(
            f"{source}: a legacy model of 33 joints, without ears; get the 35-joint file."
        )
    vertices = len(arrays["v_template"])
    if vertices != schema.VERTEX_COUNT:
        raise ModelFileError(
            f"{source}: has {vertices} vertices; a model of the SMAL family has "
            f"{schema.VERTEX_COUNT}."
        )


def _check_shapes(arrays: Arrays, source: str) -> None:
    vertices, faces, joints = schema.VERTEX_COUNT, schema.FACE_COUNT, schema.JOINT_COUNT
    expected: dict[str, tuple[int | None, ...]] = {
        "v_template": (vertices, 3),
        "faces": (faces, 3),
        "shapedirs": (vertices, 3, None),
        "J_regressor": (joints, vertices),
        "weights": (vertices, joints),
        "posedirs": (vertices, 3, 9 * (joints - 1)),
        "keypoint_regressor": (None, vertices),
        "mirror": (vertices,),
    }
    for name, shape in expected.items():
        if name not in arrays:
            continue
        found = arrays[name].shape
        if len(found) != len(shape) or any(w not in (None, f) for w, f in zip(shape, found)):
            wanted = " x ".join("any" if side is None else str(side) for side in shape)
            raise ModelFileError(f"{source}: {name} is {found}, expected {wanted}.")


def _json_list(
    metadata: Mapping[str, str], name: str, default: tuple[object, ...], source: str
) -> list[object]:
    try:
        found = json.loads(metadata.get(name, json.dumps(default)))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise ModelFileError(f"{source}: its {name} are not a JSON list.")
    if name == "parents" and found != list(schema.PARENTS):
        raise ModelFileError(f"{source}: its joints make another tree than SMAL's.")
    return found


def _floats(array: NDArray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
