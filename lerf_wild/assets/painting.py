"""Another coat for a finished asset: its pattern of light and dark stays, its colour changes.

Symbols: V vertices; colours are sRGB, 0-255.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lerf_wild.assets.mesh import Asset
from lerf_wild.assets.noise import fractal, make_lattice


@dataclass(frozen=True)
class Coat:
    """A colour that replaces the colours of an asset."""

    colour: tuple[int, int, int]
    where: str = "all"
    """all; leaves: what is greener than red and blue; up: what looks up."""
    contrast: float = 1.0
    """Power on the pattern; below 1 it gets flatter."""
    strength: float = 1.0
    """Share of the new colour."""


def painted(asset: Asset, coat: Coat) -> Asset:
    """The asset in another coat: each vertex gets the coat's colour times its old brightness,
    relative to the median brightness of what is painted."""
    old = asset.colours_V3.astype(np.float32)
    share = coat.strength * _mask(asset, coat.where)
    if not share.any():
        return asset
    bright = old @ np.float32([0.3, 0.59, 0.11]) + 1.0
    pattern = (bright / np.median(bright[share > 0.5 * share.max()])) ** coat.contrast
    new = pattern[:, None] * np.float32(coat.colour)
    colours = old + share[:, None] * (new - old)
    return replace(asset, colours_V3=np.clip(colours + 0.5, 0, 255).astype(np.uint8))


def striped(
    asset: Asset, colour: tuple[int, int, int], rng: np.random.Generator, count: float = 13.0
) -> Asset:
    """The asset with ragged dark stripes round its length; ``count`` fit between nose and tail."""
    points = asset.vertices_V3 / np.ptp(asset.vertices_V3[:, 0])
    lattice = make_lattice(rng)
    wobble = 0.5 * fractal(lattice, points, 5.0, 2) + 0.6 * points[:, 2]
    wave = np.cos(2 * np.pi * (count * points[:, 0] + wobble))
    gaps = 0.25 + 0.9 * np.maximum(fractal(lattice, points, 9.0, 2), 0.0)
    share = 0.92 * np.clip((wave - gaps) / 0.25, 0.0, 1.0)[:, None]
    colours = asset.colours_V3 + share * (np.float32(colour) - asset.colours_V3)
    return replace(asset, colours_V3=np.clip(colours + 0.5, 0, 255).astype(np.uint8))


def _mask(asset: Asset, where: str) -> NDArray[np.float32]:
    colours = asset.colours_V3.astype(np.float32)
    if where == "leaves":
        green = colours[:, 1] - 1.04 * np.maximum(colours[:, 0], colours[:, 2])
        return np.clip(green / 6.0, 0.0, 1.0)
    if where == "up":
        return np.clip((_slope(asset) - 0.15) / 0.35, 0.0, 1.0)
    return np.ones(len(colours), np.float32)


def _slope(asset: Asset) -> NDArray[np.float32]:
    """How much each vertex looks up or, for leaves, lies flat: 0 to 1."""
    corners = asset.vertices_V3[asset.faces_F3].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros(len(asset.vertices_V3))
    size = np.zeros(len(asset.vertices_V3))
    area = np.linalg.norm(cross, axis=1)
    for corner in range(3):
        total += np.bincount(asset.faces_F3[:, corner], np.abs(cross[:, 2]), len(total))
        size += np.bincount(asset.faces_F3[:, corner], area, len(total))
    return (total / np.maximum(size, 1e-12)).astype(np.float32)
