"""Habitats: a terrain, a light and 10-25 placed assets, drawn from one seed.

World frame: right-handed, z up, metres, the origin in the middle of the place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lerf_wild.assets import catalogue
from lerf_wild.assets.infinigen_pack import ENTRIES
from lerf_wild.assets.mesh import Asset
from lerf_wild.render.light import Light, make_light, to_linear
from lerf_wild.render.raycast import Body, Camera, RayScene, look_at
from lerf_wild.synth.terrain import (
    FIRST_INSTANCE_ID,
    Terrain,
    make_terrain,
    terrain_bodies,
    under_water,
)

Grower = Callable[[str, np.random.Generator], Asset]

PLACE_RADIUS_M = 4.3
KIND_COUNTS: dict[str, tuple[int, int]] = {
    "animal": (4, 7),
    "tree": (2, 4),
    "log": (1, 2),
    "rock": (2, 3),
    "bird": (1, 3),
    "shrub": (1, 3),
    "plant": (1, 3),
}
"""How many assets of each kind a habitat holds (inclusive bounds): 12 to 25 in all."""
PACK_SHARE = 0.3
KIND_RING: dict[str, tuple[float, float]] = {"tree": (0.55, 1.0)}
"""Part of the place, as shares of its radius, where a kind stands; trees keep off the middle."""
HEIGHT_RANGE_M: dict[str, tuple[float, float]] = {"tree": (2.0, 3.6), "plant": (0.35, 1.6)}
"""Assets are scaled into these heights: young trees, so that crowns stay in view, and plants that a
camera at six metres resolves."""
ANY_HEIGHT_M = (0.3, 2.2)
FIELD_OF_VIEW_DEG = 37.0
"""Vertical field of view of the cameras: a 3:2 picture of a 35 mm lens on full frame."""


@dataclass(frozen=True)
class Placed:
    """One asset standing in the habitat."""

    object_id: int
    asset: Asset
    position_3: NDArray[np.float64]
    yaw_rad: float
    scale: float

    def vertices(self) -> NDArray[np.float32]:
        """World vertices (V, 3) in metres."""
        cosine, sine = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
        return (self.scale * self.asset.vertices_V3 @ turn.T + self.position_3).astype(np.float32)


@dataclass(frozen=True)
class Habitat:
    """A complete place, ready to be rendered."""

    seed: int
    terrain: Terrain
    light: Light
    items: tuple[Placed, ...]

    def scene(self) -> RayScene:
        """The habitat as a ray-cast scene whose object ids are the items' ids."""
        bodies = terrain_bodies(self.terrain)
        bodies += [_item_body(item) for item in self.items]
        return RayScene(bodies, self.light)


def make_habitat(
    seed: int,
    biome: str | None = None,
    names: Sequence[str] | None = None,
    grow: Grower = catalogue.grow,
) -> Habitat:
    """Draw the habitat of ``seed``; ``names`` fixes the assets instead of drawing them."""
    rng = np.random.default_rng([seed, 0x4AB1])
    terrain = make_terrain(rng, biome)
    light = make_light(rng)
    chosen = list(names) if names is not None else draw_names(rng)
    assets = [grow(name, np.random.default_rng([seed, 7, i])) for i, name in enumerate(chosen)]
    items = place_assets(assets, terrain, rng)
    return Habitat(seed, terrain, light, tuple(items))


def draw_names(rng: np.random.Generator) -> list[str]:
    """Catalogue names for one habitat, each at most once, in the counts of ``KIND_COUNTS``."""
    names: list[str] = []
    for kind, (low, high) in KIND_COUNTS.items():
        pool = [name for name, entry in catalogue.CATALOGUE.items() if entry.kind == kind]
        count = min(int(rng.integers(low, high + 1)), len(pool))
        names += [str(n) for n in rng.choice(pool, count, replace=False, p=name_shares(pool))]
    return names


def name_shares(pool: Sequence[str]) -> NDArray[np.float64]:
    """Chance of each name; individuals of the Infinigen pack share ``PACK_SHARE``, as many look
    alike."""
    packed = np.array([name in ENTRIES for name in pool])
    if packed.all() or not packed.any():
        return np.full(len(pool), 1.0 / len(pool))
    chance = np.where(packed, PACK_SHARE / packed.sum(), (1.0 - PACK_SHARE) / (~packed).sum())
    return chance / chance.sum()


def place_assets(
    assets: Sequence[Asset], terrain: Terrain, rng: np.random.Generator
) -> list[Placed]:
    """Stand assets on the ground, apart from each other and out of the water, the largest first.

    An asset for which no free spot is found in 600 draws is left out.
    """
    order = sorted(range(len(assets)), key=lambda i: -_footprint_m(assets[i]))
    items: list[Placed] = []
    for i in order:
        scale = _fitting_scale(assets[i])
        radius = scale * _footprint_m(assets[i])
        spot = _free_spot(assets[i].kind, radius, items, terrain, rng)
        if spot is None:
            continue
        height = float(np.min(terrain.height(_rim(spot, 0.4 * radius)))) - 0.01
        position = np.array([spot[0], spot[1], height])
        yaw = float(rng.uniform(0.0, 2.0 * np.pi))
        items.append(Placed(FIRST_INSTANCE_ID + len(items), assets[i], position, yaw, scale))
    return items


def orbit_cameras(
    habitat: Habitat, count: int, rng: np.random.Generator, width: int, height: int
) -> list[Camera]:
    """Cameras on a walk around the place: one turn at eye height and one higher, looking
    inwards."""
    cameras = []
    focal = 0.5 * height / np.tan(np.radians(FIELD_OF_VIEW_DEG / 2))
    for i in range(count):
        high = i % 5 in (1, 3)
        angle = 2.0 * np.pi * (i + rng.uniform(-0.2, 0.2)) / count
        radius = rng.uniform(7.8, 8.6) if high else rng.uniform(7.2, 8.0)
        xy = radius * np.array([np.cos(angle), np.sin(angle)])
        ground = float(habitat.terrain.height(xy[None].astype(np.float32))[0])
        eye = ground + (rng.uniform(2.8, 4.2) if high else rng.uniform(1.3, 1.9))
        target = [*rng.uniform(-0.7, 0.7, 2), rng.uniform(0.3, 0.7)]
        cameras.append(Camera(look_at([*xy, eye], target), focal, width, height))
    return cameras


def _item_body(item: Placed) -> Body:
    albedo = to_linear(item.asset.colours_V3)
    return Body(item.vertices(), item.asset.faces_F3.astype(np.int32), albedo, item.object_id)


def _fitting_scale(asset: Asset) -> float:
    low, high = HEIGHT_RANGE_M.get(asset.kind, ANY_HEIGHT_M)
    return float(np.clip(asset.height_m, low, high) / asset.height_m)


def _footprint_m(asset: Asset) -> float:
    """Radius of the asset's lower metre seen from above, in metres."""
    low = asset.vertices_V3[asset.vertices_V3[:, 2] < 1.0]
    return float(np.linalg.norm(low[:, :2], axis=1).max())


def _free_spot(kind, radius_m, items, terrain, rng):
    inner, outer = KIND_RING.get(kind, (0.0, 1.0))
    for attempt in range(600):
        reach = (PLACE_RADIUS_M + 0.001 * max(0, attempt - 200)) * np.sqrt(
            rng.uniform(inner**2, outer**2)
        )
        angle = rng.uniform(0.0, 2.0 * np.pi)
        spot = np.float32([reach * np.cos(angle), reach * np.sin(angle)])
        room = 0.12 if attempt < 200 else 0.02
        if under_water(terrain, spot[None], 0.6 * radius_m)[0]:
            continue
        if all(
            np.linalg.norm(spot - item.position_3[:2])
            > radius_m + item.scale * _footprint_m(item.asset) + room
            for item in items
        ):
            return spot
    return None


def _rim(centre_2: NDArray[np.float32], radius_m: float) -> NDArray[np.float32]:
    angle = np.linspace(0.0, 2.0 * np.pi, 8, endpoint=False)
    ring = centre_2 + radius_m * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.concatenate([centre_2[None], ring]).astype(np.float32)
