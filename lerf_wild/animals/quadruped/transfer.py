"""Carries the template's vertices over to the skin of another anatomy.

Symbols: V vertices, P parts. Each vertex remembers where it lies on each nearby part (how far
along, how far out in units of the part's radius); the same place on the other anatomy's parts,
weighted and then moved onto its skin, is where the vertex goes. That keeps an eye an eye and a hoof
a hoof.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lerf_wild.animals.quadruped.half_mesh import projected
from lerf_wild.animals.quadruped.parts import Part, part_coordinates

Floats = NDArray[np.float64]
SOFTNESS = 0.02
"""Distance in trunk lengths over which a vertex passes from one part to the next."""

EDGE_SIZES: dict[str, float] = {
    **{"trunk": 1.15, "shoulder": 1.0, "thigh": 1.0, "neck": 0.9, "head": 0.5, "snout": 0.5},
    **{"nose": 0.33, "jaw": 0.5, "eye": 0.22, "ear": 0.45, "tail": 0.55, "foot": 0.5},
    **{"front upper": 0.85, "hind upper": 0.9, "front lower": 0.65, "hind lower": 0.7},
    **{"front cannon": 0.5, "hind cannon": 0.5},
}
"""Relative length of edges on each region of the skin."""


def part_weights(parts: Sequence[Part], points_V3: Floats, softness: float = SOFTNESS) -> Floats:
    """How much each point belongs to each part, rows of (V, P) sum to 1."""
    distance = np.stack([part_coordinates(part, points_V3)[2] for part in parts], axis=1)
    weight = np.exp(-(distance - distance.min(axis=1, keepdims=True)) / softness)
    return weight / weight.sum(axis=1, keepdims=True)


def edge_size(parts: Sequence[Part], points_V3: Floats) -> Floats:
    """Wanted edge length at each point, (V,), up to a common factor."""
    sizes = np.array([EDGE_SIZES[part.region] for part in parts])
    return np.exp(part_weights(parts, points_V3) @ np.log(sizes))


def carried(source: Sequence[Part], target: Sequence[Part], points_V3: Floats) -> Floats:
    """Points on the skin of ``source`` carried to that of ``target``, part by part in order."""
    weight = part_weights(source, points_V3)
    total = np.zeros_like(points_V3)
    for column, (old, new) in enumerate(zip(source, target)):
        rows = np.flatnonzero(weight[:, column] > 1e-4)
        total[rows] += weight[rows, column, None] * _on_part(old, new, points_V3[rows])
    kept = [weight[:, c] > 1e-4 for c in range(len(source))]
    total /= np.sum(weight * np.stack(kept, 1), axis=1, keepdims=True)
    return projected(target, total, steps=3)


def _on_part(old: Part, new: Part, points: Floats) -> Floats:
    share, radial, _ = part_coordinates(old, points)
    frames = [_frame(part) for part in (old, new)]
    local = radial @ frames[0]
    beyond = local[:, 0]
    radius = [
        part.radius_start + share * (part.radius_end - part.radius_start) for part in (old, new)
    ]
    ratio = (radius[1] / radius[0])[:, None]
    stretch = np.array([1.0, new.side_scale / old.side_scale, 1.0])
    local = np.column_stack([beyond, local[:, 1:]]) * ratio * stretch
    return new.start + share[:, None] * new.axis + local @ frames[1].T


def _frame(part: Part) -> Floats:
    """Columns: along the part, across its side, and the third."""
    along = part.axis / max(np.linalg.norm(part.axis), 1e-12)
    side = part.side - along * (part.side @ along)
    side /= max(np.linalg.norm(side), 1e-12)
    return np.column_stack([along, side, np.cross(along, side)])
