"""Where flat ground ends against the sky: it tells the camera's pitch to a twentieth of a degree.

Symbols: H, W pixels; R rows near the one at which the ground should end.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lerf_wild.program.frames import level_from_camera, yaw_of
from lerf_wild.program.frames import upright_rotation as turned
from lerf_wild.program.types import Program, SceneObject
from lerf_wild.render.scene_program import camera_height_m, focal_px
from lerf_wild.synth.grounds import HALF_SIZE_M

SPAN = 6
"""Rows above and below the read horizon among which the edge is looked for."""
LEAST_STEP = 12.0
"""Sum over the colours (0-255 each) by which sky and ground must differ."""
LOST_ROWS = 0.35
"""By how much the edge is seen too low, as the farthest ground is lost in haze; the median of the
validation scenes."""
LEAST_SHARE = 0.5
"""Share of the columns in which the edge must be seen at one height."""


def levelled(program: Program, picture: NDArray[np.uint8]) -> Program:
    """The program with the pitch at which its ground ends where the picture's does.

    Objects keep their pixels and stay on the ground. Where no straight edge is seen nothing
    changes.
    """
    pitch, lift = program.settings.camera_pitch_deg, camera_height_m(program)
    true = edge_pitch_deg(picture, focal_px(program, picture.shape[0]), pitch, lift)
    if true is None:
        return program
    settings = replace(program.settings, camera_pitch_deg=true, camera_height_m=lift)
    return Program(settings, tuple(_tilted(item, pitch, true) for item in program.objects))


def edge_pitch_deg(
    picture: NDArray[np.uint8], focal: float, pitch_deg: float, lift_m: float
) -> float | None:
    """The pitch at which ground ends where a picture's does; None where no straight edge is near.

    Args:
        picture: The picture (H, W, 3).
        focal: Focal length in pixels.
        pitch_deg: About the right one.
        lift_m: The camera's height over the ground.
    """
    # The ground that is drawn is no plane but a square.
    below, middle = np.arctan(lift_m / HALF_SIZE_M), picture.shape[0] / 2
    row = edge_row(picture, float(middle + focal * np.tan(np.radians(pitch_deg - 90.0) + below)))
    if row is None:
        return None
    return 90.0 + float(np.degrees(np.arctan((row - LOST_ROWS - middle) / focal) - below))


def edge_row(picture: NDArray[np.uint8], guess: float) -> float | None:
    """The height (pixels from the top) of a straight edge across the picture; None without one."""
    low = round(guess) - SPAN
    if low < 1 or low + 2 * SPAN + 1 >= picture.shape[0]:
        return None
    part = picture[low - 1 : low + 2 * SPAN + 1].astype(np.float64)
    step_RW = np.abs(np.diff(part, axis=0)).sum(axis=2)
    step_R = np.median(step_RW, axis=1)
    top = int(step_R.argmax())
    agree = np.mean(np.abs(step_RW.argmax(axis=0) - top) <= 1)
    if step_R[top] < LEAST_STEP or agree < LEAST_SHARE:
        return None
    near = np.arange(max(top - 1, 0), min(top + 2, len(step_R)))
    # What changes from row to row all over the ground is no edge.
    weight = np.maximum(step_R[near] - np.median(step_R), 1e-6)
    return low + float((weight * near).sum() / weight.sum())


def _tilted(item: SceneObject, before_deg: float, after_deg: float) -> SceneObject:
    """The object under another pitch, along its line of sight as far below the camera as before."""
    drops = [float((level_from_camera(p) @ item.loc_m)[2]) for p in (before_deg, after_deg)]
    if max(drops) > -0.1:
        return item
    factor = drops[0] / drops[1]
    changed = replace(
        item, loc_m=tuple(factor * x for x in item.loc_m), height_m=factor * item.height_m
    )
    if item.rotation_9 is None:
        return changed
    yaw = yaw_of(item.rotation_33, before_deg)
    return replace(changed, rotation_9=tuple(float(v) for v in np.ravel(turned(yaw, after_deg))))
