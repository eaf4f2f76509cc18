"""The views by which an asset is found: 72 yaws, 5 degrees apart, on plain ground under one light.

Symbols: T templates of an asset, S side of a picture in pixels. Yaw t * 5 degrees is that of
`lerf_wild.program.frames.seen_yaw`: at 0 the nose points to the right of the picture, at 90 degrees
away from the camera. The sun stays where it is relative to the camera, so that a template depends
on the yaw alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lerf_wild.assets.mesh import Asset
from lerf_wild.render.light import Light, to_linear
from lerf_wild.render.raycast import Body, Camera, RayScene, look_at, render

TEMPLATES = 72
STEP_DEG = 360.0 / TEMPLATES
GROUND_ID = 2
ASSET_ID = 10


@dataclass(frozen=True)
class TemplateSpec:
    """How templates are drawn; part of every key under which their embeddings are kept."""

    yaws: int = TEMPLATES
    elevation_deg: float = 8.0
    """How far the camera looks down."""
    field_of_view_deg: float = 30.0
    fill: float = 0.86
    """Share of the picture's side that the asset fills, in every view anew, as a cut-out would."""
    samples: int = 2
    """Rays along each side of a pixel."""
    ground: tuple[int, int, int] = (122, 128, 92)
    """sRGB colour of the ground."""
    version: int = 2

    def described(self, size: int) -> dict[str, object]:
        """Everything that the pictures depend on besides the mesh, as plain data."""
        return {**asdict(self), "size": size}


STANDARD = TemplateSpec()
"""How the bundled templates are drawn."""


def render_templates(asset: Asset, size: int, spec: TemplateSpec = STANDARD) -> NDArray[np.uint8]:
    """Draw the templates of an asset, shape (T, S, S, 3), sRGB."""
    scene = _scene(asset, spec)
    yaws = np.arange(spec.yaws) * (2 * np.pi / spec.yaws)
    return np.stack([_view(scene, asset, float(yaw), size, spec) for yaw in yaws])


def render_template(
    asset: Asset, yaw_rad: float, size: int, spec: TemplateSpec = STANDARD
) -> NDArray[np.uint8]:
    """Draw one view of an asset at any yaw, shape (S, S, 3), sRGB."""
    return _view(_scene(asset, spec), asset, yaw_rad, size, spec)


def _scene(asset: Asset, spec: TemplateSpec) -> RayScene:
    reach = 60.0 * max(asset.height_m, _radius(asset))
    corners = reach * np.float32([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    colour = to_linear(np.uint8([spec.ground] * 4))
    ground = Body(corners, np.int32([[0, 1, 2], [0, 2, 3]]), colour, GROUND_ID)
    body = Body(asset.vertices_V3, asset.faces_F3, to_linear(asset.colours_V3), ASSET_ID)
    return RayScene([ground, body], _light(0.0))


def _view(
    scene: RayScene, asset: Asset, yaw_rad: float, size: int, spec: TemplateSpec
) -> NDArray[np.uint8]:
    # The camera goes round the asset instead of the asset turning, so that the tree of triangles is
    # built once; the sun goes with the camera.
    scene.light = _light(-np.pi / 2 - yaw_rad)
    return render(scene, _camera(asset, yaw_rad, size, spec), spec.samples).rgb


def _camera(asset: Asset, yaw_rad: float, size: int, spec: TemplateSpec) -> Camera:
    bearing = -np.pi / 2 - yaw_rad
    half = np.radians(spec.field_of_view_deg) / 2
    middle = np.array([0.0, 0.0, 0.5 * asset.height_m])
    towards = np.array([np.cos(bearing), np.sin(bearing)], np.float32)
    nearer = asset.vertices_V3[:, :2] @ towards
    across = np.abs(asset.vertices_V3[:, :2] @ np.float32([-towards[1], towards[0]]))
    reach = np.maximum(across, np.abs(asset.vertices_V3[:, 2] - 0.5 * asset.height_m))
    # Far enough that every vertex, also one that is nearer than the middle, stays in the picture.
    distance = float((nearer + reach / (spec.fill * np.tan(half))).max())
    elevation = np.radians(spec.elevation_deg)
    out = np.array([np.cos(bearing), np.sin(bearing)]) * np.cos(elevation)
    eye = middle + distance * np.array([*out, np.sin(elevation)])
    return Camera(look_at(eye, middle), 0.5 * size / np.tan(half), size, size)


def _radius(asset: Asset) -> float:
    return float(np.linalg.norm(asset.vertices_V3[:, :2], axis=1).max())


def _light(bearing_rad: float) -> Light:
    """A clear day; the sun stands 48 degrees high, behind the camera's left shoulder."""
    elevation, azimuth = np.radians(48.0), bearing_rad - np.radians(50.0)
    sun = [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth)]
    base = Light(
        sun_direction_3=np.float32([*sun, np.sin(elevation)]),
        sun_colour_3=np.float32([1.2, 1.05, 0.85]),
        zenith_colour_3=np.float32([0.22, 0.38, 0.7]),
        horizon_colour_3=np.float32([0.72, 0.8, 0.88]),
        bounce_colour_3=np.float32([0.13, 0.12, 0.09]),
    )
    return replace(base, haze_distance_m=1e6)
