"""Small building blocks: tubes, blobs and leaves, each a coloured Piece.

Symbols: N points along a line, S sides of a tube, K leaves. Lengths are metres unless the caller
works in other units; colours are sRGB floats in 0-255, one for the whole piece or one a row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import trimesh
from numpy.typing import NDArray

from lerf_wild.assets.mesh import Piece
from lerf_wild.assets.noise import fractal

Floats = NDArray[np.float32]


def unit(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """Vectors of length 1 along the last axis; zero stays zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def rotation(axis: str, angle_rad: float) -> NDArray[np.float64]:
    """Right-handed 3x3 rotation about a coordinate axis."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cos
    matrix[first, second], matrix[second, first] = -sin, sin
    return matrix


def tube(
    points_N3: NDArray[np.floating],
    radii_N: NDArray[np.floating],
    colours: NDArray[np.floating] | Sequence[float],
    sides: int = 6,
) -> Piece:
    """A closed tube around a polyline; the ends are capped by a point at the line's end."""
    points = np.asarray(points_N3, np.float64)
    tangents = unit(np.gradient(points, axis=0))
    side, up = _frames(tangents)
    angles = np.arange(sides) * (2 * np.pi / sides)
    ring = (
        np.cos(angles)[None, :, None] * side[:, None] + np.sin(angles)[None, :, None] * up[:, None]
    )
    rings = points[:, None] + np.asarray(radii_N)[:, None, None] * ring
    vertices = np.concatenate([rings.reshape(-1, 3), points[:1], points[-1:]])
    per_point = np.broadcast_to(np.asarray(colours, np.float32), (len(points), 3))
    colour = np.concatenate([np.repeat(per_point, sides, axis=0), per_point[:1], per_point[-1:]])
    return Piece(
        vertices.astype(np.float32), _tube_faces(len(points), sides), colour.astype(np.float32)
    )


def blob(
    centre_3: Sequence[float],
    radii_3: Sequence[float] | float,
    colour: Sequence[float],
    subdivisions: int = 2,
    lattice_LLL: Floats | None = None,
    roughness: float = 0.0,
    frequency: float = 1.5,
) -> Piece:
    """An ellipsoid, pushed in and out by noise of relative size ``roughness``."""
    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    points = np.asarray(ball.vertices)
    if lattice_LLL is not None:
        shift = np.asarray(centre_3, np.float64) * 1.7
        points = points * (1 + roughness * fractal(lattice_LLL, points + shift, frequency))[:, None]
    vertices = points * np.asarray(radii_3) + np.asarray(centre_3)
    colours = np.broadcast_to(np.asarray(colour, np.float32), vertices.shape)
    return Piece(vertices.astype(np.float32), np.asarray(ball.faces, np.int32), colours)


def leaves(
    bases_K3: NDArray[np.floating],
    directions_K3: NDArray[np.floating],
    lengths_K: NDArray[np.floating],
    widths_K: NDArray[np.floating],
    colours_K3: NDArray[np.floating],
    upward_K3: NDArray[np.floating],
    droop: float = 0.15,
) -> Piece:
    """Rhombic leaves of two triangles, folded at the midrib; the upper side faces ``upward_K3``."""
    count = len(bases_K3)
    along = unit(np.asarray(directions_K3))
    across = unit(np.cross(upward_K3, along) + 1e-9)
    above = np.cross(along, across)
    length, width = lengths_K[:, None], widths_K[:, None]
    middle = bases_K3 + 0.45 * length * along
    left = middle + 0.5 * width * across + droop * width * above
    right = middle - 0.5 * width * across + droop * width * above
    tip = bases_K3 + length * along - droop * length * above
    vertices = np.stack([bases_K3, right, tip, left], axis=1).reshape(-1, 3)
    quad = np.array([[0, 1, 2], [0, 2, 3]])
    faces = (np.arange(count)[:, None, None] * 4 + quad).reshape(-1, 3)
    shade = np.float32([0.82, 1.0, 1.06, 1.0])[None, :, None]
    colours = (np.asarray(colours_K3, np.float32)[:, None] * shade).reshape(-1, 3)
    return Piece(vertices.astype(np.float32), faces.astype(np.int32), colours)


def blades(
    bases_K3: NDArray[np.floating],
    tips_K3: NDArray[np.floating],
    widths_K: NDArray[np.floating],
    colours_K3: NDArray[np.floating],
    bend: float = 0.25,
    segments: int = 3,
) -> Piece:
    """Narrow strips from base to tip that rise first and bend over later (grass, fronds, agave)."""
    count = len(bases_K3)
    share = np.linspace(0.0, 1.0, segments + 1)
    rise = np.asarray(tips_K3) - bases_K3
    across = unit(np.cross(rise, [0.0, 0.0, 1.0]) + np.float64([1e-6, 0, 0]))
    length = np.linalg.norm(rise, axis=1)
    spine = bases_K3[:, None] + share[None, :, None] * rise[:, None]
    spine[..., 2] += bend * length[:, None] * 4 * (share * (1 - share))[None]
    half = 0.5 * widths_K[:, None] * (1.0 - share**1.5)[None]
    left = spine + half[..., None] * across[:, None]
    right = spine - half[..., None] * across[:, None]
    vertices = np.stack([left, right], axis=2).reshape(count, -1, 3)
    step = np.array([[0, 1, 3], [0, 3, 2]])
    strip = (np.arange(segments)[:, None, None] * 2 + step).reshape(-1, 3)
    faces = (np.arange(count)[:, None, None] * vertices.shape[1] + strip).reshape(-1, 3)
    shade = np.repeat(0.7 + 0.4 * share, 2).astype(np.float32)
    colours = np.asarray(colours_K3, np.float32)[:, None] * shade[None, :, None]
    return Piece(
        vertices.reshape(-1, 3).astype(np.float32), faces.astype(np.int32), colours.reshape(-1, 3)
    )


def disc(
    centre_3: Sequence[float],
    axis_3: Sequence[float],
    radius: float,
    ring_colours_R3: NDArray[np.floating],
    sides: int = 16,
) -> Piece:
    """A flat disc of R concentric rings facing ``axis_3``, coloured from the centre outwards."""
    rings = len(ring_colours_R3)
    side, up = _frames(unit(np.asarray([axis_3], np.float64)))
    angles = np.arange(sides) * (2 * np.pi / sides)
    circle = np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * up
    radii = radius * np.linspace(0.0, 1.0, rings)
    vertices = np.asarray(centre_3) + (radii[:, None, None] * circle[None]).reshape(-1, 3)
    faces = _tube_faces(rings, sides)[: 2 * sides * (rings - 1), ::-1]
    colours = np.repeat(np.asarray(ring_colours_R3, np.float32), sides, axis=0)
    return Piece(vertices.astype(np.float32), faces, colours)


def tints(
    rng: np.random.Generator, count: int, colour: Sequence[float], spread: float = 0.18
) -> Floats:
    """Variations of a colour, shape (count, 3): brightness by ``spread``, hue by a third of it."""
    bright = rng.normal(1.0, spread, (count, 1))
    channel = rng.normal(1.0, spread / 3, (count, 3))
    return np.clip(np.asarray(colour) * bright * channel, 4, 250).astype(np.float32)


def _frames(tangents_N3: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two unit normals per tangent, carried along the line so that tubes do not twist."""
    side = np.zeros_like(tangents_N3)
    start = np.eye(3)[np.argmin(np.abs(tangents_N3[0]))]
    for row, tangent in enumerate(tangents_N3):
        start = unit(start - tangent * (start @ tangent))
        side[row] = start
    return side, np.cross(tangents_N3, side)


def _tube_faces(count: int, sides: int) -> NDArray[np.int32]:
    ring = np.arange(sides)
    after = (ring + 1) % sides
    start = (np.arange(count - 1) * sides)[:, None]
    low, low_after = start + ring, start + after
    quads = [
        np.stack([low, low_after, low_after + sides], axis=-1),
        np.stack([low, low_after + sides, low + sides], axis=-1),
    ]
    last = (count - 1) * sides
    first_cap = np.stack([np.full(sides, count * sides), after, ring], axis=-1)
    last_cap = np.stack([np.full(sides, count * sides + 1), last + ring, last + after], axis=-1)
    faces = [quad.reshape(-1, 3) for quad in quads] + [first_cap, last_cap]
    return np.concatenate(faces).astype(np.int32)
