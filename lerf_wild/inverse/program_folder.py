"""A folder of photos in one run: each is read once, whatever stops the run in between.

A photo is done when its folder holds a `scene.json` with its key, which is a hash of the photo, the
reader, the library and all that was asked for; so a run goes on where it was stopped, and reads
again what would come out otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerf_wild.errors import InputError
from lerf_wild.inverse.detections import LEAST, Detection, Detections, PhotoDetections
from lerf_wild.inverse.program_images import Box, Photo, PhotoPlace, open_photo
from lerf_wild.inverse.program_inference import DEFAULT_FOV_DEG, Reading
from lerf_wild.inverse.program_scale import Reference, to_metres
from lerf_wild.inverse.program_scenes import write_reconstruction
from lerf_wild.inverse.program_use import OpenReader
from lerf_wild.storage.atomic import write_json, writing
from lerf_wild.storage.cache import content_key
from lerf_wild.storage.hashes import file_sha256
from lerf_wild.storage.json_files import read_json

VERSION = 2
"""Raise it when the same photo comes out otherwise."""
SCENE = "scene.json"
MAX_SCENE_BYTES = 16 << 20


@dataclass(frozen=True)
class Task:
    """What is the same for all photos."""

    fov_deg: float | None = None
    """Vertical, of the whole photo; None takes ``DEFAULT_FOV_DEG`` for the square that is read."""
    threshold: float | None = None
    refine: bool = False
    camera_m: float | None = None
    reference: Reference | None = None
    """Its box is in the file's pixels."""
    detections: Detections | None = None
    least: float = LEAST
    """Least confidence of an animal's box."""


@dataclass(frozen=True)
class Outcome:
    """What became of a photo."""

    place: PhotoPlace
    state: str
    """"read", "kept" from an earlier run, "no animal", or "failed"."""
    scene: dict[str, Any]
    """What `scene.json` holds; with "error" for one that failed."""


def reconstruct(reader: OpenReader, place: PhotoPlace, output_dir: Path, task: Task) -> Outcome:
    """Read a photo into its folder, unless it is there already.

    Raises:
        InputError: when the photo can't be read; the rest of a folder can go on.
        ExportError: when nothing can be written, which ends a run.
    """
    folder = output_dir / place.folder
    found = None
    if task.detections is not None:
        parts = place.name.count("/") + 1
        found = task.detections.of(place.path.absolute(), task.least, parts)
    key = photo_key(reader, place, task, found)
    done = finished(folder, key)
    if done is not None:
        return Outcome(place, "kept" if "objects" in done else "no animal", done)
    photo = open_photo(place.path, None if found is None else [a.box_4 for a in found.animals])
    fov_deg = DEFAULT_FOV_DEG if task.fov_deg is None else photo.fov_deg(task.fov_deg)
    notes: dict[str, Any] = {"photo": place.name, "fov_deg": fov_deg, "key": key}
    if found is None:
        reading = reader.read(photo.rgb_HW3, fov_deg, task.threshold)
        return _written(reader, photo, reading, place, folder, task, notes)
    photo = without(photo, found.others)
    animals = _seen(photo, found.animals)
    notes["people_or_vehicles"] = len(found.others)
    notes["animals_outside"] = len(found.animals) - len(animals)
    if found.animals and not animals:
        raise InputError(f"{place.path}: too narrow to show the animals that the detector saw.")
    if not animals:
        with writing(folder):
            write_json(folder / SCENE, notes)
        return Outcome(place, "no animal", notes)
    reading = reader.read_animals(photo.rgb_HW3, animals, fov_deg, task.threshold)
    return _written(reader, photo, reading, place, folder, task, notes)


def finished(folder: Path, key: str) -> dict[str, Any] | None:
    """What an earlier run wrote of the same photo with the same key, if it came to its end."""
    path = folder / SCENE
    if not path.is_file():
        return None
    try:
        content = read_json(path, MAX_SCENE_BYTES)
    except InputError:
        return None
    return content if isinstance(content, dict) and content.get("key") == key else None


def photo_key(
    reader: OpenReader, place: PhotoPlace, task: Task, found: PhotoDetections | None
) -> str:
    """Hash of all that decides what is written of a photo.

    Raises:
        InputError: when the photo can't be read.
    """
    reference = task.reference
    rows = None
    if found is not None:
        rows = [
            [[*d.box_4, d.confidence] for d in group] for group in (found.animals, found.others)
        ]
    return content_key(
        {
            "version": VERSION,
            "photo": file_sha256(place.path),
            "name": place.name,
            "reader": reader.key,
            "library": {entry.name: entry.key for entry in reader.library.added()},
            "detections": rows,
            "reference": None
            if reference is None
            else [reference.height_m, reference.words, reference.box_4],
            "options": [task.fov_deg, task.threshold, task.refine, task.camera_m],
        }
    )


def without(photo: Photo, others: tuple[Detection, ...]) -> Photo:
    """The photo with people and vehicles painted over in its mean colour."""
    if not others:
        return photo
    rgb = photo.rgb_HW3.copy()
    colour = rgb.reshape(-1, 3).mean(axis=0).astype(np.uint8)
    for x0, y0, x1, y1 in photo.from_file(_in_pixels(photo, others)):
        rows = slice(max(0, int(np.floor(y0))), max(0, int(np.ceil(y1))))
        rgb[rows, max(0, int(np.floor(x0))) : max(0, int(np.ceil(x1)))] = colour
    return Photo(rgb, photo.window_4, photo.file_size)


def _in_pixels(photo: Photo, found: tuple[Detection, ...]) -> NDArray[np.float64]:
    size = [*photo.file_size, *photo.file_size]
    return np.array([d.box_4 for d in found]).reshape(-1, 4) * size


def _seen(photo: Photo, found: tuple[Detection, ...]) -> list[Detection]:
    """Animals of which more than half is in the picture, as shares of it."""
    height, width = photo.rgb_HW3.shape[:2]
    boxes = photo.from_file(_in_pixels(photo, found))
    cut = np.clip(boxes, 0.0, [width, height, width, height])
    areas = [np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (cut, boxes)]
    return [
        Detection(tuple(float(v) for v in box / [width, height, width, height]), item.confidence)
        for box, item, inside, whole in zip(cut, found, *areas)
        if inside > 0.5 * whole
    ]


def _written(
    reader: OpenReader,
    photo: Photo,
    reading: Reading,
    place: PhotoPlace,
    folder: Path,
    task: Task,
    notes: dict[str, Any],
) -> Outcome:
    if task.refine:
        reading = reader.refined(reading, photo.rgb_HW3)
    size = (photo.rgb_HW3.shape[1], photo.rgb_HW3.shape[0])
    scaled = to_metres(
        reading.program, size, reader.library, task.camera_m, _reference_in(photo, task.reference)
    )
    reading = Reading(scaled.program, reading.boxes_K4, reading.candidates, reading.margins)
    notes = {**notes, "scale": {"from": scaled.source, "factor": round(scaled.factor, 5)}}
    boxes = photo.shares(reading.boxes_K4.numpy())
    with writing(folder):
        scene = write_reconstruction(
            folder, photo.rgb_HW3, reading, library=reader.library, boxes=boxes, notes=notes
        )
    return Outcome(place, "read", scene)


def _reference_in(photo: Photo, reference: Reference | None) -> Reference | None:
    if reference is None or reference.box_4 is None:
        return reference
    box: Box = tuple(float(v) for v in photo.from_file([reference.box_4])[0])  # type: ignore[assignment]
    return Reference(reference.height_m, reference.words, box)
