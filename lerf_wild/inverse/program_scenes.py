"""What is written of a photo: its program, where everything stands, a picture beside it, a GLB."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lerf_wild.assets.library import Library, open_library
from lerf_wild.inverse.program_inference import Reading
from lerf_wild.program.files import write_program
from lerf_wild.program.frames import to_level, yaw_of
from lerf_wild.program.statements import ANIMAL_KINDS
from lerf_wild.program.types import Program, SceneObject
from lerf_wild.render.program_export import write_glb
from lerf_wild.render.scene_program import (
    AssetFinder,
    asset_named,
    camera_height_m,
    finder,
    render_program,
)
from lerf_wild.storage.atomic import write_bytes, write_json

MIN_WIDTH = 8
COVER_KINDS = ("shrub", "rock", "tree")


def describe(
    reading: Reading, library: Library | None = None, boxes: Sequence[Sequence[float]] | None = None
) -> dict[str, Any]:
    """Positions, headings and distances as plain data; metres and degrees.

    ``east_m`` is to the camera's right and ``north_m`` straight ahead; a heading is clockwise from
    straight ahead, and only animals have one. Species and licences are those of the library, which
    is the user's when None. ``boxes`` says where each object is seen: left, top, right and bottom
    as shares of the photo.
    """
    library = open_library() if library is None else library
    program = reading.program
    pitch = program.settings.camera_pitch_deg
    spots = [to_level(item.loc_m, pitch) for item in program.objects]
    objects = [
        _described(item, spot, pitch, reading, i, library)
        for i, (item, spot) in enumerate(zip(program.objects, spots))
    ]
    animals = [i for i, item in enumerate(program.objects) if item.kind in ANIMAL_KINDS]
    cover = [i for i, item in enumerate(program.objects) if item.kind in COVER_KINDS]
    for i in animals:
        objects[i]["nearest_animal_m"] = _nearest(spots, i, animals)
        objects[i]["nearest_cover_m"] = _nearest(spots, i, cover)
    for row, box in zip(objects, boxes if boxes is not None else ()):
        row["box"] = [round(float(share), 4) for share in box]
    return {
        "camera_height_m": round(camera_height_m(program), 3),
        "camera_pitch_deg": round(pitch, 2),
        "ground": program.settings.ground_name,
        "objects": objects,
        "animal_distances_m": [
            {"first": i, "second": j, "distance_m": _gap(spots, i, j)}
            for i, j in combinations(animals, 2)
        ],
    }


def write_reconstruction(
    folder: Path,
    photo: NDArray[np.uint8],
    reading: Reading,
    size: int = 256,
    library: Library | None = None,
    boxes: Sequence[Sequence[float]] | None = None,
    notes: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Write `scene.txt`, `scene.json`, `side_by_side.jpg` and `scene.glb`; JSON comes last, so that
    a folder that holds it is complete.

    Args:
        folder: Where to; made if need be.
        photo: What was read.
        reading: What was read of it.
        size: Height of the pictures in pixels.
        library: Where the assets are; the starters and the user's when None.
        boxes: Where each object is seen, as `describe` takes it.
        notes: What `scene.json` says besides, after what `describe` does.

    Returns:
        What `scene.json` holds.
    """
    find = asset_named if library is None else finder(library)
    folder.mkdir(parents=True, exist_ok=True)
    write_program(folder / "scene.txt", reading.program)
    write_bytes(folder / "side_by_side.jpg", side_by_side(photo, reading.program, size, find))
    write_glb(folder / "scene.glb", reading.program, find)
    content = {**describe(reading, library, boxes), **notes}
    write_json(folder / "scene.json", content)
    return content


def side_by_side(
    photo: NDArray[np.uint8], program: Program, size: int = 256, find: AssetFinder = asset_named
) -> bytes:
    """A JPEG of the photo beside the drawn program, both as wide as the photo is."""
    width = max(MIN_WIDTH, round(size * photo.shape[1] / photo.shape[0]))
    drawn = render_program(program, width, size, find).picture.rgb
    left = np.asarray(Image.fromarray(photo).resize((width, size)))
    stream = io.BytesIO()
    Image.fromarray(np.concatenate([left, drawn], axis=1)).save(stream, "JPEG", quality=88)
    return stream.getvalue()


def _described(
    item: SceneObject,
    spot: NDArray[np.float64],
    pitch: float,
    reading: Reading,
    index: int,
    library: Library,
) -> dict[str, Any]:
    known = library.entries.get(item.asset or "")
    described: dict[str, Any] = {
        "kind": item.kind,
        "asset": item.asset,
        "species": known.species if known is not None else None,
        "licence": known.licence if known is not None else None,
        "east_m": round(float(spot[0]), 3),
        "north_m": round(float(spot[1]), 3),
        "distance_m": round(float(np.hypot(spot[0], spot[1])), 3),
        "angle_deg": round(float(np.degrees(np.arctan2(spot[0], spot[1]))), 2),
        "height_m": round(item.height_m, 3),
        "pixels": item.pixels,
        "confidence": None if item.confidence is None else round(item.confidence, 3),
        "candidates": list(reading.candidates[index]),
        "margin": round(reading.margins[index], 4),
    }
    if item.kind in ANIMAL_KINDS and item.rotation_33 is not None:
        yaw = np.degrees(yaw_of(item.rotation_33, pitch))
        described["heading_deg"] = round(float((90.0 - yaw) % 360.0), 1)
    return described


def _nearest(spots: list[NDArray[np.float64]], i: int, others: list[int]) -> float | None:
    return min((_gap(spots, i, j) for j in others if j != i), default=None)


def _gap(spots: list[NDArray[np.float64]], i: int, j: int) -> float:
    """Distance along the ground in metres."""
    return round(float(np.linalg.norm(spots[i][:2] - spots[j][:2])), 3)
