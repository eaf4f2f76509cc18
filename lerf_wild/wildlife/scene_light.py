"""The light of a captured place, estimated from its surfaces: where the sun is and what it adds.

Symbols: N surface points. Frame: the stage (metres, z up). Colours are
linear RGB in 0-1.

The sun's direction is that of `sun_search`. The ratio of lit to shaded ground is then
(ambient + sun cos) / ambient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lerf_wild.render.light import Floats, Light
from lerf_wild.wildlife.ground import Ground
from lerf_wild.wildlife.sun_search import best_sun, direction, voxels_of

SHADOW_CELL_M = 0.12
SHADOW_BIAS_M = 0.1
"""How far before a point something has to be to shade it; surfaces of fields are this vague."""
SHADOW_SPREAD_M = 0.24
"""How far from its own ray a point shades, for level ground not to shade itself."""
REACH_M = 8.0
"""Ground within this of the middle decides."""
MIN_AGREEMENT = 0.35
"""Correlation of light and shade below which the sun is not known: habitats with a sun have 0.5 and
more, and paint alone can have 0.3 in the best of so many directions."""
USUAL_ELEVATION_DEG, USUAL_AZIMUTH_DEG = 50.0, 135.0
USUAL_RATIO_3 = np.array([4.6, 3.7, 2.8])
"""Lit over shaded level ground on a clear day with the sun at 45 degrees."""
STRENGTH_TRUST = 0.5
"""Weight of the measured strength of the sun against the usual one, in logarithms: the shadows of a
field are blurred, and paint differs where they fall."""
STRENGTH_RANGE = (0.6, 1.4)
DARK_SHARE = 0.25
"""Quantile of shaded ground that is taken for fully shaded."""
USUAL_ZENITH_3 = np.array([0.3, 0.42, 0.65])
USUAL_HORIZON_3 = np.array([0.75, 0.82, 0.88])
BOUNCE_SHARE = 0.45


@dataclass(frozen=True)
class SunMap:
    """What of a scene is lit, as the height of its surfaces seen from the sun."""

    sun_3: Floats
    low_2: NDArray[np.float64]
    height_GG: NDArray[np.float64]
    """Along the sun's direction, metres; -inf where nothing is."""

    def lit(self, points_N3: NDArray) -> NDArray[np.float64]:
        """Share of the sun that reaches points, 0-1."""
        across_N2, along_N = _sun_coordinates(np.asarray(points_N3, np.float64), self.sun_3)
        cells = ((across_N2 - self.low_2) / SHADOW_CELL_M - 0.5).T
        slant = float(np.hypot(*self.sun_3[:2])) / max(float(self.sun_3[2]), 0.1)
        bias_m = SHADOW_BIAS_M + SHADOW_SPREAD_M * slant
        total = np.zeros(len(along_N))
        for shift in ((-0.3, -0.3), (-0.3, 0.3), (0.3, -0.3), (0.3, 0.3)):
            index = np.round(cells + np.array(shift)[:, None]).astype(int)
            size = np.array(self.height_GG.shape)[:, None]
            inside = ((index >= 0) & (index < size)).all(axis=0)
            rows, columns = np.clip(index, 0, size - 1)
            highest = np.where(inside, self.height_GG[rows, columns], -np.inf)
            total += highest - along_N < bias_m
        return total / 4.0


@dataclass(frozen=True)
class SceneLight:
    """Light on a stage, and what of the scene itself stands in it."""

    light: Light
    shade: SunMap
    agreement: float
    """Correlation that the sun's direction was found with; below MIN_AGREEMENT it is the usual."""


def estimate_light(
    points_N3: NDArray,
    colours_N3: NDArray,
    ground: Ground,
    sky_3: tuple[NDArray, NDArray] | None = None,
) -> SceneLight:
    """Sun and sky of a place.

    Args:
        points_N3: Surface points on the stage.
        colours_N3: Their linear colours.
        ground: The ground under them.
        sky_3: Linear colours of the sky at the zenith and the horizon where the photos show it.
    """
    middle = np.median(points_N3[:, :2], axis=0)
    near = np.linalg.norm(points_N3[:, :2] - middle, axis=1) < 2 * REACH_M
    points, colours = points_N3[near], colours_N3[near]
    rise = points[:, 2] - ground.height(points[:, :2])
    is_ground = (np.abs(rise) < 0.1) & (np.linalg.norm(points[:, :2] - middle, axis=1) < REACH_M)
    floor, tone = points[is_ground], colours[is_ground]
    # On the ground as the photos have it: shade falls there, and the field's points are off.
    floor = np.column_stack([floor[:, :2], ground.height(floor[:, :2])])
    found, agreement = best_sun(voxels_of(points, rise), floor, tone)
    is_known = found is not None and agreement >= MIN_AGREEMENT
    sun = found if is_known else direction(USUAL_ELEVATION_DEG, USUAL_AZIMUTH_DEG)
    shade = sun_map(points, sun)
    zenith, horizon = sky_3 or (USUAL_ZENITH_3, USUAL_HORIZON_3)
    ambient = 0.5 * (0.6 * zenith + 0.4 * horizon)
    strength = _strength(shade, floor, tone) if is_known else 1.0
    ratio = 1.0 + strength * (_usual_ratio(float(sun[2])) - 1.0)
    light = Light(
        sun_direction_3=sun,
        sun_colour_3=np.float32(ambient * (ratio - 1.0) / max(float(sun[2]), 0.2)),
        zenith_colour_3=np.float32(zenith),
        horizon_colour_3=np.float32(horizon),
        bounce_colour_3=np.float32(BOUNCE_SHARE * np.median(tone, axis=0) if len(tone) else 0.1),
        haze_distance_m=1e6,
    )
    return SceneLight(light, shade, agreement)


def usual_light() -> SceneLight:
    """A clear day, where nothing is known of a place."""
    sun = direction(USUAL_ELEVATION_DEG, USUAL_AZIMUTH_DEG)
    ambient = 0.5 * (0.6 * USUAL_ZENITH_3 + 0.4 * USUAL_HORIZON_3)
    light = Light(
        sun_direction_3=sun,
        sun_colour_3=np.float32(ambient * (_usual_ratio(float(sun[2])) - 1.0) / sun[2]),
        zenith_colour_3=np.float32(USUAL_ZENITH_3),
        horizon_colour_3=np.float32(USUAL_HORIZON_3),
        bounce_colour_3=np.float32([0.13, 0.12, 0.09]),
        haze_distance_m=1e6,
    )
    return SceneLight(light, SunMap(sun, np.zeros(2), np.full((1, 1), -np.inf)), 0.0)


def sun_map(points_N3: NDArray, sun_3: NDArray) -> SunMap:
    """What the points of a scene shade when the sun stands in a direction."""
    across_N2, along_N = _sun_coordinates(np.asarray(points_N3, np.float64), sun_3)
    low, high = across_N2.min(axis=0), across_N2.max(axis=0)
    size = np.minimum(np.ceil((high - low) / SHADOW_CELL_M).astype(int) + 1, 1200)
    cells = np.floor((across_N2 - low) / SHADOW_CELL_M).astype(int)
    inside = (cells < size).all(axis=1)
    flat = cells[inside, 0] * size[1] + cells[inside, 1]
    height = np.full(int(np.prod(size)), -np.inf)
    np.maximum.at(height, flat, along_N[inside])
    # Points are sparse, so that each one shades the cells beside its own too.
    spread = ndimage.grey_dilation(height.reshape(size), footprint=_CROSS, mode="nearest")
    return SunMap(np.float32(sun_3), low, spread)


_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)


def _sun_coordinates(points_N3: NDArray, sun_3: NDArray) -> tuple[NDArray, NDArray]:
    """Positions across the sun's rays (N, 2) and along them towards the sun (N,)."""
    sun = np.asarray(sun_3, np.float64)
    side = np.cross([0.0, 0.0, 1.0], sun)
    side = side / max(float(np.linalg.norm(side)), 1e-9) if sun[2] < 0.999 else np.eye(3)[0]
    other = np.cross(sun, side)
    return points_N3 @ np.stack([side, other], axis=1), points_N3 @ sun


def _strength(shade: SunMap, floor: NDArray, tone: NDArray) -> float:
    """How strong the sun is beside that of a usual day, by what lit ground has over shaded."""
    lit = shade.lit(floor)
    bright, dark = tone[lit > 0.9], tone[lit < 0.1]
    if len(bright) < 50 or len(dark) < 50:
        return 1.0
    found = np.median(bright, axis=0) / np.maximum(np.quantile(dark, DARK_SHARE, axis=0), 0.01)
    usual = _usual_ratio(float(shade.sun_3[2]))
    share = float(np.median((found - 1.0) / (usual - 1.0)))
    return float(np.clip(share, *STRENGTH_RANGE) ** STRENGTH_TRUST)


def _usual_ratio(sine: float) -> NDArray:
    """The usual ratio for a sun of another height."""
    return 1.0 + (USUAL_RATIO_3 - 1.0) * sine / np.sin(np.radians(45.0))
