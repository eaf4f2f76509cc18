"""Baselines that no network is trained for: what scenes usually look like, whatever is there.

A figure that is no better than theirs says nothing of a reader.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from lerf_wild.inverse.program_detector import SIZE
from lerf_wild.inverse.program_inference import Reading, upright
from lerf_wild.program.frames import seen_yaw, yaw_of
from lerf_wild.program.types import Program, SceneObject
from lerf_wild.render.scene_program import focal_px

MOST_NAMES = 5
NEAREST_M = 0.1
"""A text may say that something stands in the camera."""


@dataclass(frozen=True)
class Usual:
    """What is usual in scenes."""

    item: SceneObject
    """Median place, height and area, commonest kind and asset, mean direction."""
    program: Program
    """As many objects as usual, each at the median of those of its rank."""
    assets: tuple[str, ...]
    """The commonest, first."""
    seen_yaw_rad: float


def usual_of(programs: Sequence[Program]) -> Usual:
    """What is usual in programs, at least one of which has an object."""
    objects = [(item, program) for program in programs for item in program.objects]
    count = round(float(np.median([len(program.objects) for program in programs])))
    ranks = [
        [(program.objects[i], program) for program in programs if len(program.objects) > i]
        for i in range(count)
    ]
    names = Counter(item.asset for item, _ in objects if item.asset is not None)
    settings = replace(
        programs[0].settings,
        camera_pitch_deg=float(np.median([p.settings.camera_pitch_deg for p in programs])),
        camera_height_m=float(np.median([p.settings.camera_height_m or 1.6 for p in programs])),
    )
    item, yaw = _middle(objects, settings.camera_pitch_deg)
    typical = tuple(_middle(rank, settings.camera_pitch_deg)[0] for rank in ranks)
    commonest = tuple(name for name, _ in names.most_common(MOST_NAMES))
    return Usual(item, Program(settings, typical), commonest, yaw)


def constant(usual: Usual) -> Reading:
    """The same program, whatever the picture."""
    objects = usual.program.objects
    focal = focal_px(usual.program, SIZE)
    boxes = np.array([place_in_picture(item, focal) for item in objects]).reshape(-1, 4)
    return _reading(usual.program, boxes, usual)


def medians(reading: Reading, usual: Usual) -> Reading:
    """The boxes that a reader has found, with what is usual in place of all that it says of them:
    the object in a box stands in its direction at the usual depth."""
    program = reading.program
    focal, pitch = focal_px(program, SIZE), program.settings.camera_pitch_deg
    depth = -usual.item.loc_m[2]
    objects = []
    for item, box in zip(program.objects, reading.boxes_K4.tolist()):
        column, row = (box[0] + box[2]) / 2 - SIZE / 2, box[3] - SIZE / 2
        loc = (column / focal * depth, -row / focal * depth, -depth)
        turn = upright(usual.seen_yaw_rad, loc, pitch)
        changed = replace(usual.item, loc_m=loc, rotation_9=turn, confidence=item.confidence)
        objects.append(replace(changed, appearance=item.appearance))
    return _reading(Program(program.settings, tuple(objects)), reading.boxes_K4.numpy(), usual)


def _middle(rows: Sequence[tuple[SceneObject, Program]], pitch: float) -> tuple[SceneObject, float]:
    loc = tuple(float(v) for v in np.median([item.loc_m for item, _ in rows], axis=0))
    yaws = [
        seen_yaw(yaw_of(item.rotation_33, p.settings.camera_pitch_deg), item.loc_m,
                 p.settings.camera_pitch_deg)
        for item, p in rows
        if item.rotation_9 is not None
    ]  # fmt: skip
    yaw = float(np.angle(np.exp(1j * np.array(yaws)).mean())) if yaws else 0.0
    middle = SceneObject(
        pixels=round(float(np.median([item.pixels for item, _ in rows]))),
        loc_m=loc,
        height_m=float(np.median([item.height_m for item, _ in rows])),
        rotation_9=upright(yaw, loc, pitch),
        kind=Counter(item.kind for item, _ in rows).most_common(1)[0][0],
        asset=Counter(item.asset for item, _ in rows).most_common(1)[0][0],
    )
    return middle, yaw


def place_in_picture(item: SceneObject, focal: float) -> tuple[float, float, float, float]:
    """About where an object as wide as high is seen in a picture of ``SIZE`` pixels."""
    x, y, z = item.loc_m
    z = min(z, -NEAREST_M)
    column, foot, size = SIZE / 2 - focal * x / z, SIZE / 2 + focal * y / z, -focal / z
    half = item.height_m * size / 2
    return column - half, foot - 2 * half, column + half, foot


def _reading(program: Program, boxes: np.ndarray, usual: Usual) -> Reading:
    count = len(program.objects)
    tensor = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    names = tuple((item.asset, *(n for n in usual.assets if n != item.asset))[:MOST_NAMES]
                  for item in program.objects)  # fmt: skip
    return Reading(program, tensor, names, (0.0,) * count)
