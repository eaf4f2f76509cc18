"""A grower of plain blocks, in the place of the real ones, which take a second an asset."""

from __future__ import annotations

import numpy as np
import pytest

from lerf_wild.assets import catalogue
from lerf_wild.assets.mesh import Asset

CUBE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6]],
    np.int32,
)


@pytest.fixture(scope="session")
def grow_block():
    """Returns a grower of grey blocks that keep the kind and phrases of the catalogue."""

    def grow(name: str, rng: np.random.Generator) -> Asset:
        width, height = rng.uniform(0.3, 0.6), rng.uniform(0.6, 1.5)
        vertices = ((CUBE - [0.5, 0.5, 0]) * [width, width, height]).astype(np.float32)
        entry = catalogue.CATALOGUE[name]
        colours = np.full(vertices.shape, 128, np.uint8)
        return Asset(name, entry.kind, entry.phrases, vertices, FACES, colours, float(height))

    return grow
