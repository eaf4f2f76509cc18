"""Rays against placed items: one tree of triangles a look, shared by all items that have it.

Symbols: N rays, I items. Rays are on the stage (metres, z up). A tree is in the frame of its look,
into which the rays are brought, so that moving, turning or scaling an item rebuilds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from numpy.typing import NDArray

from lerf_wild.render.light import Floats
from lerf_wild.wildlife.items import Item
from lerf_wild.wildlife.looks import Look
from lerf_wild.wildlife.stage import Stage

NEAR_PAIRS = 400_000
"""Pairs of a ray and an item that are looked at together."""
_NO_ROWS = np.zeros(0, np.int64)


class LookTree:
    """The triangles of a look, ready for rays in its own frame."""

    def __init__(self, look: Look) -> None:
        self.look = look
        low, high = look.bounds
        self.middle_3 = (0.5 * (low + high)).astype(np.float64)
        self.radius = float(np.linalg.norm(look.vertices_V3 - self.middle_3, axis=1).max())
        self._scene = rtcore_scene.EmbreeScene()
        self._mesh = TriangleMesh(self._scene, look.vertices_V3, look.faces_F3)

    def trace(self, origins_N3: Floats, directions_N3: Floats) -> tuple[Floats, Floats, Floats]:
        """Distance (N,), infinite for a miss, unit normal (N, 3) and albedo (N, 3) of each hit."""
        found = self._scene.run(origins_N3, directions_N3, output=True)
        hit = found["primID"] >= 0
        corners = self.look.faces_F3[np.where(hit, found["primID"], 0)]
        u, v = found["u"][:, None], found["v"][:, None]
        shares = (1.0 - u - v, u, v)
        parts = [(s, corners[:, k]) for k, s in enumerate(shares)]
        normal = sum(share * self.look.normals_V3[corner] for share, corner in parts)
        albedo = sum(share * self.look.albedo_V3[corner] for share, corner in parts)
        length = np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        distance = np.where(hit, found["tfar"], np.inf).astype(np.float32)
        return distance, (normal / length).astype(np.float32), albedo.astype(np.float32)

    def occluded(self, origins_N3: Floats, directions_N3: Floats) -> NDArray[np.bool_]:
        """Whether anything lies along each ray."""
        return self._scene.run(origins_N3, directions_N3, query="OCCLUDED") == 0


@lru_cache(maxsize=256)
def tree_of(key: str, held: _HeldLook) -> LookTree:
    """The tree of a look, built once a process."""
    return LookTree(held.look)


class _HeldLook:
    """A look that a cache may hold without looking at it."""

    def __init__(self, look: Look) -> None:
        self.look = look

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _HeldLook)

    def __hash__(self) -> int:
        return 0


@dataclass(frozen=True)
class Standing:
    """An item on the stage."""

    item: Item
    tree: LookTree
    foot_3: NDArray[np.float64]
    turn_33: NDArray[np.float64]

    @property
    def look(self) -> Look:
        """The item's look."""
        return self.tree.look

    @property
    def middle_3(self) -> NDArray[np.float64]:
        """Middle of the sphere around it."""
        return self.foot_3 + self.item.height_m * self.turn_33 @ self.tree.middle_3

    @property
    def radius(self) -> float:
        """Radius of that sphere."""
        return self.item.height_m * self.tree.radius

    @cached_property
    def vertices_V3(self) -> Floats:
        """Vertices on the stage."""
        return self.placed(self.look.vertices_V3)

    def placed(self, points_N3: Floats) -> Floats:
        """Points of the look on the stage."""
        turned = self.item.height_m * np.asarray(points_N3, np.float64) @ self.turn_33.T
        return (turned + self.foot_3).astype(np.float32)

    def own(self, origins_N3: NDArray, directions_N3: NDArray) -> tuple[Floats, Floats]:
        """Rays in the frame of the look; directions keep their length."""
        local = (origins_N3 - self.foot_3) @ self.turn_33 / self.item.height_m
        turned = directions_N3 @ self.turn_33
        return np.ascontiguousarray(local, np.float32), np.ascontiguousarray(turned, np.float32)


@dataclass(frozen=True)
class ItemHits:
    """The nearest item along each ray."""

    distance_N: Floats
    """Metres; infinite where a ray meets none."""
    normals_N3: Floats
    """Unit, on the stage, turned towards the viewer."""
    albedo_N3: Floats
    index_N: NDArray[np.int32]
    """Which of the scene's items, -1 for none."""

    @property
    def hit(self) -> NDArray[np.bool_]:
        """Whether each ray meets an item."""
        return self.index_N >= 0


@dataclass(frozen=True)
class ItemScene:
    """All visible items of a place on its stage."""

    standing: tuple[Standing, ...] = ()

    def __len__(self) -> int:
        return len(self.standing)

    def near(self, origins_N3: NDArray, directions_N3: NDArray) -> list[NDArray[np.int64]]:
        """For each item, the rows of the rays (unit directions) that pass through its sphere."""
        count = len(self.standing)
        if count == 0:
            return []
        middles_I3 = np.array([one.middle_3 for one in self.standing])
        radii_I = np.array([one.radius for one in self.standing])
        parts: list[list[NDArray[np.int64]]] = [[] for _ in range(count)]
        step = max(NEAR_PAIRS // count, 1)
        for start in range(0, len(origins_N3), step):
            inside_NI = _in_spheres(
                np.asarray(origins_N3[start : start + step], np.float64),
                np.asarray(directions_N3[start : start + step], np.float64),
                middles_I3,
                radii_I,
            )
            for part, inside_N in zip(parts, inside_NI.T):
                part.append(np.flatnonzero(inside_N) + start)
        return [np.concatenate([_NO_ROWS, *part]) for part in parts]

    def trace(
        self,
        origins_N3: NDArray,
        directions_N3: NDArray,
        near: Sequence[NDArray[np.int64]] | None = None,
    ) -> ItemHits:
        """The nearest hit of each ray (unit directions) with normal and albedo.

        Args:
            origins_N3: Where rays start.
            directions_N3: Where they go.
            near: For each item, the rows of the rays that may meet it; looked for when None.
        """
        origins = np.asarray(origins_N3, np.float64)
        directions = np.asarray(directions_N3, np.float64)
        count = len(origins)
        distance = np.full(count, np.inf, np.float32)
        normals, albedo = np.zeros((count, 3), np.float32), np.zeros((count, 3), np.float32)
        index = np.full(count, -1, np.int32)
        near = self.near(origins, directions) if near is None else near
        for number, (one, rows) in enumerate(zip(self.standing, near)):
            if len(rows) == 0:
                continue
            found, normal, colour = one.tree.trace(*one.own(origins[rows], directions[rows]))
            found = found * np.float32(one.item.height_m)
            nearer = found < distance[rows]
            chosen = rows[nearer]
            distance[chosen], index[chosen] = found[nearer], number
            normals[chosen], albedo[chosen] = normal[nearer] @ one.turn_33.T, colour[nearer]
        away = np.einsum("nc,nc->n", normals, directions) > 0.0
        # Thin leaves are lit from both sides.
        normals[away] *= -1.0
        return ItemHits(distance, normals, albedo, index)

    def occluded(self, points_N3: NDArray, directions_N3: NDArray) -> NDArray[np.bool_]:
        """Whether an item lies along each ray that starts at a point."""
        points, directions = np.asarray(points_N3, np.float64), np.asarray(directions_N3)
        blocked = np.zeros(len(points), bool)
        for one, rows in zip(self.standing, self.near(points, directions)):
            rows = rows[~blocked[rows]]
            if len(rows):
                blocked[rows] = one.tree.occluded(*one.own(points[rows], directions[rows]))
        return blocked


def _in_spheres(
    origins_N3: NDArray, directions_N3: NDArray, middles_I3: NDArray, radii_I: NDArray
) -> NDArray[np.bool_]:
    """Whether each ray passes through each sphere; products of matrices, as pairs are many."""
    starts_N = np.einsum("nc,nc->n", origins_N3, directions_N3)
    along_NI = directions_N3 @ middles_I3.T - starts_N[:, None]
    lengths_N = np.einsum("nc,nc->n", origins_N3, origins_N3)
    squared_NI = lengths_N[:, None] - 2.0 * origins_N3 @ middles_I3.T + (middles_I3**2).sum(axis=1)
    beyond_NI = squared_NI - radii_I**2
    return (beyond_NI < along_NI**2) & ((along_NI > 0) | (beyond_NI < 0))


def stand(item: Item, look: Look, stage: Stage) -> Standing:
    """Puts an item with a look on the stage."""
    foot = stage.from_world(np.array([item.position]))[0]
    return Standing(item, tree_of(look.key, _HeldLook(look)), foot, stage.turn_33 @ item.turn_33)


def scene_of(standing: Sequence[Standing]) -> ItemScene:
    """The scene of items on a stage."""
    return ItemScene(tuple(standing))
