"""Dead wood on the ground: a fallen log and a tree stump. Lengths are metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lerf_wild.assets.mesh import Floats, Piece
from lerf_wild.assets.noise import fractal, make_lattice
from lerf_wild.assets.shapes import disc, tube

BARK_LIGHT, BARK_DARK = (124, 94, 66), (54, 40, 32)
HEART, RING = (222, 184, 128), (160, 112, 66)
MOSS = (92, 124, 44)


def grow_fallen_log(rng: np.random.Generator) -> list[Piece]:
    """A trunk lying along x: grooved bark, pale sawn ends with rings, moss on top, broken stubs."""
    length, radius = rng.uniform(1.9, 2.7), rng.uniform(0.2, 0.27)
    lattice = make_lattice(rng)
    share = np.linspace(-0.5, 0.5, 36)
    bend = 0.05 * np.sin(2.5 * share + rng.uniform(0, 6))
    line = np.stack([share * length, bend, np.full(len(share), radius)], axis=1)
    radii = radius * (1.0 - 0.16 * (share + 0.5))
    bark = _grooved(tube(line, radii, BARK_LIGHT, 30), line, lattice, 30)
    body = _mossy(_streaked(bark, lattice, (2.5, 17.0, 17.0)), lattice, 2 * radius)
    ends = [
        disc(line[-1] + [0.012, 0, 0], line[-1] - line[-2], 0.9 * radii[-1], _rings(9), 20),
        disc(line[0] - [0.012, 0, 0], line[0] - line[1], 0.9 * radii[0], _rings(9), 20),
    ]
    return [body, *ends, *_stubs(rng, line, radii)]


def _stubs(
    rng: np.random.Generator, line_N3: NDArray[np.floating], radii_N: NDArray[np.floating]
) -> list[Piece]:
    pieces = []
    for at in rng.choice(np.arange(6, 24), 3, replace=False):
        turn = rng.uniform(0.35, 2.8)
        out = np.array([rng.normal(0, 0.35), np.cos(turn), np.sin(turn)])
        reach = radii_N[at] * rng.uniform(1.5, 2.2)
        stub = np.stack([line_N3[at] + share * reach * out for share in (0.5, 0.8, 1.0)])
        thick = radii_N[at] * np.array([0.34, 0.24, 0.2])
        pieces.append(tube(stub, thick, np.array([BARK_DARK, BARK_LIGHT, BARK_LIGHT]), 7))
        pieces.append(disc(stub[-1] + 0.004 * out, out, 0.9 * thick[-1], _rings(3), 7))
    return pieces


def grow_tree_stump(rng: np.random.Generator) -> list[Piece]:
    """A sawn stump with rings on top and roots that run out."""
    height, radius = rng.uniform(0.4, 0.55), rng.uniform(0.26, 0.34)
    lattice = make_lattice(rng)
    share = np.linspace(0.0, 1.0, 12)
    line = np.stack([0 * share, 0 * share, share * height], axis=1)
    radii = radius * (1.0 + 0.45 * (1 - share) ** 3)
    bark = _grooved(tube(line, radii, BARK_LIGHT, 36), line, lattice, 36)
    body = _streaked(bark, lattice, (19.0, 19.0, 3.0))
    top = disc((0, 0, height + 0.008), (0, 0, 1), 0.95 * radius, _rings(13), 24)
    roots = [
        _root(rng, lattice, turn, radius, height)
        for turn in np.arange(6) * 1.05 + rng.uniform(0, 1)
    ]
    return [body, top, *roots]


def _root(
    rng: np.random.Generator, lattice_LLL: Floats, turn_rad: float, radius: float, height: float
) -> Piece:
    out = np.array([np.cos(turn_rad), np.sin(turn_rad), 0.0])
    reach = np.array([0.6, 1.2, 1.7]) * radius * rng.uniform(0.9, 1.2)
    level = np.array([0.35 * height, 0.1 * height, 0.01])
    line = out * reach[:, None] + level[:, None] * np.array([0.0, 0.0, 1.0])
    root = tube(line, np.array([0.11, 0.075, 0.03]) * height / 0.45, BARK_LIGHT, 7)
    return _streaked(root, lattice_LLL, (12.0, 12.0, 6.0))


def _grooved(bark: Piece, line_N3: NDArray[np.floating], lattice_LLL: Floats, sides: int) -> Piece:
    """Push rings of a tube in and out by noise; both end caps stay."""
    vertices = bark.vertices_V3.copy()
    centre = np.repeat(line_N3, sides, axis=0)
    depth = 1.0 + 0.09 * fractal(lattice_LLL, vertices[:-2], 6.0, 2)
    vertices[:-2] = centre + depth[:, None] * (vertices[:-2] - centre)
    return replace(bark, vertices_V3=vertices.astype(np.float32))


def _streaked(bark: Piece, lattice_LLL: Floats, frequency_3: Sequence[float]) -> Piece:
    """Light and dark streaks; a low frequency along an axis makes them long that way."""
    grain = fractal(lattice_LLL, bark.vertices_V3 * np.asarray(frequency_3), 1.0, 2)
    share = np.clip(0.5 + 1.3 * grain, 0.0, 1.0)[:, None]
    colours = share * np.float32(BARK_LIGHT) + (1 - share) * np.float32(BARK_DARK)
    return replace(bark, colours_V3=colours.astype(np.float32))


def _mossy(bark: Piece, lattice_LLL: Floats, top_m: float) -> Piece:
    """Patches of moss on the upper half."""
    points = bark.vertices_V3
    patch = fractal(lattice_LLL, points + np.float32([3.1, 0.7, 9.2]), 1.8, 2)
    upper = points[:, 2] / top_m
    moss = np.clip(3.0 * (upper - 0.85) + 3.5 * patch, 0.0, 1.0) * np.clip(6 * upper - 3, 0.0, 1.0)
    colours = bark.colours_V3 + 0.9 * moss[:, None] * (np.float32(MOSS) - bark.colours_V3)
    return replace(bark, colours_V3=colours.astype(np.float32))


def _rings(count: int) -> NDArray[np.float32]:
    """Colours of year rings from the centre outwards; the last is bark."""
    colours: list[Sequence[float]] = [HEART if ring % 2 == 0 else RING for ring in range(count)]
    colours[-1] = BARK_DARK
    return np.float32(colours)
