"""Camera axes and the level frame: which way is up, where the ground is, where a nose points.

Symbols: the level frame has its origin at the camera, x to the right, y forward and z up (against
gravity), metres. Pitch is that of `set_camera`: 0 looks straight down, 90 at the horizon. Yaw is
about z, counter-clockwise from above; at 0 a nose points to the camera's right, at 90 degrees away
from the camera.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def level_from_camera(pitch_deg: float) -> Floats:
    """Rotation (3, 3) that takes camera axes (x right, y up, looking along -z) to the level
    frame."""
    angle = np.radians(pitch_deg)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])


def to_level(loc_N3: ArrayLike, pitch_deg: float) -> Floats:
    """Points (..., 3) from camera axes to the level frame."""
    return np.asarray(loc_N3, np.float64) @ level_from_camera(pitch_deg).T


def to_camera(points_N3: ArrayLike, pitch_deg: float) -> Floats:
    """Points (..., 3) from the level frame to camera axes."""
    return np.asarray(points_N3, np.float64) @ level_from_camera(pitch_deg)


def upright_rotation(yaw_rad: float, pitch_deg: float) -> Floats:
    """Rotation (3, 3) from the frame of an upright asset with a yaw to camera axes."""
    cosine, sine = np.cos(yaw_rad), np.sin(yaw_rad)
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return level_from_camera(pitch_deg).T @ turn


def yaw_of(rotation_33: ArrayLike, pitch_deg: float) -> float:
    """Yaw (rad, in -pi to pi) of the nose of an asset that `rotation_33` takes to camera axes."""
    nose = level_from_camera(pitch_deg) @ np.asarray(rotation_33, np.float64)[:, 0]
    return float(np.arctan2(nose[1], nose[0]))


def seen_yaw(yaw_rad: float, loc_3: ArrayLike, pitch_deg: float) -> float:
    """Yaw (rad, in -pi to pi) relative to the line of sight, which decides what side is seen.

    0 is a nose that points to the right as seen from the camera, 90 degrees one that points away.
    """
    x, y, _ = to_level(loc_3, pitch_deg)
    bearing = np.arctan2(y, x) - np.pi / 2
    return float((yaw_rad - bearing + np.pi) % (2 * np.pi) - np.pi)
