"""The LERF-OVS evaluation as the LangSplat paper's authors run it, in our own words.

Figures of this protocol can only be compared with each other. A map is blurred, and stretched
so that its own minimum and maximum become -1 and 1 before a fixed threshold applies, so something
is always found; and of several levels the one with the highest score is taken.

L levels (for us one map), H, W pixels.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from lerf_wild.language.metrics import is_in_boxes
from lerf_wild.language.thresholds import OVS_FILTER_PX, OVS_MAJORITY_PX, OVS_MASK


def box_filter(map_HW: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Returns the mean over 30 x 30 pixels, the picture continued by reflection.

    An even window has no centre pixel: it spans 15 pixels before and 14 after.
    """
    return ndimage.uniform_filter(np.asarray(map_HW, np.float64), OVS_FILTER_PX, mode="mirror")


def ovs_is_hit(
    relevancy_LHW: Float[np.ndarray, "L H W"], boxes_K4: Float[np.ndarray, "K 4"]
) -> bool:
    """Returns whether a peak of the blurred map of the best level lies in a box.

    Several pixels may share the peak; one of them inside a box is enough.
    """
    blurred = [box_filter(map_HW) for map_HW in relevancy_LHW]
    best_HW = max(blurred, key=lambda map_HW: map_HW.max())
    peaks = np.argwhere(best_HW == best_HW.max())
    return any(is_in_boxes(x, y, boxes_K4, margin_px=0.0) for y, x in peaks)


def ovs_mask(relevancy_LHW: Float[np.ndarray, "L H W"]) -> Bool[np.ndarray, "H W"]:
    """Returns the mask of the level whose half-blurred map has the highest peak."""
    softened = [0.5 * (box_filter(map_HW) + map_HW) for map_HW in relevancy_LHW]
    best_HW = max(softened, key=lambda map_HW: map_HW.max())
    spread_HW = best_HW - best_HW.min()
    unit_HW = spread_HW / (spread_HW.max() + 1e-9)
    return majority(np.clip(2 * unit_HW - 1, 0, 1) > OVS_MASK)


def majority(mask_HW: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Replaces every pixel by the majority of the 7 x 7 around it, a tie counting as outside.

    Windows are cut off at the border and, as in the original, leave out the last row and column.
    """
    reach = OVS_MAJORITY_PX // 2
    height, width = mask_HW.shape
    table = np.zeros((height + 1, width + 1), dtype=np.int64)
    table[1:, 1:] = np.cumsum(np.cumsum(mask_HW, axis=0), axis=1)
    y0, y1 = _window(height, reach)
    x0, x1 = _window(width, reach)
    inside = table[y1][:, x1] - table[y0][:, x1] - table[y1][:, x0] + table[y0][:, x0]
    return 2 * inside > (y1 - y0)[:, None] * (x1 - x0)


def _window(length: int, reach: int) -> tuple[np.ndarray, np.ndarray]:
    at = np.arange(length)
    return np.maximum(at - reach, 0), np.minimum(at + reach + 1, length - 1)
