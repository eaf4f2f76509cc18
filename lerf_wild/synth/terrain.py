"""Ground of a habitat: uneven height field, painted materials, an optional pond.

Symbols: ``xy_N2`` ground positions in metres, world frame z up; T texels along one side of the
painted square.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from lerf_wild.render.light import to_linear
from lerf_wild.render.raycast import Body

Floats = NDArray[np.float32]

SKY_ID = 0
WATER_ID = 1
STUFF: dict[int, tuple[str, ...]] = {
    SKY_ID: ("sky",),
    WATER_ID: ("water", "pond"),
    2: ("grass", "meadow"),
    3: ("dry grass",),
    4: ("sand",),
    5: ("snow",),
    6: ("soil", "dirt"),
    7: ("fallen leaves",),
    8: ("gravel",),
}
"""Object ids below ``FIRST_INSTANCE_ID`` and the phrases that name them."""
FIRST_INSTANCE_ID = 10

_TONES: dict[int, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    2: ((96, 138, 58), (126, 160, 78)),
    3: ((176, 158, 96), (200, 182, 122)),
    4: ((212, 186, 134), (232, 208, 160)),
    5: ((226, 232, 240), (250, 252, 255)),
    6: ((104, 78, 56), (132, 100, 72)),
    7: ((134, 84, 42), (170, 112, 58)),
    8: ((132, 130, 126), (166, 164, 158)),
}
BIOMES: dict[str, tuple[int, int, float]] = {
    "meadow": (2, 3, 0.35),
    "meadow path": (2, 6, 0.25),
    "steppe": (3, 2, 0.3),
    "forest": (7, 2, 0.35),
    "dunes": (4, 3, 0.2),
    "riverbank": (2, 8, 0.3),
    "snowfield": (5, 6, 0.15),
    "shore": (4, 8, 0.25),
}
"""Biome name -> main material, second material, share of the second."""

PAINTED_HALF_M = 12.0
TEXELS = 768
FAR_M = 70.0


@dataclass(frozen=True)
class Waves:
    """A sum of plane waves, the smooth random function behind heights and paint."""

    vectors_K2: Floats
    phases_K: Floats
    weights_K: Floats

    def __call__(self, xy_N2: Floats) -> Floats:
        """Value at each position, zero mean, about unit variance."""
        total = np.zeros(len(xy_N2), np.float32)
        for vector, phase, weight in zip(
            self.vectors_K2, self.phases_K, self.weights_K, strict=True
        ):
            total += weight * np.cos(xy_N2 @ vector + phase)
        return total


def make_waves(
    rng: np.random.Generator, shortest_m: float, longest_m: float, count: int = 16
) -> Waves:
    """Random directions, wavelengths log-uniform between the bounds, amplitude falling with
    frequency."""
    length = np.exp(rng.uniform(np.log(shortest_m), np.log(longest_m), count))
    angle = rng.uniform(0.0, 2.0 * np.pi, count)
    vectors = (2.0 * np.pi / length)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    weights = np.sqrt(length)
    weights = weights / np.sqrt(0.5 * np.sum(weights**2))
    phases = rng.uniform(0.0, 2.0 * np.pi, count)
    return Waves(vectors.astype(np.float32), phases.astype(np.float32), weights.astype(np.float32))


@dataclass(frozen=True)
class Pond:
    """A hollow filled with water up to ``level_m``."""

    centre_2: Floats
    radius_m: float
    depth_m: float
    level_m: float


@dataclass(frozen=True)
class Terrain:
    """Height field and paint of one habitat."""

    bumps: Waves
    hills: Waves
    bump_m: float
    hill_m: float
    pond: Pond | None
    albedo_TT3: Floats
    material_TT: NDArray[np.int32]
    biome: str

    def height(self, xy_N2: Floats) -> Floats:
        """Ground height in metres; hills rise only away from the middle, so cameras stay outside
        them."""
        radius = np.linalg.norm(xy_N2, axis=1)
        rise = np.clip((radius - 10.0) / 40.0, 0.0, 1.0) ** 1.5
        height = self.bump_m * self.bumps(xy_N2) + self.hill_m * rise * (1.0 + self.hills(xy_N2))
        if self.pond is not None:
            reach = np.linalg.norm(xy_N2 - self.pond.centre_2, axis=1) / self.pond.radius_m
            bowl = np.clip(1.35 - reach, 0.0, 1.0)
            height = height - self.pond.depth_m * bowl * bowl * (3.0 - 2.0 * bowl)
        return height.astype(np.float32)

    def paint(self, points_N3: Floats) -> tuple[Floats, NDArray[np.int32]]:
        """Linear albedo (N, 3) and material id (N,) at ground points; the paint repeats and fades
        to its mean far away, where it would alias."""
        texel = (points_N3[:, :2] + PAINTED_HALF_M) * (TEXELS / (2.0 * PAINTED_HALF_M)) - 0.5
        coordinates = texel.T[::-1]
        albedo = np.stack(
            [
                map_coordinates(self.albedo_TT3[..., c], coordinates, order=1, mode="grid-wrap")
                for c in range(3)
            ],
            axis=1,
        )
        far = np.linalg.norm(points_N3[:, :2], axis=1)
        blur = np.clip((far - PAINTED_HALF_M) / PAINTED_HALF_M, 0.0, 0.85)[:, None]
        albedo = albedo + blur * (self.albedo_TT3.mean(axis=(0, 1)) - albedo)
        nearest = np.mod(np.rint(coordinates).astype(np.int64), TEXELS)
        return albedo.astype(np.float32), self.material_TT[nearest[0], nearest[1]]


def make_terrain(rng: np.random.Generator, biome: str | None = None) -> Terrain:
    """Draw a terrain; about half of them hold a pond."""
    biome = biome or str(rng.choice(list(BIOMES)))
    bumps = make_waves(rng, 2.0, 9.0)
    hills = make_waves(rng, 18.0, 60.0, 10)
    bump_m = float(rng.uniform(0.05, 0.11))
    pond = _make_pond(rng, bumps, bump_m) if rng.random() < 0.5 else None
    albedo, material = paint_square(rng, *BIOMES[biome])
    hill_m = float(rng.uniform(1.0, 4.0))
    return Terrain(bumps, hills, bump_m, hill_m, pond, albedo, material, biome)


def terrain_bodies(terrain: Terrain) -> list[Body]:
    """Ground (and water) as bodies for the ray-caster: a fine square in the middle, coarser rings
    outside."""
    reach = np.concatenate([np.linspace(0, 13, 105), np.geomspace(13.5, FAR_M, 32)])
    axis = np.concatenate([-reach[:0:-1], reach]).astype(np.float32)
    ground_xy, faces = _grid(axis, axis)
    vertices = np.column_stack([ground_xy, terrain.height(ground_xy)]).astype(np.float32)
    dull = np.full_like(vertices, 0.2)
    bodies = [Body(vertices, faces, dull, 2, paint=terrain.paint)]
    if terrain.pond is not None:
        bodies.append(_water_body(terrain.pond))
    return bodies


def under_water(terrain: Terrain, xy_N2: Floats, margin_m: float = 0.0) -> NDArray[np.bool_]:
    """Whether positions lie in the pond (grown by ``margin_m``)."""
    if terrain.pond is None:
        return np.zeros(len(xy_N2), bool)
    reach = np.linalg.norm(xy_N2 - terrain.pond.centre_2, axis=1)
    return reach < 1.3 * terrain.pond.radius_m + margin_m


def _water_body(pond: Pond) -> Body:
    axis = np.linspace(-1.3 * pond.radius_m, 1.3 * pond.radius_m, 24).astype(np.float32)
    xy, faces = _grid(axis, axis)
    inside = np.linalg.norm(xy, axis=1)[faces].max(axis=1) <= 1.32 * pond.radius_m
    vertices = np.column_stack([xy + pond.centre_2, np.full(len(xy), pond.level_m)])
    tone = np.broadcast_to(to_linear(np.uint8([[34, 92, 122]])), vertices.shape)
    return Body(
        vertices.astype(np.float32), faces[inside], tone.astype(np.float32), WATER_ID, mirror=0.06
    )


def _make_pond(rng: np.random.Generator, bumps: Waves, bump_m: float) -> Pond:
    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(1.0, 3.0)
    centre = np.float32([reach * np.cos(angle), reach * np.sin(angle)])
    level = bump_m * float(bumps(centre[None])[0]) - 0.16
    return Pond(centre, float(rng.uniform(0.9, 1.4)), 0.75, level)


def paint_square(
    rng: np.random.Generator, main: int, second: int, share: float
) -> tuple[Floats, NDArray[np.int32]]:
    """Paint (T, T, 3) in linear albedo and material ids (T, T) of two mixed materials."""
    axis = (np.arange(TEXELS, dtype=np.float32) + 0.5) * (2 * PAINTED_HALF_M / TEXELS)
    xy = np.stack(np.meshgrid(axis - PAINTED_HALF_M, axis - PAINTED_HALF_M), axis=-1).reshape(-1, 2)
    patches = make_waves(rng, 2.5, 8.0, 10)(xy).reshape(TEXELS, TEXELS)
    threshold = np.quantile(patches, 1.0 - share)
    mix = np.clip((patches - threshold) * 6.0 + 0.5, 0.0, 1.0)[..., None]
    mottle = make_waves(rng, 0.25, 1.2, 14)(xy).reshape(TEXELS, TEXELS, 1)
    grain = rng.normal(0.0, 0.035, (TEXELS, TEXELS, 1)).astype(np.float32)
    shade = np.clip(0.5 + 0.28 * mottle + grain, 0.0, 1.0)
    colours = [_tone(material, shade) for material in (main, second)]
    albedo = (1.0 - mix) * colours[0] + mix * colours[1]
    material = np.where(mix[..., 0] > 0.5, second, main).astype(np.int32)
    return albedo.astype(np.float32), material


def _tone(material: int, shade: Floats) -> Floats:
    dark, light = (to_linear(np.uint8([tone]))[0] for tone in _TONES[material])
    return dark + shade * (light - dark)


def _grid(x: Floats, y: Floats) -> tuple[Floats, NDArray[np.int32]]:
    """Vertices (N, 2) and upward triangles of a rectangular grid."""
    xy = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    index = np.arange(len(xy), dtype=np.int32).reshape(len(y), len(x))
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], axis=-2).reshape(-1, 3)
    return xy.astype(np.float32), faces.astype(np.int32)
