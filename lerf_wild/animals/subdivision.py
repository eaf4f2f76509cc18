"""Loop subdivision of a closed mesh as a sparse matrix: smooth pictures of a coarse skin.

Symbols: V vertices, E edges, F faces. The matrix depends on the faces alone, so that positions of
any pose, and anything else that vertices carry, are refined by one product.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack


class Refinement(NamedTuple):
    """How a mesh is refined once."""

    matrix: csr_matrix
    """(V + E, V) float32; old vertices first, then one a former edge."""
    faces_F3: NDArray[np.int32]
    """Four triangles for each former one."""


def loop_refinement(faces_F3: NDArray[np.integer], vertex_count: int) -> Refinement:
    """Loop's scheme for a closed mesh, with Warren's weights for the old vertices."""
    faces = np.asarray(faces_F3, np.int64)
    starts = faces.ravel()
    ends, opposite = np.roll(faces, -1, axis=1).ravel(), np.roll(faces, -2, axis=1).ravel()
    edges, row = np.unique(np.sort(np.stack([starts, ends], 1), 1), axis=0, return_inverse=True)
    row = row.ravel()
    # Each edge is met twice, once from either face.
    entries = np.concatenate([np.full(2 * len(row), 3 / 16), np.full(len(row), 1 / 8)])
    columns = np.concatenate([starts, ends, opposite])
    middle = csr_matrix((entries, (np.tile(row, 3), columns)), (len(edges), vertex_count))
    degree = np.bincount(edges.ravel(), minlength=vertex_count)
    pull = np.where(degree == 3, 3 / 16, 3 / (8 * np.maximum(degree, 1)))
    both = np.concatenate([edges, edges[:, ::-1]])
    own = np.arange(vertex_count)
    corner = csr_matrix(
        (
            np.concatenate([pull[both[:, 0]], 1.0 - degree * pull]),
            (np.concatenate([both[:, 0], own]), np.concatenate([both[:, 1], own])),
        ),
        (vertex_count, vertex_count),
    )
    a, b, c = faces.T
    ab, bc, ca = (vertex_count + row.reshape(-1, 3)).T
    quads = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    refined = np.stack([np.stack(triple, axis=1) for triple in quads], axis=1).reshape(-1, 3)
    matrix = vstack([corner, middle]).tocsr().astype(np.float32)
    return Refinement(matrix, refined.astype(np.int32))
