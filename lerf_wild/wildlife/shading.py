"""Colours of items in a scene's light, and the shadows that they throw on it.

Symbols: N points or hits. Frame: the stage (metres, z up). Linear colours unless named sRGB; the
pictures' own encoding is taken for a power of 1 / 2.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lerf_wild.render.light import Floats, ambient
from lerf_wild.wildlife.scene_light import SceneLight
from lerf_wild.wildlife.tracing import ItemHits, ItemScene

OFFSET_M = 4e-3
"""Shadow rays start this far above a surface."""
GAMMA = 1.0 / 2.2


def item_colours(
    scene: ItemScene, scene_light: SceneLight, points_N3: NDArray, hits: ItemHits
) -> Floats:
    """sRGB colours (N, 3), 0-1, of hits at points; zero where nothing was hit."""
    colour = np.zeros((len(points_N3), 3), np.float32)
    rows = np.flatnonzero(hits.hit)
    if len(rows) == 0:
        return colour
    light, normals = scene_light.light, hits.normals_N3[rows]
    points = points_N3[rows] + OFFSET_M * normals
    cosine = np.maximum(normals @ light.sun_direction_3, 0.0)
    reached = np.zeros(len(rows))
    facing = np.flatnonzero(cosine > 0.0)
    reached[facing] = sunlit(scene, scene_light, points[facing])
    sun = (reached * cosine)[:, None] * light.sun_colour_3
    linear = hits.albedo_N3[rows] * (ambient(light, normals) + sun)
    colour[rows] = np.clip(linear, 0.0, 1.0) ** GAMMA
    return colour


def sunlit(scene: ItemScene, scene_light: SceneLight, points_N3: NDArray) -> NDArray[np.float64]:
    """Share of the sun (0-1) that neither the scene nor its items keep from points."""
    towards = np.broadcast_to(scene_light.light.sun_direction_3, points_N3.shape)
    free = ~scene.occluded(points_N3, towards)
    return free * scene_light.shade.lit(points_N3)


def shadow_factors(
    scene: ItemScene, scene_light: SceneLight, points_N3: NDArray, normals_N3: NDArray
) -> Floats:
    """What items leave of the sRGB colours (N, 3) of the scene's own surface points."""
    light = scene_light.light
    towards = np.broadcast_to(light.sun_direction_3, points_N3.shape)
    hidden = scene.occluded(points_N3 + OFFSET_M * normals_N3, towards)
    factors = np.ones((len(points_N3), 3), np.float32)
    rows = np.flatnonzero(hidden)
    if len(rows) == 0:
        return factors
    normals = normals_N3[rows].astype(np.float32)
    cosine = np.maximum(normals @ light.sun_direction_3, 0.0)
    had = scene_light.shade.lit(points_N3[rows]) * cosine
    dim = ambient(light, normals)
    factors[rows] = (dim / (dim + had[:, None] * light.sun_colour_3)) ** GAMMA
    return factors


def soft_shadow_factors(
    scene: ItemScene,
    scene_light: SceneLight,
    points_N3: NDArray,
    normals_N3: NDArray,
    origins_N3: NDArray,
    spread_NK3: NDArray,
) -> Floats:
    """The mean of `shadow_factors` over the rays through a pixel, where they meet its surface.

    Args:
        scene: The items.
        scene_light: The light.
        points_N3: Where the ray through the middle of each pixel meets the surface.
        normals_N3: Unit normals there.
        origins_N3: Where rays start.
        spread_NK3: Unit directions of K rays through each pixel.
    """
    plane_N1 = ((points_N3 - origins_N3) * normals_N3).sum(axis=1, keepdims=True)
    fall_NK = np.minimum((spread_NK3 * normals_N3[:, None]).sum(axis=-1), -1e-3)
    reach_NK = plane_N1 / fall_NK
    places_NK3 = origins_N3[:, None] + reach_NK[..., None] * spread_NK3
    each_NK3 = np.broadcast_to(normals_N3[:, None], places_NK3.shape)
    flat = shadow_factors(scene, scene_light, places_NK3.reshape(-1, 3), each_NK3.reshape(-1, 3))
    return flat.reshape(places_NK3.shape).mean(axis=1)
