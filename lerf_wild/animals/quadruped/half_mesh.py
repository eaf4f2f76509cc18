"""The left half of a skin as triangles, thinned to an exact number of vertices.

Symbols: V vertices, F faces. The half lies at y >= 0 and is open along the mirror plane y = 0. A
mirrored whole of a half with V vertices, B of them on the plane, has 2 V - B vertices and, being
closed and without handles, 2 (2 V - B) - 4 triangles.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.measure import marching_cubes

from lerf_wild.animals.quadruped.parts import Part, part_coordinates, skin_distance
from lerf_wild.errors import AssetError

Floats = NDArray[np.float64]
Faces = NDArray[np.int64]
SizeField = Callable[[Floats], Floats]


def march_half(parts: Sequence[Part], cell: float) -> tuple[Floats, Faces]:
    """Triangles of the skin at y >= 0 by marching cubes on a grid that holds the plane y = 0."""
    low, high = _bounds(parts, 3 * cell)
    low[1] = 0.0
    axes = [
        low[i] + cell * np.arange(int(np.ceil((high[i] - low[i]) / cell)) + 1) for i in range(3)
    ]
    field = np.full([len(axis) for axis in axes], 1.0)
    for part in parts:
        _unite(field, axes, part, cell)
    vertices, faces, _, _ = marching_cubes(field, 0.0, spacing=(cell, cell, cell))
    vertices = vertices.astype(np.float64) + low
    # Grid points that the surface meets give triangles without area, whose corners are one.
    vertices[vertices[:, 1] < 1e-6, 1] = 0.0
    key = np.unique(np.round(vertices, 7), axis=0, return_inverse=True)[1].ravel()
    faces = key[faces.astype(np.int64)]
    merged = np.zeros((key.max() + 1, 3))
    merged[key] = vertices
    distinct = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    return merged, faces[distinct]


def mirrored_whole(vertices_V3: Floats, faces_F3: Faces) -> tuple[Floats, Faces, NDArray[np.int64]]:
    """The closed mesh of a half: vertices, faces, and the vertex on the other side of each."""
    inner = np.flatnonzero(vertices_V3[:, 1] > 0)
    other = np.arange(len(vertices_V3))
    other[inner] = len(vertices_V3) + np.arange(len(inner))
    right = vertices_V3[inner] * [1.0, -1.0, 1.0]
    mirror = np.concatenate([other, inner])
    return (
        np.concatenate([vertices_V3, right]),
        np.concatenate([faces_F3, other[faces_F3[:, ::-1]]]),
        mirror,
    )


class HalfMesh:
    """A half that can be thinned by collapsing edges; vertices on the plane stay on it."""

    def __init__(self, vertices_V3: Floats, faces_F3: Faces) -> None:
        self.position = vertices_V3.copy()
        self.on_plane = vertices_V3[:, 1] == 0.0
        self.faces: dict[int, tuple[int, int, int]] = {
            index: (int(a), int(b), int(c)) for index, (a, b, c) in enumerate(faces_F3)
        }
        self.around: list[set[int]] = [set() for _ in vertices_V3]
        for index, face in self.faces.items():
            for corner in face:
                self.around[corner].add(index)
        self.alive = np.array([len(faces) > 0 for faces in self.around])

    def whole_count(self) -> int:
        """Vertices of the mirrored whole."""
        return int(2 * self.alive.sum() - (self.alive & self.on_plane).sum())

    def neighbours(self, vertex: int) -> set[int]:
        """Vertices that share an edge with one."""
        found = {corner for face in self.around[vertex] for corner in self.faces[face]}
        return found - {vertex}

    def edges(self) -> NDArray[np.int64]:
        """All edges (E, 2), the lower vertex first."""
        faces = np.array(list(self.faces.values()))
        pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        return np.unique(np.sort(pairs, axis=1), axis=0)

    def thin(self, target: int, size: SizeField) -> None:
        """Collapses edges, those that are shortest for their place first, down to ``target``
        vertices of the whole; stops early where no edge may go."""
        relative = 1.0 / size(self.position)
        heap = [(self._cost(a, b, relative), int(a), int(b)) for a, b in self.edges()]
        heapq.heapify(heap)
        while heap and self.whole_count_fast > target:
            cost, a, b = heapq.heappop(heap)
            if not (self.alive[a] and self.alive[b]) or cost < self._cost(a, b, relative) - 1e-12:
                continue
            step = 1 if self.on_plane[a] and self.on_plane[b] else 2
            if self.whole_count_fast - step < target or not self._collapse(a, b):
                continue
            self.whole_count_fast -= step
            for other in self.neighbours(a):
                low, high = min(a, other), max(a, other)
                heapq.heappush(heap, (self._cost(low, high, relative), low, high))

    def relax(self, project: Callable[[Floats], Floats], steps: int) -> None:
        """Flips edges towards equal valence, and slides vertices to the middle of their
        neighbours along the surface."""
        for _ in range(steps):
            self._flip_edges()
            vertices, faces, used = self.arrays()
            moved = _slid(vertices, faces, self.on_plane[used])
            moved = project(moved)
            moved[self.on_plane[used], 1] = 0.0
            moved[:, 1] = np.maximum(moved[:, 1], 0.0)
            self.position[used] = moved

    def arrays(self) -> tuple[Floats, Faces, NDArray[np.int64]]:
        """Vertices and faces without gaps, and the own index of each vertex."""
        used = np.flatnonzero(self.alive)
        place = np.zeros(len(self.alive), np.int64)
        place[used] = np.arange(len(used))
        return self.position[used], place[np.array(list(self.faces.values()))], used

    def _cost(self, a: int, b: int, relative: Floats) -> float:
        offset = self.position[a] - self.position[b]
        return float(np.sqrt(offset @ offset) * 0.5 * (relative[a] + relative[b]))

    def _collapse(self, a: int, b: int) -> bool:
        """Moves b into a, unless that would fold, pinch or close the mesh."""
        shared = self.around[a] & self.around[b]
        rim = bool(self.on_plane[a] and self.on_plane[b])
        if len(shared) != (1 if rim else 2):
            return False
        if len(self.neighbours(a) & self.neighbours(b)) != len(shared):
            return False
        place = 0.5 * (self.position[a] + self.position[b])
        if self.on_plane[a] != self.on_plane[b]:
            place = self.position[a if self.on_plane[a] else b]
        kept = (self.around[a] | self.around[b]) - shared
        if any(self._folds(face, a, b, place) for face in kept):
            return False
        for face in shared:
            for corner in self.faces.pop(face):
                self.around[corner].discard(face)
        for face in self.around[b]:
            self.faces[face] = tuple(a if corner == b else corner for corner in self.faces[face])
            self.around[a].add(face)
        self.around[b] = set()
        self.position[a], self.alive[b] = place, False
        self.on_plane[a] |= self.on_plane[b]
        return True

    def _folds(self, face: int, a: int, b: int, place: Floats) -> bool:
        corners = self.faces[face]
        before = _normal(*(self.position[corner] for corner in corners))
        after = _normal(*(place if c in (a, b) else self.position[c] for c in corners))
        length = np.sqrt((before @ before) * (after @ after))
        return bool(before @ after < 0.35 * length) or length == 0.0

    def _flip_edges(self) -> None:
        for a, b in self.edges():
            shared = self.around[a] & self.around[b]
            if len(shared) == 2:
                self._flip(int(a), int(b), *sorted(shared))

    def _flip(self, a: int, b: int, first: int, second: int) -> None:
        c = next(corner for corner in self.faces[first] if corner not in (a, b))
        d = next(corner for corner in self.faces[second] if corner not in (a, b))
        if c == d or d in self.neighbours(c):
            return
        if not _follows(self.faces[first], a, b):
            c, d, first, second = d, c, second, first
        spread = [self._excess(v) for v in (a, b, c, d)]
        gain = sum(e * e for e in spread)
        after = [spread[0] - 1, spread[1] - 1, spread[2] + 1, spread[3] + 1]
        if sum(e * e for e in after) >= gain or min(len(self.around[a]), len(self.around[b])) < 4:
            return
        p = self.position
        old = _normal(p[a], p[b], p[c]) + _normal(p[b], p[a], p[d])
        new = (_normal(p[a], p[d], p[c]), _normal(p[d], p[b], p[c]))
        scale = np.linalg.norm(old)
        if any(n @ old < 0.6 * np.linalg.norm(n) * scale or n @ n == 0 for n in new):
            return
        self.faces[first], self.faces[second] = (a, d, c), (d, b, c)
        self.around[b].discard(first)
        self.around[a].discard(second)
        self.around[d].add(first)
        self.around[c].add(second)

    def _excess(self, vertex: int) -> int:
        return len(self.around[vertex]) - (3 if self.on_plane[vertex] else 6)

    whole_count_fast: int = 0


def build_half(
    parts: Sequence[Part], size: SizeField, target: int, cell: float = 0.012
) -> tuple[Floats, Faces]:
    """The left half of the skin of ``parts`` whose mirrored whole has ``target`` vertices.

    Raises:
        AssetError: the skin has a handle or loose pieces, or can't be thinned that far.
    """

    def project(points: Floats) -> Floats:
        return projected(parts, points)

    mesh = HalfMesh(*march_half(parts, cell))
    mesh.whole_count_fast = count = mesh.whole_count()
    while count > target:
        count = max(target, int(0.7 * count))
        mesh.thin(count, size)
        if mesh.whole_count_fast > count:
            raise AssetError(f"The skin can't be thinned below {mesh.whole_count_fast} vertices.")
        mesh.relax(project, 3 if count > target else 12)
    vertices, faces, _ = mesh.arrays()
    return vertices, faces


def projected(parts: Sequence[Part], points_V3: Floats, steps: int = 2) -> Floats:
    """Points moved onto the skin along the gradient of its distance."""
    points = points_V3.copy()
    for _ in range(steps):
        gradient, distance = distance_gradient(parts, points)
        length = np.maximum(np.linalg.norm(gradient, axis=1), 0.3)
        points -= (np.clip(distance, -0.05, 0.05) / length**2)[:, None] * gradient
    return points


def distance_gradient(parts: Sequence[Part], points_V3: Floats) -> tuple[Floats, Floats]:
    """Gradient (V, 3) by differences of 1e-4, and the distance (V,)."""
    step = 1e-4
    shifted = [points_V3 + step * axis for axis in np.eye(3)]
    values = skin_distance(parts, np.concatenate([points_V3, *shifted])).reshape(4, -1)
    return ((values[1:] - values[0]) / step).T, values[0]


def _slid(vertices: Floats, faces: Faces, on_plane: NDArray[np.bool_]) -> Floats:
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    # The rim is a curve of its own: only its own edges pull on it.
    both = np.concatenate([edges, edges[:, ::-1]])
    both = both[~on_plane[both[:, 0]] | on_plane[both[:, 1]]]
    total = np.zeros_like(vertices)
    np.add.at(total, both[:, 0], vertices[both[:, 1]])
    degree = np.maximum(np.bincount(both[:, 0], minlength=len(vertices)), 1)
    drift = total / degree[:, None] - vertices
    normals = np.zeros_like(vertices)
    corners = vertices[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    np.add.at(normals, faces.ravel(), np.repeat(cross, 3, axis=0))
    normals[on_plane, 1] = 0.0
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    return vertices + 0.5 * (drift - np.sum(drift * normals, 1, keepdims=True) * normals)


def _unite(field: Floats, axes: list[Floats], part: Part, cell: float) -> None:
    margin = max(part.radius_start, part.radius_end) * max(1.0, part.side_scale)
    margin += part.blend + 2 * cell
    low = np.minimum(part.start, part.end) - margin
    high = np.maximum(part.start, part.end) + margin
    spans = [np.searchsorted(axis, (a, b)) for axis, a, b in zip(axes, low, high)]
    window = tuple(slice(int(first), int(last)) for first, last in spans)
    if field[window].size == 0:
        return
    grid = np.stack(np.meshgrid(*(axis[w] for axis, w in zip(axes, window)), indexing="ij"), -1)
    distance = part_coordinates(part, grid.reshape(-1, 3))[2].reshape(grid.shape[:3])
    known = field[window]
    overlap = np.maximum(part.blend - np.abs(known - distance), 0.0)
    field[window] = np.minimum(known, distance) - overlap * overlap * (0.25 / part.blend)


def _bounds(parts: Sequence[Part], margin: float) -> tuple[Floats, Floats]:
    reach = [max(p.radius_start, p.radius_end) * max(1.0, p.side_scale) + margin for p in parts]
    low = np.min([np.minimum(p.start, p.end) - r for p, r in zip(parts, reach)], axis=0)
    high = np.max([np.maximum(p.start, p.end) + r for p, r in zip(parts, reach)], axis=0)
    return low, high


def _normal(a: Floats, b: Floats, c: Floats) -> Floats:
    u, v = b - a, c - a
    return np.array(
        [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
    )


def _follows(face: tuple[int, int, int], a: int, b: int) -> bool:
    return (face[(face.index(a) + 1) % 3]) == b
