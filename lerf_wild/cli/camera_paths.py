"""Cameras to render: the capture's own, a path of nerfstudio's viewer, or a spiral."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lerf_wild.errors import DatasetError, InputError
from lerf_wild.render.raycast import look_at
from lerf_wild.storage.json_files import read_json

if TYPE_CHECKING:
    from nerfstudio.cameras.cameras import Cameras

MAX_FRAMES = 100_000
MAX_SIDE_PX = 16_384


def read_camera_path(path: Path) -> Cameras:
    """Reads a camera path as nerfstudio's viewer writes it, in the nerf frame.

    Raises DatasetError or InputError, naming the file and the camera.
    """
    from nerfstudio.cameras.camera_paths import get_path_from_json

    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("camera_path"), list):
        raise DatasetError(
            f"{path}: not a camera path. Export one in the viewer, tab Render, Generate Command."
        )
    _check_size(path, content)
    cameras = content["camera_path"]
    if not 1 <= len(cameras) <= MAX_FRAMES:
        raise DatasetError(f"{path}: a path has 1 to {MAX_FRAMES} cameras, not {len(cameras)}.")
    for index, camera in enumerate(cameras):
        _check_camera(path, index, camera)
    return get_path_from_json(content)


def spiral(cameras: Cameras, frames: int, radius: float) -> Cameras:
    """Returns two turns about the first camera, `radius` wide in nerf units, looking where it does.

    nerfstudio's own spiral takes a world axis for the camera's upward one, so its views roll.
    """
    from nerfstudio.cameras.cameras import Cameras

    if frames < 1 or not 0 < radius < np.inf:
        raise InputError(f"A spiral needs frames and a radius, not {frames} and {radius}.")
    first = cameras[:1].to("cpu")
    pose_34 = first.camera_to_worlds[0].double().numpy()
    # Scenes are centred, so this is about how far away what is looked at lies.
    focus = max(float(np.linalg.norm(pose_34[:, 3])), 2 * radius)
    target_3 = pose_34[:, 3] - focus * pose_34[:, 2]
    turns_F = np.linspace(0, 4 * np.pi, frames, endpoint=False)
    offsets_F3 = np.stack([np.cos(turns_F), np.sin(turns_F), np.sin(turns_F / 2)], axis=-1)
    places_F3 = pose_34[:, 3] + radius * offsets_F3 @ pose_34[:, :3].T
    poses = [look_at(place_3, target_3) for place_3 in places_F3]
    return Cameras(
        camera_to_worlds=torch.from_numpy(np.stack(poses)).float(),
        fx=first.fx[0],
        fy=first.fy[0],
        cx=first.cx[0],
        cy=first.cy[0],
        width=first.width[0],
        height=first.height[0],
        camera_type=first.camera_type[0],
    )


def _check_size(path: Path, content: dict) -> None:
    for key in ("render_height", "render_width"):
        value = content.get(key)
        if not _is_number(value) or not 1 <= value <= MAX_SIDE_PX:
            raise DatasetError(f"{path}: {key!r} must be 1 to {MAX_SIDE_PX} pixels, got {value!r}.")


def _check_camera(path: Path, index: int, camera: object) -> None:
    matrix = camera.get("camera_to_world") if isinstance(camera, dict) else None
    if not isinstance(matrix, list) or len(matrix) != 16 or not all(map(_is_number, matrix)):
        raise DatasetError(f"{path}: camera {index} needs 16 numbers in 'camera_to_world'.")
    fov = camera.get("fov", 50)
    if not _is_number(fov) or not 0 < fov < 180:
        raise DatasetError(f"{path}: camera {index} has a field of view of {fov!r} degrees.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
