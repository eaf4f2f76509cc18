"""Fitting maps to edges, against a loop over pixels and on a picture with one edge."""

from __future__ import annotations

import numpy as np
from skimage.color import rgb2lab

from lerf_wild.language import edges


def slow_fit(maps, rgb, stride):
    lab = rgb2lab(rgb)
    height, width = rgb.shape[:2]
    sigma = edges.REACH * height
    out = np.zeros_like(maps)
    for y in range(height):
        for x in range(width):
            total = 0.0
            for i in range(-edges.STEPS, edges.STEPS + 1):
                for j in range(-edges.STEPS, edges.STEPS + 1):
                    row = min(max(y + i * stride, 0), height - 1)
                    column = min(max(x + j * stride, 0), width - 1)
                    unlike = np.square(lab[row, column] - lab[y, x]).sum()
                    far = (i * i + j * j) * stride**2 / sigma**2
                    weight = np.exp(-unlike / (2 * edges.COLOUR_SIGMA**2) - far / 2)
                    total += weight
                    out[y, x] += weight * maps[row, column]
            out[y, x] /= total
    return out


def test_fit_equals_the_loop():
    rng = np.random.default_rng(0)
    rgb = (rng.integers(0, 3, (14, 11, 3)) * 20 + 90).astype(np.uint8)
    maps = rng.random((14, 11, 2)).astype(np.float32)
    np.testing.assert_allclose(edges.fit_to_edges(maps, rgb), slow_fit(maps, rgb, 1), atol=1e-5)


def test_blurred_border_moves_to_the_edge():
    rgb = np.full((60, 60, 3), (70, 140, 60), np.uint8)
    rgb[:, 30:] = (190, 90, 40)
    # Relevant from a column on that lies four pixels inside the thing.
    ramp = np.clip((np.arange(60) - 29) / 10, 0, 1).astype(np.float32)
    found = edges.fit_to_edges(np.broadcast_to(ramp[None, :, None], (60, 60, 1)).copy(), rgb)
    assert ramp[31] < 0.25
    assert (np.diff(found[30, :, 0])[29] > 0.2) and found[30, 29, 0] < 0.05


def test_even_maps_stay_as_they_are():
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 255, (20, 30, 3)).astype(np.uint8)
    found = edges.fit_to_edges(np.full((20, 30, 1), 0.7, np.float32), rgb)
    np.testing.assert_allclose(found, 0.7, rtol=1e-5)
