"""The one mesh type of the asset library, and pure functions that move and recolour it.

Symbols: V vertices, F faces. Asset frame: metres, z up, +x is where the nose points, the footprint
is centred on the origin and the lowest vertex lies at z = 0. Colours are sRGB albedo, 0-255.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerf_wild.errors import AssetError

Floats = NDArray[np.float32]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Piece:
    """A part of an asset before it is finished; colours are floats in 0-255."""

    vertices_V3: Floats
    faces_F3: NDArray[np.int32]
    colours_V3: Floats


@dataclass(frozen=True)
class Asset:
    """A finished mesh in the asset frame with the phrases that a person would use for it."""

    name: str
    kind: str
    """One of animal, bird, tree, shrub, plant, rock, log."""
    phrases: tuple[str, ...]
    """What it may be called, most specific first."""
    vertices_V3: Floats
    faces_F3: NDArray[np.int32]
    colours_V3: NDArray[np.uint8]
    height_m: float
    provenance: Mapping[str, Any] = field(default_factory=dict)


def join(pieces: Sequence[Piece]) -> Piece:
    """Concatenate pieces into one."""
    starts = np.cumsum([0] + [len(piece.vertices_V3) for piece in pieces[:-1]])
    return Piece(
        np.concatenate([p.vertices_V3 for p in pieces]).astype(np.float32),
        np.concatenate([p.faces_F3 + s for p, s in zip(pieces, starts, strict=True)]).astype(
            np.int32
        ),
        np.concatenate([p.colours_V3 for p in pieces]).astype(np.float32),
    )


def normalise(piece: Piece) -> Piece:
    """Drop zero-area faces and unused vertices, centre the footprint and stand it on z = 0."""
    faces = piece.faces_F3[_has_area(piece.vertices_V3, piece.faces_F3)]
    used, inverse = np.unique(faces, return_inverse=True)
    vertices = piece.vertices_V3[used].astype(np.float64)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    vertices -= [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]]
    return Piece(
        vertices.astype(np.float32),
        inverse.reshape(-1, 3).astype(np.int32),
        piece.colours_V3[used].astype(np.float32),
    )


def finish(
    pieces: Sequence[Piece],
    name: str,
    kind: str,
    phrases: tuple[str, ...],
    provenance: Mapping[str, Any],
) -> Asset:
    """Join and normalise pieces (metres) into an Asset.

    Raises:
        AssetError: when a vertex is not finite or no face has area.
    """
    piece = join(pieces)
    if not np.isfinite(piece.vertices_V3).all():
        raise AssetError(
            f"Asset {name!r} has vertices that are not finite; grow it with another seed."
        )
    if not _has_area(piece.vertices_V3, piece.faces_F3).any():
        raise AssetError(f"Asset {name!r} has no faces with area; grow it with another seed.")
    piece = normalise(piece)
    colours = np.clip(piece.colours_V3 + 0.5, 0, 255).astype(np.uint8)
    height = float(piece.vertices_V3[:, 2].max())
    return Asset(
        name, kind, phrases, piece.vertices_V3, piece.faces_F3, colours, height, provenance
    )


def scaled(asset: Asset, height_m: float) -> Asset:
    """The same asset, uniformly scaled to a height in metres.

    Raises:
        AssetError: when it has none of its own.
    """
    if asset.height_m <= 0.0:
        raise AssetError("is flat, with no height to scale; name its upright axis with --up.")
    factor = height_m / asset.height_m
    vertices = (asset.vertices_V3 * factor).astype(np.float32)
    return replace(asset, vertices_V3=vertices, height_m=float(height_m))


def recoloured(asset: Asset, gain_3: Sequence[float]) -> Asset:
    """The same asset with its sRGB colours multiplied by a gain per channel."""
    colours = asset.colours_V3.astype(np.float32) * np.asarray(gain_3, np.float32)
    return replace(asset, colours_V3=np.clip(colours + 0.5, 0, 255).astype(np.uint8))


def moved(
    piece: Piece, rotation_33: NDArray[np.floating], shift_3: Sequence[float] = (0, 0, 0)
) -> Piece:
    """Rotate a piece about the origin, then shift it."""
    vertices = piece.vertices_V3 @ np.asarray(rotation_33).T + np.asarray(shift_3)
    return replace(piece, vertices_V3=vertices.astype(np.float32))


def _has_area(vertices_V3: Floats, faces_F3: NDArray[np.int32]) -> NDArray[np.bool_]:
    corners = vertices_V3[faces_F3].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.linalg.norm(cross, axis=1) > 1e-12
