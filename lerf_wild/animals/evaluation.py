"""Answers about animals in pictures against the truth: PCK and errors in space, with intervals.

Symbols: B animals, P keypoints (26), J joints (35), V vertices, K betas. An answer file is .npz
with `image` (B names) and any of `keypoints_2d` (B, P, 2), `joints` (B, J, 3), `vertices`
(B, V, 3), or `betas` (B, K) with `rotations` (B, J, 3, 3) and `model_sha256`, from which joints and
vertices are made; a truth file may have `valid` (B, P) and `area_px2` (B,) besides. Animal3D's and
AP-10K's files are truths too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import roma
import torch
from numpy.typing import NDArray
from torch import Tensor

from lerf_wild.animals import metrics
from lerf_wild.animals.annotations import AnnotatedAnimal
from lerf_wild.animals.body import BodyModel
from lerf_wild.errors import DatasetError, InputError
from lerf_wild.storage.npz_files import read_npz

SHAPES: dict[str, tuple[int | None, ...]] = {
    **{"keypoints_2d": (26, 2), "valid": (26,), "area_px2": ()},
    **{"joints": (35, 3), "vertices": (None, 3)},
    **{"betas": (None,), "rotations": (35, 3, 3)},
}
"""Arrays of a file -> their shape after B."""
AREA_THRESHOLDS = (0.1, 0.15)


@dataclass(frozen=True)
class Animals:
    """What is known of some animals, one row an animal; what isn't known is None."""

    image: tuple[str, ...]
    keypoints_2d: Tensor | None = None
    valid: Tensor | None = None
    area_px2: Tensor | None = None
    joints: Tensor | None = None
    vertices: Tensor | None = None

    def rows(self, chosen: Sequence[int]) -> Animals:
        """Some of the animals."""
        taken = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "image"}
        index = torch.tensor(list(chosen), dtype=torch.long)
        parts = {name: None if t is None else t[index] for name, t in taken.items()}
        return Animals(image=tuple(self.image[i] for i in chosen), **parts)


def read_animals(path: Path | str, model: BodyModel) -> Animals:
    """Reads an .npz of answers or of truth.

    Raises:
        DatasetError: the file is missing, damaged, or its arrays have other shapes.
        InputError: its betas belong to another model than ``model``.
    """
    arrays = read_npz(Path(path), DatasetError)
    names = arrays.get("image")
    if names is None or names.ndim != 1 or names.dtype.kind != "U" or len(names) == 0:
        raise DatasetError(f"{path}: lacks `image`, the name of each animal's picture.")
    for name, shape in SHAPES.items():
        _check(arrays, name, shape, len(names), path)
    found = {name: torch.from_numpy(arrays[name]) for name in SHAPES if name in arrays}
    betas, rotations = found.pop("betas", None), found.pop("rotations", None)
    if betas is not None and rotations is not None:
        digest = arrays.get("model_sha256", np.zeros(0, np.uint8)).astype(np.uint8).tobytes()
        if digest.decode("ascii", "replace") != model.sha256:
            raise InputError(
                f"{path}: its betas belong to another body model ({digest[:12].decode()!r}, this "
                f"one is {model.sha256[:12]!r}); give that model with --body."
            )
        found |= _bodies(model, betas, rotations)
    return Animals(image=tuple(map(str, names)), **found)


def of_annotations(entries: Sequence[AnnotatedAnimal], model: BodyModel | None) -> Animals:
    """The truth of annotation files; with a SMAL ``model`` of their betas, in space as well."""
    areas = [np.nan if entry.area_px2 is None else entry.area_px2 for entry in entries]
    space: dict[str, Tensor] = {}
    posed = [entry.betas is not None and entry.rotvecs is not None for entry in entries]
    if model is not None and all(posed):
        betas = torch.from_numpy(np.stack([entry.betas for entry in entries]))
        turns = torch.from_numpy(np.stack([entry.rotvecs for entry in entries]))
        space = _bodies(model, betas, roma.rotvec_to_rotmat(turns))
    return Animals(
        image=tuple(entry.image for entry in entries),
        keypoints_2d=torch.from_numpy(np.stack([entry.keypoints_P2 for entry in entries])),
        valid=torch.from_numpy(np.stack([entry.valid_P for entry in entries])),
        area_px2=torch.tensor(areas),
        **space,
    )


def matched(found: Animals, true: Animals) -> tuple[Animals, Animals]:
    """The animals of both, by name of the picture and, within one, by order.

    Raises:
        DatasetError: they have no picture in common.
    """
    places: dict[str, list[int]] = {}
    for place, name in enumerate(found.image):
        places.setdefault(Path(name).name, []).append(place)
    pairs = []
    for place, name in enumerate(true.image):
        waiting = places.get(Path(name).name)
        if waiting:
            pairs.append((waiting.pop(0), place))
    if not pairs:
        raise DatasetError("Answers and truth have no picture in common; compare their names.")
    return found.rows([a for a, _ in pairs]), true.rows([b for _, b in pairs])


def measure(found: Animals, true: Animals, seed: int = 0) -> dict[str, metrics.Interval]:
    """All figures that answers and truth allow, each with its 95 % interval.

    Raises:
        DatasetError: they have nothing in common that could be measured.
    """
    figures: dict[str, metrics.Interval] = {}
    if found.keypoints_2d is not None and true.keypoints_2d is not None:
        figures |= _in_the_picture(found.keypoints_2d, true, seed)
    for name, label in (("joints", "mpjpe"), ("vertices", "v2v")):
        one, other = getattr(found, name), getattr(true, name)
        if one is None or other is None or one.shape != other.shape:
            continue
        figures[f"s_{label}"] = metrics.interval(metrics.scaled_error(one, other), seed=seed)
        figures[f"pa_{label}"] = metrics.interval(metrics.procrustes_error(one, other), seed=seed)
    if not figures:
        raise DatasetError("Answers and truth share neither keypoints nor joints nor vertices.")
    return figures


def _in_the_picture(points: Tensor, true: Animals, seed: int) -> dict[str, metrics.Interval]:
    truth = true.keypoints_2d
    valid = torch.ones_like(truth[..., 0]).bool() if true.valid is None else true.valid.bool()
    cases = [("pck_head_tail_0.5", metrics.head_tail_px(truth, valid), 0.5)]
    if true.area_px2 is not None:
        side = true.area_px2.sqrt()
        cases += [(f"pck_area_{limit}", side, limit) for limit in AREA_THRESHOLDS]
    cases += [("pck_box_0.1", metrics.box_px(truth, valid), 0.1)]
    figures = {}
    for name, size, limit in cases:
        right, counted = metrics.keypoints_right(points, truth, size, limit, valid)
        if counted.sum() > 0:
            figures[name] = metrics.interval(right, counted, seed=seed)
    return figures


def _bodies(model: BodyModel, betas: Tensor, rotations: Tensor) -> dict[str, Tensor]:
    posed = model.pose(betas.to(model.template_V3), rotations.to(model.template_V3))
    return {"joints": posed.joints, "vertices": posed.vertices}


def _check(
    arrays: Mapping[str, NDArray], name: str, shape: tuple, count: int, path: Path | str
) -> None:
    if name not in arrays:
        return
    wanted, found = (count, *shape), arrays[name].shape
    fits = len(wanted) == len(found) and all(w in (None, f) for w, f in zip(wanted, found))
    if not fits:
        text = " x ".join("any" if side is None else str(side) for side in wanted)
        hint = "; 33 joints are the old skeleton without ears" if 33 in found else ""
        raise DatasetError(f"{path}: {name} is {found}, expected {text}{hint}.")
    if arrays[name].dtype.kind not in "fiub":
        raise DatasetError(f"{path}: {name} holds no numbers.")
    if name != "keypoints_2d" and name != "area_px2" and not np.isfinite(arrays[name]).all():
        raise DatasetError(f"{path}: {name} holds NaN or infinity.")
