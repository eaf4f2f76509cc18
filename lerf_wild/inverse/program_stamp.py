"""One object drawn alone, again and again: where it stands, how high it is and how it is turned.

The asset stands in a tree of its own that is sorted once; rays, camera and sun are turned instead.
It is laid over what the picture shows beside it, darkened where its shadow falls, and compared with
the picture by correlation, which does not mind other light.

Symbols: N pixels of a window, R rows; p the four parameters of an object: column and row of its
foot (pixels), logarithm of its height as a multiple of the camera's, yaw in the level frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lerf_wild.assets.scene_assets import SceneAsset
from lerf_wild.program.frames import level_from_camera
from lerf_wild.render.light import Light, ambient
from lerf_wild.render.raycast import RayScene

Floats = NDArray[np.float64]
RAYS = 2
"""Rays along a side of a value that is compared."""
OWN = 1
NEIGHBOURS = 0.7
"""By how many rows the background is blurred (standard deviation)."""
GAMMA = 1 / 2.2


@dataclass(frozen=True)
class Lens:
    """A camera as far as it decides where things are seen."""

    focal_px: float
    width: int
    height: int
    pitch_deg: float

    def rays(self, columns_N: Floats, rows_N: Floats) -> Floats:
        """Directions (N, 3) in the level frame, one long along the optical axis."""
        x = (columns_N - self.width / 2) / self.focal_px
        y = -(rows_N - self.height / 2) / self.focal_px
        return np.stack([x, y, -np.ones_like(x)], axis=-1) @ level_from_camera(self.pitch_deg).T

    def foot(self, p: Floats) -> Floats | None:
        """Where the foot stands (3,), as a multiple of the camera's height; None above the
        horizon."""
        ray = self.rays(np.array(p[0]), np.array(p[1]))
        return ray / -ray[2] if ray[2] < -1e-3 else None

    def seen(self, p: Floats) -> Floats:
        """Parameters with the logarithm of the seen height (pixels over focal length) in place of
        that of the height."""
        return p - [0.0, 0.0, self._log_depth(p), 0.0]

    def stood(self, q: Floats) -> Floats:
        """The parameters of which `seen` gives q."""
        return q + [0.0, 0.0, self._log_depth(q), 0.0]

    def _log_depth(self, p: Floats) -> float:
        """Logarithm of the foot's depth as a multiple of the camera's height."""
        return -float(np.log(max(-self.rays(np.array(p[0]), np.array(p[1]))[2], 1e-3)))


@dataclass(frozen=True)
class Window:
    """A square part of a picture around one object."""

    rays_N3: Floats
    """Unit directions in the level frame."""
    goal_RR3: Floats
    behind_RR3: Floats
    """What is seen beside the object, row by row."""
    weight_RR: Floats
    """0 where something else is in front."""


class Stamp:
    """An asset that can be drawn anywhere in a window."""

    def __init__(self, asset: SceneAsset, light: Light, lens: Lens, window: Window) -> None:
        self.lens, self.window = lens, window
        body = asset.body(np.eye(3), np.zeros(3, np.float32), 1.0, OWN)
        # Haze takes hardly anything within a few metres, whose scale is not known here.
        self.scene = RayScene([body], replace(light, haze_distance_m=1e9))
        self.lit_by(light.sun_direction_3)

    def lit_by(self, sun_3: NDArray[np.floating]) -> None:
        """Turns the sun to where it is in the level frame."""
        self.sun_3 = np.asarray(sun_3, np.float32)
        light = self.scene.light
        sky = ambient(light, np.float32([[0.0, 0.0, 1.0]]))[0]
        self.shaded_3 = sky / (sky + max(self.sun_3[2], 0.0) * light.sun_colour_3)

    def score(self, p: Floats) -> float:
        """Correlation with the picture, -1 to 1; -1 where nothing can stand."""
        drawn = self.draw(p)
        return -1.0 if drawn is None else weighted_correlation(drawn, self.window)

    def draw(self, p: Floats) -> Floats | None:
        """The window (R, R, 3) with the object, 0-1; None where nothing can stand."""
        foot = self.lens.foot(p)
        if foot is None:
            return None
        cosine, sine = np.cos(p[3]), np.sin(p[3])
        turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
        rays = (self.window.rays_N3 @ turn).astype(np.float32)
        origin = (-foot @ turn / np.exp(p[2])).astype(np.float32)
        sun = (self.sun_3 @ turn).astype(np.float32)
        origins = np.ascontiguousarray(np.broadcast_to(origin, rays.shape))
        hits = self.scene.trace(origins, rays)
        suns = np.broadcast_to(sun, rays.shape)
        colour = np.clip(self.scene.shade_hits(hits, rays, suns), 0.0, 1.0) ** GAMMA
        dark = self._shadow(origins, rays, suns, ~hits.hit)
        side = self.window.goal_RR3.shape[0]
        own = pooled(hits.hit[:, None].astype(np.float64), side)
        seen = pooled(np.where(hits.hit[:, None], colour, 0.0), side)
        return seen + (1.0 - own) * self.window.behind_RR3 * pooled(dark, side)

    def _shadow(self, origins_N3, rays_N3, suns_N3, open_N) -> Floats:
        """By how much the ground is darker (N, 3) where the object's shadow falls."""
        dark = np.ones((len(rays_N3), 3))
        rows = np.flatnonzero(open_N & (rays_N3[:, 2] < -1e-3))
        reach = -origins_N3[rows, 2] / rays_N3[rows, 2]
        points = origins_N3[rows] + reach[:, None] * rays_N3[rows]
        hidden = self.scene.occluded(points.astype(np.float32), np.ascontiguousarray(suns_N3[rows]))
        dark[rows[hidden]] = self.shaded_3**GAMMA
        return dark


def pooled(values_NC: Floats, side: int) -> Floats:
    """Values of rays as means (R, R, C) of blocks."""
    return values_NC.reshape(side, RAYS, side, RAYS, -1).mean(axis=(1, 3))


def weighted_correlation(drawn_RR3: Floats, window: Window) -> float:
    """Correlation over all pixels and colours together."""
    weight = window.weight_RR[..., None] / max(3.0 * window.weight_RR.sum(), 1e-9)
    a = drawn_RR3 - (weight * drawn_RR3).sum()
    b = window.goal_RR3 - (weight * window.goal_RR3).sum()
    spread = (weight * a * a).sum() * (weight * b * b).sum()
    return float((weight * a * b).sum() / np.sqrt(max(spread, 1e-12)))


def make_window(
    picture: NDArray[np.uint8],
    other_HW: NDArray[np.bool_],
    front_HW: NDArray[np.bool_],
    lens: Lens,
    centre_2: Floats,
    half: float,
    side: int,
) -> Window:
    """A window of a picture.

    Args:
        picture: The picture (H, W, 3).
        other_HW: Where any object is seen, which is no background.
        front_HW: Where another object is seen, which this one is not compared with.
        lens: The camera.
        centre_2: Column and row of the window's middle.
        half: Half its side in pixels.
        side: Values along a side that are compared.
    """
    axis = ((np.arange(RAYS * side) + 0.5) / (RAYS * side) * 2.0 - 1.0) * half
    columns, rows = np.meshgrid(centre_2[0] + axis, centre_2[1] + axis)
    rays = lens.rays(columns.ravel(), rows.ravel())
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    goal = _cut(picture, centre_2, half, side) / 255.0
    inside = _cut(np.full(picture.shape[:2], 255, np.uint8), centre_2, half, side, 0) / 255.0
    free = inside * (1.0 - _cut(255 * other_HW.astype(np.uint8), centre_2, half, side) / 255.0)
    weight = inside * (1.0 - _cut(255 * front_HW.astype(np.uint8), centre_2, half, side) / 255.0)
    return Window(rays, goal, _behind(goal, free), np.maximum(weight, 1e-3))


def _behind(goal_RR3: Floats, free_RR: Floats) -> Floats:
    """Each row's mean where nothing stands; rows where something always does take their
    neighbours'."""
    share = free_RR.sum(axis=1)
    sums = (free_RR[..., None] * goal_RR3).sum(axis=1)
    apart = np.subtract.outer(np.arange(len(share)), np.arange(len(share)))
    near = np.exp(-0.5 * (apart / NEIGHBOURS) ** 2)
    rows = (near @ sums + 1e-6 * goal_RR3.mean(axis=(0, 1))) / (near @ share + 1e-6)[:, None]
    return np.broadcast_to(rows[:, None], goal_RR3.shape)


def _cut(
    picture: NDArray[np.uint8], centre_2: Floats, half: float, side: int, border: int | None = None
) -> Floats:
    """A square of a picture, smoothly resized; beyond its border the border goes on, or is a
    value."""
    margin = int(np.ceil(2 * half)) + 2
    pad = [(margin, margin), (margin, margin), (0, 0)][: picture.ndim]
    mode = {"mode": "edge"} if border is None else {"constant_values": border}
    image = Image.fromarray(np.pad(picture, pad, **mode))
    left, top = centre_2[0] - half + margin, centre_2[1] - half + margin
    left, top = (float(np.clip(v, 0, n - 2 * half)) for v, n in zip((left, top), image.size))
    box = (left, top, left + 2 * half, top + 2 * half)
    # As what is drawn is pooled: a wider filter makes the object that fits best smaller.
    return np.asarray(image.resize((side, side), Image.Resampling.BOX, box), np.float64)
