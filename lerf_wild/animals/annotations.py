"""Readers of Animal3D's and AP-10K's annotation files, which users download themselves.

Symbols: P keypoints (26). Both give the 26 keypoints of `lerf_wild.animals.schema`; AP-10K knows 11
of them under its own names, and its other six (elbows, hips, knees) are other places of the body,
which are left out. Pictures are not opened here.

Animal3D's 3D keypoints are known to be wrong in part (AniMer's maintainers say so); with a SMAL
body, take them from ``betas`` and ``rotvecs`` instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lerf_wild.animals.schema import JOINT_COUNT, KEYPOINT_NAMES
from lerf_wild.errors import DatasetError
from lerf_wild.storage.json_files import read_json

Floats = NDArray[np.float32]
MAX_BYTES = 512 << 20
POINTS = len(KEYPOINT_NAMES)

AP10K_KEYPOINTS: dict[int, str] = {
    **{0: "left eye", 1: "right eye", 2: "nose", 3: "neck", 4: "tail base"},
    **{5: "left shoulder", 7: "left front paw", 8: "right shoulder", 10: "right front paw"},
    **{13: "left hind paw", 16: "right hind paw"},
}
"""Place among AP-10K's 17 keypoints -> name among the 26."""
AP10K_COUNT = 17


@dataclass(frozen=True)
class AnnotatedAnimal:
    """What a file says of one animal in one picture."""

    image: str
    """Path as the file has it, relative to the dataset's folder."""
    box_xywh: tuple[float, float, float, float]
    """Pixels."""
    keypoints_P2: Floats
    """Pixels; without meaning where not valid."""
    valid_P: NDArray[np.bool_]
    category: str
    mask: str | None = None
    """Path of the silhouette."""
    area_px2: float | None = None
    """Area of the silhouette, where the file gives it."""
    keypoints_P3: Floats | None = None
    """In space, in the file's own frame and unit."""
    betas: Floats | None = None
    """Of SMAL, (41,)."""
    rotvecs: Floats | None = None
    """Rotation vectors (35, 3) of SMAL, the root's first."""
    translation: Floats | None = None
    """(3,)."""


def read_animal3d(path: Path | str) -> list[AnnotatedAnimal]:
    """Reads train.json or test.json of Animal3D (Xu et al., ICCV 2023).

    Raises:
        DatasetError: the file is no such file; names the entry.
        InputError: it is no safe JSON.
    """
    content = read_json(path, MAX_BYTES)
    entries = content.get("data") if isinstance(content, Mapping) else content
    if not isinstance(entries, list) or not entries:
        raise DatasetError(f'{path}: has no list under "data"; give a JSON of Animal3D.')
    return [_animal3d(entry, f"{path}, entry {number}") for number, entry in enumerate(entries)]


def read_ap10k(path: Path | str) -> list[AnnotatedAnimal]:
    """Reads a COCO-style keypoint file of AP-10K (Yu et al., NeurIPS 2021).

    Raises:
        DatasetError: the file is no such file; names the annotation.
        InputError: it is no safe JSON.
    """
    content = read_json(path, MAX_BYTES)
    names = ("images", "annotations", "categories")
    if not isinstance(content, Mapping) or not all(
        isinstance(content.get(name), list) for name in names
    ):
        raise DatasetError(f"{path}: lacks lists of {', '.join(names)}; give a JSON of AP-10K.")
    where = f"{path}, images or categories"
    images = {_get(row, "id", int, where): row for row in content["images"]}
    kinds = {_get(row, "id", int, where): row for row in content["categories"]}
    found = []
    for row in content["annotations"]:
        place = f"{path}, annotation {row.get('id') if isinstance(row, Mapping) else row!r:.40}"
        image, kind = _get(row, "image_id", int, place), _get(row, "category_id", int, place)
        if image not in images or kind not in kinds:
            raise DatasetError(f"{place}: names an image or category that the file lacks.")
        file = _get(images[image], "file_name", str, place)
        found.append(_ap10k(row, file, _get(kinds[kind], "name", str, place), place))
    return found


READERS = {"animal3d": read_animal3d, "ap10k": read_ap10k}
"""Name of a format -> its reader."""


def _animal3d(entry: object, place: str) -> AnnotatedAnimal:
    points = _numbers(entry, "keypoint_2d", (POINTS, 3), place)
    shape = _numbers(entry, "shape", (None,), place, needed=False)
    extra = _numbers(entry, "shape_extra", (None,), place, needed=False)
    pose = _numbers(entry, "pose", (3 * JOINT_COUNT,), place, needed=False)
    betas = shape if shape is None or extra is None else np.concatenate([shape, extra])
    category = entry.get("category", entry.get("supercategory", "animal"))
    mask = entry.get("mask_path")
    return AnnotatedAnimal(
        image=_get(entry, "img_path", str, place),
        box_xywh=_box(entry, place),
        keypoints_P2=points[:, :2],
        valid_P=points[:, 2] > 0,
        category=str(category),
        mask=None if mask is None else str(mask),
        keypoints_P3=_space(entry, place),
        betas=betas,
        rotvecs=None if pose is None else pose.reshape(JOINT_COUNT, 3),
        translation=_numbers(entry, "trans", (3,), place, needed=False),
    )


def _ap10k(row: Mapping, image: str, category: str, place: str) -> AnnotatedAnimal:
    flat = _numbers(row, "keypoints", (3 * AP10K_COUNT,), place).reshape(-1, 3)
    points, valid = np.zeros((POINTS, 2), np.float32), np.zeros(POINTS, bool)
    for theirs, name in AP10K_KEYPOINTS.items():
        ours = KEYPOINT_NAMES.index(name)
        points[ours], valid[ours] = flat[theirs, :2], flat[theirs, 2] > 0
    area = row.get("area")
    known = isinstance(area, int | float) and area > 0
    return AnnotatedAnimal(
        image=image,
        box_xywh=_box(row, place),
        keypoints_P2=points,
        valid_P=valid,
        category=category,
        area_px2=float(area) if known else None,
    )


def _space(entry: Mapping, place: str) -> Floats | None:
    found = _numbers(entry, "keypoint_3d", (POINTS, None), place, needed=False)
    if found is not None and found.shape[1] not in (3, 4):
        raise DatasetError(f"{place}: keypoint_3d is {found.shape}, expected 26 x 3.")
    return None if found is None else found[:, :3]


def _box(entry: Mapping, place: str) -> tuple[float, float, float, float]:
    x, y, width, height = map(float, _numbers(entry, "bbox", (4,), place))
    if width <= 0 or height <= 0:
        raise DatasetError(
            f"{place}: its bbox is {width:g} x {height:g} pixels; sides must be > 0."
        )
    return x, y, width, height


def _get(entry: object, name: str, kind: type, place: str) -> object:
    value = entry.get(name) if isinstance(entry, Mapping) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DatasetError(f"{place}: {name} is missing or no {kind.__name__}.")
    return value


def _numbers(
    entry: object, name: str, shape: tuple[int | None, ...], place: str, needed: bool = True
) -> Floats | None:
    value = entry.get(name) if isinstance(entry, Mapping) else None
    if value is None and not needed:
        return None
    try:
        # What is too large for float32 becomes infinite, and is refused below.
        with np.errstate(over="ignore"):
            array = np.array(value, dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        array = np.array(math.nan)
    fits = array.ndim == len(shape) and all(s in (None, f) for s, f in zip(shape, array.shape))
    if not fits or not np.isfinite(array).all():
        wanted = " x ".join("any" if side is None else str(side) for side in shape)
        raise DatasetError(f"{place}: {name} is not {wanted} finite numbers.")
    return array
