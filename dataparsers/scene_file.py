"""Checks of a nerfstudio `transforms.json` before anything is computed from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lerf_wild.errors import DatasetError
from lerf_wild.storage.json_files import read_json

INTRINSICS = ("fl_x", "fl_y", "cx", "cy", "w", "h")
"""What each camera needs, once for all frames or in each frame."""

DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
SPLITS = ("train", "val", "test")


def read_scene_file(path: Path) -> dict[str, object]:
    """Reads `transforms.json` and checks types, sizes and finiteness of all that is used.

    Raises DatasetError (or the reader's InputError) that names the file and the frame.
    """
    if not path.is_file():
        raise DatasetError(
            f"{path}: there is no scene file. Give a folder that holds transforms.json, "
            "as `ns-process-data` or `lerf-wild synth habitat` write it."
        )
    scene = read_json(path)
    if not isinstance(scene, dict):
        raise DatasetError(f"{path}: expected an object with 'frames', got {_kind(scene)}.")
    frames = scene.get("frames")
    if not isinstance(frames, list) or not frames:
        raise DatasetError(f"{path}: 'frames' must be a list of at least one frame.")
    for index, frame in enumerate(frames):
        _check_frame(path, index, frame, scene)
    _check_splits(path, scene)
    _check_numbers(path, "", scene, (*INTRINSICS, *DISTORTION))
    _check_camera_model(path, scene)
    meters_per_unit(path, scene)
    return scene


def meters_per_unit(path: Path, scene: Mapping[str, object]) -> float | None:
    """Returns metres per scene unit, or None when the capture has no metric scale."""
    value = scene.get("meters_per_unit")
    if value is None:
        return None
    if not _is_number(value) or float(value) <= 0:
        raise DatasetError(f"{path}: 'meters_per_unit' must be a positive number, got {value!r}.")
    return float(value)


def _check_frame(path: Path, index: int, frame: object, scene: Mapping[str, object]) -> None:
    place = f"frames[{index}]"
    if not isinstance(frame, dict):
        raise DatasetError(f"{path}: {place} must be an object, got {_kind(frame)}.")
    if not isinstance(frame.get("file_path"), str):
        raise DatasetError(f"{path}: {place} has no text 'file_path'.")
    for key in INTRINSICS:
        if key not in frame and key not in scene:
            raise DatasetError(f"{path}: '{key}' is missing, for all frames and in {place}.")
    _check_numbers(path, f"{place}.", frame, (*INTRINSICS, *DISTORTION))
    _check_pose(path, place, frame.get("transform_matrix"))


def _check_numbers(path: Path, place: str, owner: Mapping[str, object], keys: tuple) -> None:
    for key in keys:
        if key not in owner:
            continue
        value = owner[key]
        if not _is_number(value):
            raise DatasetError(f"{path}: '{place}{key}' must be a number, got {value!r}.")
        if key in ("fl_x", "fl_y", "w", "h") and float(value) <= 0:
            raise DatasetError(f"{path}: '{place}{key}' must be positive, got {value!r}.")


def _check_pose(path: Path, place: str, matrix: object) -> None:
    try:
        pose = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        pose = np.zeros(0)
    if pose.shape not in ((4, 4), (3, 4)):
        raise DatasetError(f"{path}: {place}.transform_matrix must be 4 rows of 4 numbers.")
    if not np.isfinite(pose).all():
        raise DatasetError(f"{path}: {place}.transform_matrix has a number that is not finite.")
    if abs(np.linalg.det(pose[:3, :3])) < 1e-6:
        raise DatasetError(f"{path}: {place}.transform_matrix is no rotation (determinant 0).")


def _check_splits(path: Path, scene: Mapping[str, object]) -> None:
    named = [split for split in SPLITS if f"{split}_filenames" in scene]
    for split in named:
        names = scene[f"{split}_filenames"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DatasetError(f"{path}: '{split}_filenames' must be a list of file names.")
    if named and "train" not in named:
        raise DatasetError(f"{path}: it names {named[0]}_filenames but no 'train_filenames'.")
    if named and not scene["train_filenames"]:
        raise DatasetError(f"{path}: 'train_filenames' is empty; nothing to train on.")


def _check_camera_model(path: Path, scene: Mapping[str, object]) -> None:
    from nerfstudio.cameras.cameras import CAMERA_MODEL_TO_TYPE

    model = scene.get("camera_model", "OPENCV")
    if model not in CAMERA_MODEL_TO_TYPE:
        known = ", ".join(CAMERA_MODEL_TO_TYPE)
        raise DatasetError(f"{path}: camera_model {model!r} is not one of {known}.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: object) -> str:
    return type(value).__name__
