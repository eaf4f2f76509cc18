"""What is true in labelled views: which phrase is where, pixel by pixel where that is known.

A habitat has exact instance pictures; other captures have outlines or boxes, in files as LERF
(labelme) or LERF-OVS write them. H, W pixels of a label file, K boxes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from lerf_wild.errors import DatasetError
from lerf_wild.language.labels import (
    SceneTruth,
    ViewLabels,
    read_instances,
    read_labels,
    read_scene_truth,
)

Mask = Bool[np.ndarray, "H W"]

CAMERA_FILES = ("keyframes.json", "camera_path.json")
"""Cameras beside labels of views that are no pictures of the capture, as LERF publishes them."""


@dataclass(frozen=True)
class LabelledView:
    """One view with what is in it."""

    labels: ViewLabels
    mask_of: Callable[[str], Mask]
    """The pixels that show what a phrase is true of."""

    @property
    def phrases(self) -> tuple[str, ...]:
        """The labelled phrases."""
        return tuple(self.labels.regions)

    def boxes_at(self, phrase: str, height: int, width: int) -> Float[np.ndarray, "K 4"]:
        """Returns the boxes of a phrase in pixels of a picture of another size."""
        # Labels count pixels by their index, so a box ends one pixel before its right border.
        scale_4 = np.tile([width / self.labels.width, height / self.labels.height], 2)
        boxes_K4 = self.labels.regions[phrase].boxes_K4
        if (height, width) == (self.labels.height, self.labels.width):
            return boxes_K4
        return (boxes_K4 + 0.5) * scale_4 - 0.5


def find_labels(scene: Path, labels: Path | None) -> Path | None:
    """Returns the folder or file of labels: the one given, else the scene's own, else None.

    Raises DatasetError when the one given doesn't exist.
    """
    if labels is None:
        return scene / "labels" if (scene / "labels").is_dir() else None
    if not labels.exists():
        raise DatasetError(
            f"{labels}: there are no labels here. Give a folder of labelme or LERF-OVS .json files."
        )
    return labels


def read_truth(scene: Path) -> SceneTruth | None:
    """Returns what a habitat's scene.json states, or None where there is none."""
    path = scene / "scene.json"
    return read_scene_truth(path) if path.is_file() else None


def labelled_views(path: Path, scene: Path) -> tuple[LabelledView, ...]:
    """Reads labels and joins them with the scene's instance pictures where it has them.

    Raises DatasetError or InputError for files that can't be used.
    """
    files = read_labels(path)
    instances = scene / "instances"
    ids = _ids_by_phrase(files, read_truth(scene))
    return tuple(LabelledView(one, _mask_source(one, instances, ids)) for one in files)


def match_views(views: Sequence[LabelledView], pictures: Iterable[str]) -> dict[str, LabelledView]:
    """Returns the labelled view of each picture that has one, by the picture's file name."""
    by_stem = {Path(one.labels.image_name).stem: one for one in views}
    by_stem = {one.labels.name: one for one in views} | by_stem
    names = {name: Path(name).stem for name in pictures}
    return {name: by_stem[stem] for name, stem in names.items() if stem in by_stem}


def camera_file(path: Path) -> Path | None:
    """Returns the file of cameras that lies beside the labels, or None."""
    folder = path if path.is_dir() else path.parent
    return next((folder / name for name in CAMERA_FILES if (folder / name).is_file()), None)


def _ids_by_phrase(
    files: Sequence[ViewLabels], truth: SceneTruth | None
) -> Mapping[str, tuple[int, ...]]:
    # An object that is too small for a box in one view is labelled in another. Labels hold wider
    # names too, and of water; scene.json serves labels that don't name instances.
    found: dict[str, dict[int, None]] = {}
    for instance in truth.instances if truth is not None else ():
        for phrase in instance.phrases:
            found.setdefault(phrase, {})[instance.id] = None
    for one in files:
        for phrase, region in one.regions.items():
            found.setdefault(phrase, {}).update(dict.fromkeys(region.instances))
    return {phrase: tuple(ids) for phrase, ids in found.items()}


def _mask_source(
    labels: ViewLabels, folder: Path, ids: Mapping[str, tuple[int, ...]]
) -> Callable[[str], Mask]:
    path = folder / re.sub(r"\.\w+$", ".png", labels.image_name)
    if not path.is_file():
        return labels.mask
    pixels_HW = read_instances(path)

    def mask(phrase: str) -> Mask:
        if not ids.get(phrase):
            return labels.mask(phrase)
        return np.isin(pixels_HW, ids[phrase])

    return mask
