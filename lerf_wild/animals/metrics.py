"""Errors of animals in the picture and in space, and how sure a mean of them is.

Symbols: B animals, P keypoints in the picture, N points of a body (joints or vertices). ``valid``
says which points count; without it all do. Errors in space are 1000 x model units, which the
literature calls millimetres. Each function gives one value an animal, NaN for one without a valid
point, so that means and their intervals are taken in one place (`interval`).

Two families of figures are in use and must not be compared: Animal3D's and GenZoo's call a keypoint
right within half of the head-to-tail length (`head_tail_px`), AniMer's within 0.1 or 0.15 of the
root of the silhouette's area (`area_px`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import roma
import torch
from torch import Tensor

from lerf_wild.errors import InputError

MILLI = 1000.0
TAIL_BASE, NOSE = 7, 24
"""Places of the ends of the head-to-tail length among the 26 keypoints."""
BOOTSTRAP_DRAWS = 1000


class Interval(NamedTuple):
    """A mean and the bounds within which it lies, by resampling animals."""

    mean: float
    low: float
    high: float


def scale_aligned(found_BN3: Tensor, true_BN3: Tensor, valid_BN: Tensor | None = None) -> Tensor:
    """Points (B, N, 3) moved and scaled, but not turned, onto the true ones in least squares."""
    weight = _weights(found_BN3, valid_BN)
    found, true, centre = _centred(found_BN3, true_BN3, weight)
    size = _total(weight * found.square())
    scale = (_total(weight * found * true) / size.clamp_min(_tiny(size))).clamp_min(0.0)
    return scale * found + centre


def similarity_aligned(
    found_BN3: Tensor, true_BN3: Tensor, valid_BN: Tensor | None = None
) -> Tensor:
    """Points (B, N, 3) moved, turned and scaled onto the true ones (Umeyama, PAMI 1991).

    The rotation is proper: a mirrored animal stays wrong.
    """
    weight = _weights(found_BN3, valid_BN)
    found, true, centre = _centred(found_BN3, true_BN3, weight)
    turn = roma.special_procrustes((weight * true).transpose(-1, -2) @ found)
    turned = found @ turn.transpose(-1, -2)
    size = _total(weight * found.square())
    scale = (_total(weight * turned * true) / size.clamp_min(_tiny(size))).clamp_min(0.0)
    return scale * turned + centre


def mean_distance(found_BNC: Tensor, true_BNC: Tensor, valid_BN: Tensor | None = None) -> Tensor:
    """Mean distance (B,) over an animal's valid points, in the units of the points."""
    weight = _weights(found_BNC, valid_BN)[..., 0]
    far = (found_BNC - true_BNC).norm(dim=-1)
    return (weight * far).sum(-1) / weight.sum(-1)


def scaled_error(found_BN3: Tensor, true_BN3: Tensor, valid_BN: Tensor | None = None) -> Tensor:
    """S-MPJPE (B,) of joints, S-V2V of vertices: after `scale_aligned`, 1000 x model units."""
    return MILLI * mean_distance(scale_aligned(found_BN3, true_BN3, valid_BN), true_BN3, valid_BN)


def procrustes_error(found_BN3: Tensor, true_BN3: Tensor, valid_BN: Tensor | None = None) -> Tensor:
    """PA-MPJPE (B,) of joints, PA-V2V of vertices: after `similarity_aligned`, 1000 x units."""
    aligned = similarity_aligned(found_BN3, true_BN3, valid_BN)
    return MILLI * mean_distance(aligned, true_BN3, valid_BN)


def keypoints_right(
    found_BP2: Tensor,
    true_BP2: Tensor,
    size_B: Tensor,
    threshold: float,
    valid_BP: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """How many keypoints (B,) lie within ``threshold`` x size of the truth, and of how many (B,).

    An animal whose size isn't known (NaN or 0) counts for none. PCK is the one sum over the other.
    """
    counted = _weights(found_BP2, valid_BP)[..., 0].bool() & (size_B > 0)[:, None]
    far = (found_BP2 - true_BP2).norm(dim=-1)
    # A distance that isn't finite compares as false, which is what a lost keypoint deserves.
    right = counted & (far <= threshold * size_B[:, None])
    return right.sum(-1), counted.sum(-1)


def pck(
    found_BP2: Tensor,
    true_BP2: Tensor,
    size_B: Tensor,
    threshold: float,
    valid_BP: Tensor | None = None,
) -> float:
    """Share of all valid keypoints within ``threshold`` x size of the truth, 0-1."""
    right, counted = keypoints_right(found_BP2, true_BP2, size_B, threshold, valid_BP)
    return float(right.sum() / counted.sum())


def pck_area(
    found_BP2: Tensor,
    true_BP2: Tensor,
    size_B: Tensor,
    valid_BP: Tensor | None = None,
    steps: int = 100,
) -> float:
    """Area under PCK over thresholds from 0 to 1, as AniMer reports it, 0-1."""
    thresholds = torch.linspace(0.0, 1.0, steps).tolist()
    return float(np.mean([pck(found_BP2, true_BP2, size_B, t, valid_BP) for t in thresholds]))


def head_tail_px(keypoints_BP2: Tensor, valid_BP: Tensor | None = None) -> Tensor:
    """Distance (B,) from nose to tail base in the picture, NaN where either isn't known."""
    length = (keypoints_BP2[:, NOSE] - keypoints_BP2[:, TAIL_BASE]).norm(dim=-1)
    if valid_BP is None:
        return length
    return torch.where(valid_BP[:, NOSE] & valid_BP[:, TAIL_BASE], length, torch.nan)


def area_px(masks_BHW: Tensor) -> Tensor:
    """Root (B,) of the area of silhouettes, pixels."""
    return masks_BHW.bool().flatten(1).sum(-1).double().sqrt()


def box_px(points_BN2: Tensor, valid_BN: Tensor | None = None) -> Tensor:
    """Longer side (B,) of the box around points in the picture."""
    missing = torch.zeros_like(points_BN2[..., 0]).bool() if valid_BN is None else ~valid_BN
    low = points_BN2.masked_fill(missing[..., None], torch.inf).amin(1)
    high = points_BN2.masked_fill(missing[..., None], -torch.inf).amax(1)
    return (high - low).amax(-1)


def interval(
    values_B: Tensor,
    counts_B: Tensor | None = None,
    confidence: float = 0.95,
    draws: int = BOOTSTRAP_DRAWS,
    seed: int = 0,
) -> Interval:
    """Mean and percentile bootstrap interval (Efron, 1979) over animals; NaN values are left out.

    Args:
        values_B: One error an animal; or, with ``counts_B``, one sum an animal.
        counts_B: What the sums are taken over, such as keypoints; the mean is sum over count.
        confidence: Share of resampled means between the bounds.
        draws: Resampled sets.
        seed: What decides them.

    Raises:
        InputError: no animal has a value.
    """
    sums = values_B.detach().cpu().double().numpy()
    counts = np.ones_like(sums) if counts_B is None else counts_B.cpu().double().numpy()
    keep = np.isfinite(sums) & (counts > 0)
    sums, counts = sums[keep], counts[keep]
    if len(sums) == 0:
        raise InputError("No animal could be measured; give truth with at least one valid point.")
    rng, means = np.random.default_rng(seed), np.empty(draws)
    for draw in range(draws):
        chosen = rng.integers(0, len(sums), len(sums))
        means[draw] = sums[chosen].sum() / counts[chosen].sum()
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(means, [tail, 100.0 - tail])
    return Interval(float(sums.sum() / counts.sum()), float(low), float(high))


def _weights(points_BNC: Tensor, valid_BN: Tensor | None) -> Tensor:
    if valid_BN is None:
        return torch.ones_like(points_BNC[..., :1])
    return valid_BN[..., None].to(points_BNC)


def _centred(found: Tensor, true: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    total = weight.sum(-2, keepdim=True)
    middle = (weight * found).sum(-2, keepdim=True) / total
    centre = (weight * true).sum(-2, keepdim=True) / total
    return found - middle, true - centre, centre


def _total(values: Tensor) -> Tensor:
    return values.sum((-2, -1), keepdim=True)


def _tiny(values: Tensor) -> float:
    return torch.finfo(values.dtype).tiny
