"""Fitting relevancy maps to the edges of the picture they belong to.

Symbols: H, W pixels, P phrases.

A relevancy map is as coarse as the tiles that the field learnt from, at best a twentieth of the
image height; the picture rendered with it is sharper. A joint bilateral filter (Eisemann and
Durand, 2004; Petschnigg et al., 2004) averages the map over near pixels of like colour, which moves
its borders onto those of things. Peaks get lower, so places are looked for in the map itself, and
only masks are cut from the fitted one.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from skimage.color import rgb2lab

COLOUR_SIGMA = 5.0
"""In units of CIELAB, of which an eye just tells one or two apart."""
REACH = 0.046
"""Standard deviation of the distance, in image heights: about the smallest tile."""
STEPS = 5
"""Neighbours looked at on each side of a pixel, out to 1.6 standard deviations."""


def fit_to_edges(
    maps_HWP: Float[np.ndarray, "H W P"], rgb_HW3: UInt8[np.ndarray, "H W 3"]
) -> Float[np.ndarray, "H W P"]:
    """Averages maps over near pixels of like colour; values stay within those of the map."""
    height, width = rgb_HW3.shape[:2]
    sigma_px = REACH * height
    stride = max(1, round(1.6 * sigma_px / STEPS))
    pad = stride * STEPS
    lab = rgb2lab(rgb_HW3).astype(np.float32) / (np.sqrt(2.0) * COLOUR_SIGMA)
    around = ((pad, pad), (pad, pad), (0, 0))
    wide_lab, wide_maps = np.pad(lab, around, "edge"), np.pad(maps_HWP, around, "edge")
    total = np.zeros((height, width, 1), np.float32)
    mixed = np.zeros(maps_HWP.shape, np.float32)
    for down in range(-pad, pad + 1, stride):
        for right in range(-pad, pad + 1, stride):
            rows = slice(pad + down, pad + down + height)
            columns = slice(pad + right, pad + right + width)
            unlike = np.square(wide_lab[rows, columns] - lab).sum(axis=-1, keepdims=True)
            far = (down**2 + right**2) / (2 * sigma_px**2)
            weight = np.exp(-unlike - np.float32(far))
            total += weight
            mixed += weight * wide_maps[rows, columns]
    return mixed / total
