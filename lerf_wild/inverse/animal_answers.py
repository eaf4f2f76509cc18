"""Recovered animals as pictures, GLB, JSON and answer files.

Symbols: H, W size of a photo, D side of the square around it, P keypoints (26), J joints (35).
Camera axes: x right, y down, z forward; bodies stand in theirs (x forward, y left, z up).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lerf_wild.animals import schema
from lerf_wild.animals.body import BodyModel
from lerf_wild.animals.size import ground_shift, metres_per_unit
from lerf_wild.animals.skinned_glb import Animation, write_skinned_glb
from lerf_wild.inverse.animal_photos import Photo
from lerf_wild.storage.atomic import write_bytes
from lerf_wild.synth.genzoo_signals import Parameters, make_signals

LEVEL_CAMERA = np.float32([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
"""From a level camera's axes to those in which bodies stand."""
OVERLAY_PX = 768
SIDES = {"left": (255, 150, 40), "right": (60, 170, 255), "middle": (245, 245, 245)}


def overlay(photo: Photo, model: BodyModel, parameters: Parameters) -> NDArray[np.uint8]:
    """The photo with the animal laid over: its surface, its skeleton, its keypoints."""
    height, width = photo.rgb_HW3.shape[:2]
    scale = min(1.0, OVERLAY_PX / photo.side_px)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = cv2.resize(photo.rgb_HW3, size, interpolation=cv2.INTER_AREA)
    side = max(size)
    signals = make_signals(model, parameters, side, 0)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    part = (slice(top, top + size[1]), slice(left, left + size[0]))
    facing = signals.normals_HW3[part][..., 2:].astype(np.float32) / 255.0
    tint = (0.35 + 0.65 * facing) * np.float32([120, 200, 255])
    mask = signals.mask_HW[part][..., None]
    shown = np.where(mask, 0.45 * picture + 0.55 * tint, picture).astype(np.uint8)
    shown = np.ascontiguousarray(shown)
    posed = parameters.posed(model)
    spots = photo.to_pixels(parameters.project(posed.joints.numpy())) * scale
    _draw_skeleton(shown, spots)
    for spot in photo.to_pixels(parameters.project(posed.keypoints.numpy())) * scale:
        cv2.circle(shown, _pixel(spot), 2, (255, 235, 90), -1, cv2.LINE_AA)
    return shown


def describe(
    photo: Photo,
    model: BodyModel,
    parameters: Parameters,
    presence: float | None = None,
    spread: float | None = None,
) -> dict[str, Any]:
    """One animal as JSON values; places in pixels of the photo."""
    posed = parameters.posed(model)
    keypoints = photo.to_pixels(parameters.project(posed.keypoints.numpy()))
    spots = photo.to_pixels(parameters.project(posed.vertices.numpy()))
    entry = {
        "image": photo.name,
        "model": model.name,
        "model_sha256": model.sha256,
        "betas": _plain(parameters.betas_K, 5),
        "rotations": _plain(parameters.rotations_J33, 6),
        "translation": _plain(parameters.translation_3, 5),
        "fov_deg": round(float(np.degrees(parameters.fov_rad)), 3),
        "joint_names": list(schema.JOINT_NAMES),
        "keypoints_px": dict(zip(model.keypoint_names, _plain(keypoints, 2))),
        "box_px": _plain(np.concatenate([spots.min(0), spots.max(0)]), 1),
    }
    sure = {"presence": (presence, 4), "spread": (spread, 1)}
    return entry | {name: round(*v) for name, v in sure.items() if v[0] is not None}


def write_glb(
    path: Path,
    model: BodyModel,
    parameters: Parameters,
    height_m: float | None = None,
    colours_V3: NDArray[np.uint8] | None = None,
) -> None:
    """The animal with its skeleton, in its pose, as a level camera sees it turned, standing on
    z = 0; in metres where the height at the withers is given, else in model units."""
    betas = torch.from_numpy(parameters.betas_K)
    rotations = torch.from_numpy(parameters.rotations_J33.copy())
    rotations[0] = torch.from_numpy(LEVEL_CAMERA) @ rotations[0]
    shift = ground_shift(model.pose(betas, rotations).vertices)
    scale = 1.0 if height_m is None else float(metres_per_unit(model, betas, height_m))
    still = Animation(rotations[None], shift[None], 1.0, "pose", loops=False)
    write_skinned_glb(path, model, betas, scale, (still,), colours_V3)


def write_answers(
    path: Path,
    model: BodyModel,
    names: Sequence[str],
    keypoints_BP2: Sequence[NDArray[np.floating]],
    found: Sequence[Parameters],
) -> None:
    """What `lerf-wild animal eval` reads: names, keypoints in pixels, betas, rotations."""
    stream = io.BytesIO()
    np.savez(
        stream,
        image=np.array(names),
        keypoints_2d=np.stack(keypoints_BP2).astype(np.float32),
        betas=np.stack([one.betas_K for one in found]),
        rotations=np.stack([one.rotations_J33 for one in found]),
        model_sha256=np.frombuffer(model.sha256.encode(), np.uint8),
    )
    write_bytes(path, stream.getvalue())


def encoded_png(picture_HW3: NDArray[np.uint8]) -> bytes:
    """A picture as PNG."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture_HW3).save(stream, "PNG")
    return stream.getvalue()


def _draw_skeleton(picture_HW3: NDArray[np.uint8], spots_J2: NDArray[np.floating]) -> None:
    left = {*schema.FRONT_LEFT, *schema.HIND_LEFT, schema.LEFT_EAR}
    right = {*schema.FRONT_RIGHT, *schema.HIND_RIGHT, schema.RIGHT_EAR}
    for joint, parent in enumerate(schema.PARENTS):
        if parent >= 0:
            side = "left" if joint in left else "right" if joint in right else "middle"
            ends = _pixel(spots_J2[parent]), _pixel(spots_J2[joint])
            cv2.line(picture_HW3, *ends, SIDES[side], 1, cv2.LINE_AA)


def _pixel(spot_2: NDArray[np.floating]) -> tuple[int, int]:
    # OpenCV's lines fail beyond 16 bits, which a wild answer may reach.
    x, y = np.clip(np.nan_to_num(spot_2), -9999, 9999).round().astype(int)
    return int(x), int(y)


def _plain(array: NDArray[np.floating], digits: int) -> list:
    return np.round(np.asarray(array, np.float64), digits).tolist()
