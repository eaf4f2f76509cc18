"""Pose files: this project's own, and those of GenZoo and BITE that users download.

Symbols: N poses, J joints (35). GenZoo's `dog_poses.npz` holds `pose_6d` of the 34 joints below the
root and `orient_6d` of the root, drawn from BITE's fits; six numbers are the first two columns of a
rotation, interleaved as HMR stores them (x.view(3, 2)). Their orientation is that of a camera, so
that `upright` leaves it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import roma
import torch
from numpy.typing import NDArray
from torch import Tensor

from lerf_wild.animals.schema import JOINT_COUNT
from lerf_wild.errors import InputError, ModelFileError
from lerf_wild.storage.npz_files import read_npz

MAX_BYTES = 2 << 30
LEGACY_JOINTS = 33


def read_poses(path: Path | str, upright: bool = True) -> Tensor:
    """Rotations (N, 35, 3, 3) of a pose file.

    Understands `pose_6d` with or without `orient_6d`, and `rotations`, `pose_rotmat` or `poses`
    (matrices) and `pose` (rotation vectors), each of one pose or of many, with or without the root.

    Args:
        path: An .npz.
        upright: Whether the root's rotation is left out.

    Raises:
        ModelFileError: the file is missing, damaged, or holds none of these.
        InputError: the poses are of another skeleton, or not finite.
    """
    path = Path(path)
    arrays = _read(path)
    rotations = _rotations(arrays, path)
    if not torch.isfinite(rotations).all():
        raise InputError(f"{path}: its poses hold NaN or infinity.")
    if upright:
        rotations[:, 0] = torch.eye(3, dtype=rotations.dtype)
    return rotations


def from_six(numbers: Tensor) -> Tensor:
    """Rotations (..., 3, 3) of six numbers (..., 6), columns interleaved."""
    return roma.special_gramschmidt(numbers.unflatten(-1, (3, 2)))


def _rotations(arrays: Mapping[str, NDArray], path: Path) -> Tensor:
    for name in ("rotations", "pose_rotmat", "poses"):
        if name in arrays:
            return _rooted(_tensor(arrays[name], 9, path).unflatten(-1, (3, 3)), None, path)
    if "pose" in arrays:
        return _rooted(roma.rotvec_to_rotmat(_tensor(arrays["pose"], 3, path)), None, path)
    if "pose_6d" in arrays:
        root = arrays.get("orient_6d")
        orient = None if root is None else from_six(_tensor(root, 6, path))
        return _rooted(from_six(_tensor(arrays["pose_6d"], 6, path)), orient, path)
    raise ModelFileError(
        f"{path}: holds no poses; expected an .npz with pose_6d, pose, or rotations."
    )


def _tensor(array: NDArray, width: int, path: Path) -> Tensor:
    """Rows (N, J', width) of whatever shape holds one pose or many."""
    counts = (JOINT_COUNT, JOINT_COUNT - 1, 1, LEGACY_JOINTS, LEGACY_JOINTS - 1)
    if array.dtype.kind not in "fiu" or array.size == 0:
        raise InputError(f"{path}: its poses are no numbers.")
    joint_axes = 2 if array.shape[-2:] == (3, 3) and width == 9 else 1
    joints = array.shape[-1 - joint_axes] if array.ndim > joint_axes else 0
    flat_row = array.shape[-1] % width == 0 and array.shape[-1] // width in counts
    if flat_row and array.shape[-1] != width:
        joints = array.shape[-1] // width
    if joints not in counts:
        joints = 1 if array.size % width == 0 and array.shape[-1] == width else 0
    if joints == 0 or array.size % (joints * width):
        raise InputError(f"{path}: poses of shape {array.shape} are not of 35 joints.")
    return torch.from_numpy(array.astype(np.float64)).reshape(-1, joints, width)


def _rooted(rotations: Tensor, root: Tensor | None, path: Path) -> Tensor:
    joints = rotations.shape[1]
    if joints in (LEGACY_JOINTS, LEGACY_JOINTS - 1):
        raise InputError(
            f"{path}: poses of {LEGACY_JOINTS} joints belong to SMAL's old skeleton without ears; "
            f"this one has {JOINT_COUNT}."
        )
    if joints == JOINT_COUNT:
        return rotations.clone()
    if root is None:
        root = torch.eye(3, dtype=rotations.dtype).expand(len(rotations), 1, 3, 3)
    if joints != JOINT_COUNT - 1 or len(root) != len(rotations):
        raise InputError(f"{path}: poses and their orientations don't belong together.")
    return torch.cat([root, rotations], 1)


def _read(path: Path) -> dict[str, NDArray]:
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file. Give poses as .npz.")
    if path.stat().st_size > MAX_BYTES:
        raise ModelFileError(f"{path}: larger than {MAX_BYTES >> 30} GiB; that is no pose file.")
    return read_npz(path, ModelFileError)
