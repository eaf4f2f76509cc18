"""Smooth random fields over space, from a periodic lattice of random values.

Symbols: N points, L lattice cells per side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
LATTICE = 16


def make_lattice(rng: np.random.Generator) -> Floats:
    """Random values in [-1, 1] on a periodic L x L x L lattice."""
    return rng.uniform(-1.0, 1.0, (LATTICE, LATTICE, LATTICE)).astype(np.float32)


def value_noise(lattice_LLL: Floats, points_N3: NDArray[np.floating]) -> Floats:
    """Noise in [-1, 1] of period L: the eight corners of each cell, weighted by smoothstep."""
    cell = np.floor(points_N3)
    fraction = (points_N3 - cell).astype(np.float32)
    weight = fraction * fraction * (3.0 - 2.0 * fraction)
    low = cell.astype(np.int64) % LATTICE
    high = (low + 1) % LATTICE
    total = np.zeros(len(points_N3), np.float32)
    for corner in range(8):
        bits = [(corner >> axis) & 1 for axis in range(3)]
        index = [high[:, axis] if bits[axis] else low[:, axis] for axis in range(3)]
        share = [weight[:, axis] if bits[axis] else 1.0 - weight[:, axis] for axis in range(3)]
        total += share[0] * share[1] * share[2] * lattice_LLL[index[0], index[1], index[2]]
    return total


def fractal(
    lattice_LLL: Floats, points_N3: NDArray[np.floating], frequency: float, octaves: int = 3
) -> Floats:
    """Sum of octaves of value noise, each half as strong and twice as fine; in about [-1, 1]."""
    total = np.zeros(len(points_N3), np.float32)
    weight = 1.0
    for octave in range(octaves):
        shifted = points_N3 * (frequency * 2.0**octave) + 5.3 * octave
        total += weight * value_noise(lattice_LLL, shifted)
        weight *= 0.5
    return total / (2.0 - 2.0 * weight)
