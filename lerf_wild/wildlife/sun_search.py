"""Where the sun stands, by what is dark on the ground of a captured place.

Symbols: N ground points, X x Y x Z voxels, T steps along a ray. Frame: the stage (metres, z up).

Whatever rises over the ground fills voxels. For each of many directions, rays from ground points
towards the sun say which of them would lie in shade; the direction in which that agrees best with
what is dark is the sun's: the correlation of light and brightness, the latter less its mean over a
wide neighbourhood, which is paint rather than shade.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

VOXEL_M = 0.1
RISE_M = 0.12
"""Points this high over the ground are of what throws shade."""
START_M, STEP_M = 0.1, 0.08
FURTHEST_M = 9.0
"""How far from a point what shades it may be."""
HIGHEST_M = 8.0
ELEVATIONS_DEG = (20.0, 30.0, 40.0, 50.0, 60.0, 70.0)
AZIMUTH_STEP_DEG = 15.0
LOWEST_DEG, HIGHEST_DEG = 12.0, 82.0
SPREADS_DEG = (7.5, 3.0, 1.5)
"""Around the best of all, then of those around it."""
COARSE_POINTS, FINE_POINTS = 1500, 5000
MIN_POINTS = 500
PAINT_M = 3.0
"""Width of the neighbourhoods whose mean brightness is paint."""


@dataclass(frozen=True)
class Voxels:
    """What rises over the ground."""

    low_3: Float[np.ndarray, "3"]
    is_full_XYZ: Bool[np.ndarray, "X Y Z"]

    def shade(self, floor_N3: NDArray, sun_3: NDArray) -> Bool[np.ndarray, "N"]:
        """Which ground points have something between them and the sun."""
        steps_T = np.arange(START_M, FURTHEST_M, STEP_M)
        # On the average, points end half a voxel below the top of theirs: rays pass as much higher.
        first_N3 = (floor_N3 - self.low_3) / VOXEL_M + np.array([0.0, 0.0, 0.5])
        found = np.zeros(len(floor_N3), bool)
        for part in np.array_split(np.arange(len(floor_N3)), max(len(floor_N3) // 1000, 1)):
            places = first_N3[part, None] + steps_T[:, None] / VOXEL_M * np.asarray(sun_3, float)
            cells = places.astype(np.int32)
            inside = ((places >= 0) & (cells < self.is_full_XYZ.shape)).all(axis=-1)
            x, y, z = np.moveaxis(np.where(inside[..., None], cells, 0), -1, 0)
            found[part] = (self.is_full_XYZ[x, y, z] & inside).any(axis=1)
        return found


def voxels_of(points_N3: NDArray, rise_N: NDArray) -> Voxels:
    """Voxels of the points that rise over the ground."""
    standing = points_N3[(rise_N > RISE_M) & (rise_N < HIGHEST_M)]
    if len(standing) == 0:
        return Voxels(np.zeros(3), np.zeros((1, 1, 1), bool))
    low = standing.min(axis=0)
    cells = np.floor((standing - low) / VOXEL_M).astype(int)
    is_full = np.zeros(cells.max(axis=0) + 1, bool)
    is_full[tuple(cells.T)] = True
    return Voxels(low, is_full)


def best_sun(
    voxels: Voxels, floor_N3: NDArray, tone_N3: NDArray
) -> tuple[Float[np.ndarray, "3"] | None, float]:
    """The sun's direction, a unit vector, and how well it explains what is dark.

    Args:
        voxels: What rises over the ground.
        floor_N3: Ground points.
        tone_N3: Their linear colours.

    Returns:
        The direction, None where there is too little ground, and a correlation of -1 to 1.
    """
    if len(floor_N3) < MIN_POINTS:
        return None, 0.0
    bright = evened(floor_N3, np.log(tone_N3.mean(axis=1) + 0.02))
    tried = [(e, a) for e in ELEVATIONS_DEG for a in np.arange(0.0, 360.0, AZIMUTH_STEP_DEG)]
    elevation, azimuth, best = 0.0, 0.0, -1.0
    for spread in (*SPREADS_DEG, 0.0):
        count = COARSE_POINTS if spread == SPREADS_DEG[0] else FINE_POINTS
        step = max(len(floor_N3) // count, 1)
        scores = [
            _agreement(voxels, floor_N3[::step], bright[::step], direction(*one)) for one in tried
        ]
        best = max(scores)
        elevation, azimuth = tried[int(np.argmax(scores))]
        shifts = (-spread, -0.5 * spread, 0.0, 0.5 * spread, spread)
        tried = [
            (float(np.clip(elevation + e, LOWEST_DEG, HIGHEST_DEG)), azimuth + a)
            for e in shifts
            for a in shifts
        ]
    return direction(elevation, azimuth), float(best)


def direction(elevation_deg: float, azimuth_deg: float) -> Float[np.ndarray, "3"]:
    """Unit vector on the stage; the azimuth is counter-clockwise from x."""
    elevation, azimuth = np.radians(elevation_deg), np.radians(azimuth_deg)
    flat = np.cos(elevation)
    return np.float32([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])


def evened(floor_N3: NDArray, bright_N: NDArray) -> Float[np.ndarray, "N"]:
    """Brightness less its mean over a wide neighbourhood."""
    cells = np.floor((floor_N3[:, :2] - floor_N3[:, :2].min(axis=0)) / PAINT_M).astype(int)
    flat = cells[:, 0] * (cells[:, 1].max() + 1) + cells[:, 1]
    mean = np.bincount(flat, weights=bright_N) / np.maximum(np.bincount(flat), 1)
    return bright_N - mean[flat]


def _agreement(voxels: Voxels, floor_N3: NDArray, bright_N: NDArray, sun_3: NDArray) -> float:
    lit_N = ~voxels.shade(floor_N3, sun_3)
    if lit_N.std() < 0.05:
        return 0.0
    return float(np.corrcoef(lit_N, bright_N)[0, 1])
