"""Figures for a language field: does it find, outline and know what is in a scene.

H, W pixels, K boxes, P phrases. Thresholds come from `thresholds`, none is fitted to what is
measured. The LERF-OVS protocol, which does fit the range of every map, is apart in `lerf_ovs`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from lerf_wild.language.thresholds import BOX_MARGIN_PX, MASK_RELEVANCY


def peak_pixel(relevancy_HW: Float[np.ndarray, "H W"]) -> tuple[int, int]:
    """Returns x and y of the most relevant pixel, the first one in reading order among equals.

    Pixels that are not finite are passed over; (0, 0) if there is no other.
    """
    finite_HW = np.where(np.isfinite(relevancy_HW), relevancy_HW, -np.inf)
    y, x = np.unravel_index(int(np.argmax(finite_HW)), finite_HW.shape)
    return int(x), int(y)


def is_in_boxes(
    x: float, y: float, boxes_K4: Float[np.ndarray, "K 4"], margin_px: float = BOX_MARGIN_PX
) -> bool:
    """Returns whether a pixel lies in any of the boxes, borders and margin included."""
    x0, y0, x1, y1 = np.asarray(boxes_K4, dtype=np.float64).reshape(-1, 4).T
    inside_K = (x >= x0 - margin_px) & (x <= x1 + margin_px)
    inside_K &= (y >= y0 - margin_px) & (y <= y1 + margin_px)
    return bool(inside_K.any())


def localisation_accuracy(
    relevancy_maps: Sequence[Float[np.ndarray, "H W"]],
    boxes: Sequence[Float[np.ndarray, "K 4"]],
    margin_px: float = BOX_MARGIN_PX,
) -> float:
    """Returns the share of maps whose peak lies in a box of the phrase (LERF, table 1).

    `relevancy_maps[i]` and `boxes[i]` belong to one phrase in one view, in the same pixels. NaN
    if there are none.
    """
    hits = [
        is_in_boxes(*peak_pixel(relevancy_HW), boxes_K4, margin_px)
        for relevancy_HW, boxes_K4 in zip(relevancy_maps, boxes, strict=True)
    ]
    return float(np.mean(hits)) if hits else float("nan")


def relevancy_mask(
    relevancy_HW: Float[np.ndarray, "H W"], threshold: float = MASK_RELEVANCY
) -> Bool[np.ndarray, "H W"]:
    """Returns the mask of a phrase in our own protocol: one threshold for everything."""
    return np.asarray(relevancy_HW) > threshold


def iou(mask_HW: Bool[np.ndarray, "H W"], truth_HW: Bool[np.ndarray, "H W"]) -> float:
    """Returns intersection over union of two masks; 1 if both are empty."""
    union = np.logical_or(mask_HW, truth_HW).sum()
    return float(np.logical_and(mask_HW, truth_HW).sum() / union) if union > 0 else 1.0


def miou(
    masks: Sequence[Bool[np.ndarray, "H W"]], truths: Sequence[Bool[np.ndarray, "H W"]]
) -> float:
    """Returns the mean intersection over union over pairs of one phrase in one view."""
    values = [iou(mask_HW, truth_HW) for mask_HW, truth_HW in zip(masks, truths, strict=True)]
    return float(np.mean(values)) if values else float("nan")


def existence_ap(scores_P: Sequence[float], present_P: Sequence[bool]) -> float:
    """Returns the average precision of "this phrase is in the scene".

    AP = sum over thresholds of (recall_n - recall_(n-1)) * precision_n, with phrases of equal score
    entering together, so that their order is of no consequence. NaN without a present phrase.
    """
    scores = np.asarray(scores_P, dtype=np.float64)
    present = np.asarray(present_P, dtype=bool)
    if scores.shape != present.shape:
        raise ValueError(f"{scores.size} scores but {present.size} truths")
    if not present.any():
        return float("nan")
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    scores, present = scores[order], present[order]
    is_last_of_equals = np.append(scores[1:] != scores[:-1], True)
    hits = np.cumsum(present)[is_last_of_equals]
    taken = np.flatnonzero(is_last_of_equals) + 1
    gained = np.diff(hits, prepend=0) / present.sum()
    return float((gained * hits / taken).sum())
