"""Rocks: icospheres cut by planes and roughened, coloured by slope or layer. Lengths are metres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import trimesh

from lerf_wild.assets.mesh import Floats, Piece
from lerf_wild.assets.noise import fractal, make_lattice
from lerf_wild.assets.shapes import unit

SANDS = np.float32([[190, 118, 74], [156, 84, 54], [222, 182, 128], [236, 212, 170]])


def grow_grey_rock(rng: np.random.Generator) -> list[Piece]:
    """A grey boulder with crisp facets."""
    stone = _stone(rng, rng.uniform(0.5, 0.85))
    return [stone.coloured((136, 136, 138), (84, 84, 88))]


def grow_mossy_rock(rng: np.random.Generator) -> list[Piece]:
    """A dark boulder whose upper side is green with moss."""
    stone = _stone(rng, rng.uniform(0.45, 0.75))
    piece = stone.coloured((112, 110, 104), (66, 64, 62))
    moss = stone.upward(0.35, 0.6, 0.45)
    green = np.float32([88, 132, 40]) * (1.0 + 0.25 * stone.noise(9.0))[:, None]
    return [
        Piece(
            piece.vertices_V3, piece.faces_F3, piece.colours_V3 + moss * (green - piece.colours_V3)
        )
    ]


def grow_snowy_rock(rng: np.random.Generator) -> list[Piece]:
    """A grey boulder with a cap of snow."""
    stone = _stone(rng, rng.uniform(0.5, 0.85))
    piece = stone.coloured((110, 110, 116), (66, 66, 72))
    snow = stone.upward(0.2, 0.4, 0.3)
    white = np.float32([244, 246, 250])
    return [
        Piece(
            piece.vertices_V3, piece.faces_F3, piece.colours_V3 + snow * (white - piece.colours_V3)
        )
    ]


def grow_sandstone(rng: np.random.Generator) -> list[Piece]:
    """A block of layered sandstone: ledges of red, tan and cream."""
    stone = _stone(rng, rng.uniform(0.55, 0.85))
    vertices = stone.vertices_V3.copy()
    tilt = 12.0 * (vertices[:, 2] + 0.1 * vertices[:, 0] + 0.012 * stone.noise(2.5))
    layer = np.floor(tilt).astype(int)
    blend = np.clip((tilt - layer - 0.25) / 0.5, 0.0, 1.0)[:, None]
    widths = rng.uniform(0.86, 1.06, 16).astype(np.float32)[:, None]
    palette = 2 * (np.arange(16) % 2) + rng.integers(0, 2, 16)
    low, high = layer % 16, (layer + 1) % 16
    vertices[:, :2] *= widths[low] + blend * (widths[high] - widths[low])
    colours = SANDS[palette[low]] + blend * (SANDS[palette[high]] - SANDS[palette[low]])
    grain = 1.0 + 0.16 * stone.noise(9.0)[:, None]
    return [Piece(vertices.astype(np.float32), stone.faces_F3, colours * grain)]


class _Stone:
    """A bare stone with the fields that its colouring needs."""

    def __init__(self, vertices_V3: Floats, faces_F3: np.ndarray, lattice_LLL: Floats) -> None:
        self.vertices_V3, self.faces_F3, self._lattice = vertices_V3, faces_F3, lattice_LLL
        mesh = trimesh.Trimesh(vertices_V3, faces_F3, process=False)
        self._normals = np.asarray(mesh.vertex_normals)

    def noise(self, frequency: float) -> Floats:
        """Fractal noise over the stone."""
        return fractal(self._lattice, self.vertices_V3, frequency, 3)

    def upward(self, low: float, high: float, ragged: float) -> Floats:
        """1 on faces that look up, 0 below, with a ragged border; shape (V, 1)."""
        slope = self._normals[:, 2] + ragged * self.noise(5.0)
        return np.clip((slope - low) / (high - low), 0.0, 1.0)[:, None].astype(np.float32)

    def coloured(self, light: Sequence[float], dark: Sequence[float]) -> Piece:
        """Blotches of two colours."""
        share = np.clip(0.5 + 1.5 * self.noise(3.5), 0.0, 1.0)[:, None]
        grain = 1.0 + 0.25 * self.noise(14.0)[:, None]
        colours = (share * np.float32(light) + (1 - share) * np.float32(dark)) * grain
        return Piece(self.vertices_V3, self.faces_F3, colours.astype(np.float32))


def _stone(rng: np.random.Generator, height: float) -> _Stone:
    ball = trimesh.creation.icosphere(subdivisions=4)
    points = np.array(ball.vertices)
    lattice = make_lattice(rng)
    points *= (1.0 + 0.3 * fractal(lattice, points, 1.1, 2))[:, None]
    for normal in unit(rng.normal(size=(18, 3))):
        reach = points @ normal
        beyond = np.maximum(reach - rng.uniform(0.5, 0.72), 0.0)
        points -= beyond[:, None] * normal
    points += 0.035 * fractal(lattice, points, 5.0, 3)[:, None] * unit(points)
    points *= [rng.uniform(1.0, 1.35), rng.uniform(0.9, 1.1), 1.0]
    points[:, 2] = np.maximum(points[:, 2], np.quantile(points[:, 2], 0.12))
    points *= height / np.ptp(points[:, 2])
    return _Stone(points.astype(np.float32), np.asarray(ball.faces, np.int32), lattice)
