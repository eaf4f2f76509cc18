"""Pictures of a posed animal on plain ground, by the project's own ray-caster.

Symbols: N points of the skin, F faces. Frame: the body's (x towards the nose, z up), any unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lerf_wild.render.light import Light, to_linear
from lerf_wild.render.raycast import Body, Camera, RayScene, look_at, render

Floats = NDArray[np.float32]
GROUND = (0.43, 0.45, 0.33)
"""Linear albedo of the ground."""
FIELD_OF_VIEW_DEG = 16.0
"""Narrow, as of a long lens, so that proportions are seen as they are."""
LIGHT = Light(
    sun_direction_3=np.float32([0.42, -0.62, 0.66]) / np.float32(0.998),
    sun_colour_3=np.float32([0.98, 0.93, 0.84]),
    zenith_colour_3=np.float32([0.5, 0.62, 0.8]),
    horizon_colour_3=np.float32([0.8, 0.86, 0.9]),
    bounce_colour_3=np.float32([0.2, 0.19, 0.15]),
    sun_radius_rad=0.05,
    haze_distance_m=1e9,
)


@dataclass(frozen=True)
class View:
    """Where a picture is taken from, and how large it is."""

    width: int = 480
    height: int = 360
    azimuth_deg: float = -55.0
    """0 looks at the face, -90 at the right side, so that the nose points to the right."""
    elevation_deg: float = 11.0
    margin: float = 1.12
    """How much wider than the animal the picture is."""
    samples: int = 2


def portrait(
    points_N3: Floats,
    faces_F3: NDArray[np.integer],
    colours_N3: Floats,
    view: View | None = None,
    bounds: tuple[Floats, Floats] | None = None,
) -> NDArray[np.uint8]:
    """Picture (H, W, 3) of one animal, on ground as high as the lowest point of its bounds.

    Args:
        points_N3: Skin.
        faces_F3: Its triangles.
        colours_N3: sRGB 0-255.
        view: Where from.
        bounds: Lowest and highest corner of what has to fit, for pictures of one camera; by
            default the animal's own.
    """
    view = View() if view is None else view
    first, last = (points_N3.min(0), points_N3.max(0)) if bounds is None else bounds
    low = float(first[2])
    centre = 0.5 * (first + last)
    corners = np.array([first, last])
    box = np.stack(np.meshgrid(*corners.T), -1).reshape(-1, 3)
    camera = _camera(points_N3 if bounds is None else box, centre, view)
    reach = 60.0 * float(np.ptp(points_N3, axis=0).max())
    animal = Body(
        points_N3.astype(np.float32),
        faces_F3.astype(np.int32),
        to_linear(np.clip(colours_N3, 0, 255)),
        1,
    )
    scene = RayScene([animal, _ground(centre, low, reach)], LIGHT)
    return render(scene, camera, samples=view.samples).rgb


def _camera(points_N3: Floats, centre_3: Floats, view: View) -> Camera:
    azimuth, elevation = np.radians(view.azimuth_deg), np.radians(view.elevation_deg)
    toward = np.array(
        [
            np.cos(azimuth) * np.cos(elevation),
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
        ]
    )
    pose = look_at(centre_3 + toward, centre_3)
    across = np.abs((points_N3 - centre_3) @ pose[:, :2]).max(0)
    half = np.tan(np.radians(0.5 * FIELD_OF_VIEW_DEG))
    nearest = float(((points_N3 - centre_3) @ toward).max())
    tall = max(across[1], across[0] * view.height / view.width)
    distance = view.margin * tall / half + nearest
    focal = 0.5 * view.height / half
    return Camera(look_at(centre_3 + distance * toward, centre_3), focal, view.width, view.height)


def _ground(centre_3: Floats, height: float, reach: float) -> Body:
    square = np.float32([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * reach
    corners = square + np.float32([centre_3[0], centre_3[1], height])
    faces = np.int32([[0, 1, 2], [0, 2, 3]])
    return Body(corners.astype(np.float32), faces, np.tile(np.float32(GROUND), (4, 1)), 2)
