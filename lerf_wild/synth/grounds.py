"""The grounds of scene programs: flat, painted, by name, each always the same.

A program names its ground by an embedding; the nearest of these is what is drawn. World frame z up,
metres; the paint repeats.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from lerf_wild.errors import AssetError
from lerf_wild.render.light import to_srgb
from lerf_wild.render.raycast import Body, Floats
from lerf_wild.synth.terrain import BIOMES, PAINTED_HALF_M, TEXELS, paint_square

GROUND_ID = 2
"""What the instance map holds where ground is seen; sky is 0."""
VARIANTS = 2
HALF_SIZE_M = 400.0
TILE_PX = 96
FADE_M = 14.0
"""Distance from the camera's foot at which the paint begins to fade to its mean, where it would
alias."""

GROUNDS: tuple[str, ...] = tuple(f"{biome} {i + 1}" for biome in BIOMES for i in range(VARIANTS))
"""Names of all grounds: two of each biome of the habitats."""


@cache
def ground_paint(name: str) -> NDArray[np.float32]:
    """Linear albedo (T, T, 3) of a ground, 24 m to a side.

    Raises:
        AssetError: for a name that is not in `GROUNDS`.
    """
    if name not in GROUNDS:
        raise AssetError(f"There is no ground {name!r}; there are {', '.join(GROUNDS)}.")
    rng = np.random.default_rng([GROUNDS.index(name), 0x6D0])
    return paint_square(rng, *BIOMES[name.rsplit(" ", 1)[0]])[0]


def ground_tiles(name: str, size: int = TILE_PX) -> NDArray[np.uint8]:
    """Four sRGB pictures (4, S, S, 3) of 6 m of a ground from above, for an image encoder."""
    step = TEXELS // 4 / size
    index = (np.arange(size) * step).astype(int)
    starts = [(0, 0), (0, TEXELS // 2), (TEXELS // 2, 0), (TEXELS // 2, TEXELS // 2)]
    paint = ground_paint(name)
    return np.stack([to_srgb(0.9 * paint[np.ix_(r + index, c + index)]) for r, c in starts])


def ground_body(
    name: str, level_m: float, eye_xy_2: Floats, spread_2: Floats | None = None
) -> Body:
    """A flat ground at a height; ``eye_xy_2`` is where the camera stands, for the fade.

    ``spread_2`` moves the paint, so that two scenes on one ground look different.
    """
    paint = ground_paint(name)
    mean = paint.mean(axis=(0, 1))
    eye = np.asarray(eye_xy_2, np.float32)
    shift = np.zeros(2, np.float32) if spread_2 is None else np.asarray(spread_2, np.float32)

    def painter(points_N3: Floats) -> tuple[Floats, NDArray[np.int32]]:
        texel = (points_N3[:, :2] + shift + PAINTED_HALF_M) * (TEXELS / (2.0 * PAINTED_HALF_M))
        index = np.mod(np.floor(texel).astype(np.int32), TEXELS)
        away = np.hypot(points_N3[:, 0] - eye[0], points_N3[:, 1] - eye[1])
        keep = np.clip(FADE_M / np.maximum(away, 1e-6), 0.15, 1.0)[:, None]
        albedo = mean + keep * (paint[index[:, 1], index[:, 0]] - mean)
        return albedo.astype(np.float32), np.full(len(points_N3), GROUND_ID, np.int32)

    half = HALF_SIZE_M
    corners = np.float32([[-half, -half], [half, -half], [half, half], [-half, half]]) + eye
    vertices = np.column_stack([corners, np.full(4, level_m)]).astype(np.float32)
    faces = np.int32([[0, 1, 2], [0, 2, 3]])
    return Body(vertices, faces, np.full((4, 3), 0.2, np.float32), GROUND_ID, paint=painter)
