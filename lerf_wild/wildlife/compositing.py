"""Opaque items among the samples of a volume: what hides what, exactly.

Symbols: R rays, S samples of a ray, K hits of a ray (one for each ray through a pixel), C channels;
s, e start and end of a sample, w its rendering weight, T transmittance, tau optical depth.

Within a sample the density is constant, so that tau grows linearly from s to e, and a hit at
distance t leaves of sample i

    w_i(t) = exp(-tau_i) - exp(-(tau_i + dtau_i f_i(t))),   f_i(t) = clamp((t - s_i) / (e_i - s_i)),

with tau_i what lies before it, and lets T(t) = exp(-sum_i dtau_i f_i(t)) of the item's colour
through. Both follow from the rendered weights alone: T after sample i is 1 - (w_1 + ... + w_i).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

MIN_TRANSMITTANCE = 1e-7
"""Smallest that is told from none in single precision."""


class Mixed(NamedTuple):
    """Rays with items among their samples."""

    weights_RS: Float[Tensor, "r s"]
    """Of the samples: what is behind a hit weighs nothing."""
    item_weights_RK: Float[Tensor, "r k"]
    """Of the hits; 0 for one at infinity."""
    behind_R1: Float[Tensor, "r 1"]
    """What passes samples and hits."""


def mixed(
    weights_RS: Float[Tensor, "r s"],
    starts_RS: Float[Tensor, "r s"],
    ends_RS: Float[Tensor, "r s"],
    distance_RK: Float[Tensor, "r k"],
) -> Mixed:
    """Weights of samples and hits; each of a ray's K hits stands for an equal part of its pixel.

    Args:
        weights_RS: Rendering weights without items.
        starts_RS: Where samples start, in order along the ray.
        ends_RS: Where they end, no later than the next one starts.
        distance_RK: Distances of the hits, infinite where there is none.
    """
    after_RS = (1.0 - weights_RS.double().cumsum(dim=1)).clamp(min=MIN_TRANSMITTANCE)
    before_RS = torch.cat([torch.ones_like(after_RS[:, :1]), after_RS[:, :-1]], dim=1)
    depth_RS = (before_RS / after_RS).log().clamp(min=0)
    length_RS1 = (ends_RS - starts_RS).clamp(min=1e-12)[..., None]
    share_RSK = ((distance_RK[:, None] - starts_RS[..., None]) / length_RS1).clamp(0, 1)
    partial_RSK = share_RSK * depth_RS[..., None]
    left_RSK = before_RS[..., None] * -torch.expm1(-partial_RSK)
    through_RK = (-partial_RSK.sum(dim=1)).exp()
    is_hit_RK = distance_RK.isfinite()
    count = distance_RK.shape[1]
    behind_R1 = (through_RK * ~is_hit_RK).sum(dim=1, keepdim=True) / count
    item_RK = through_RK * is_hit_RK / count
    return Mixed(left_RSK.mean(dim=2).float(), item_RK.float(), behind_R1.float())


def median_depth(
    middle_RS: Float[Tensor, "r s"],
    weights_RS: Float[Tensor, "r s"],
    distance_RK: Float[Tensor, "r k"],
    item_weights_RK: Float[Tensor, "r k"],
) -> Float[Tensor, "r 1"]:
    """Distance at which half of the light is stopped; the last sample's where less is."""
    last_R1 = middle_RS[:, -1:]
    safe_RK = torch.where(distance_RK.isfinite(), distance_RK, last_R1)
    places_RN = torch.cat([middle_RS, safe_RK], dim=1)
    weights_RN = torch.cat([weights_RS, item_weights_RK], dim=1)
    places_RN, order_RN = places_RN.sort(dim=1)
    total_RN = weights_RN.gather(1, order_RN).cumsum(dim=1)
    half_R1 = torch.full_like(last_R1, 0.5)
    index_R1 = torch.searchsorted(total_RN.contiguous(), half_R1, side="left")
    return places_RN.gather(1, index_R1.clamp(max=places_RN.shape[1] - 1))


def mean_depth(
    middle_RS: Float[Tensor, "r s"],
    weights_RS: Float[Tensor, "r s"],
    distance_RK: Float[Tensor, "r k"],
    item_weights_RK: Float[Tensor, "r k"],
) -> Float[Tensor, "r 1"]:
    """Mean distance at which light is stopped."""
    safe_RK = torch.where(distance_RK.isfinite(), distance_RK, torch.zeros_like(distance_RK))
    moment_R = (middle_RS * weights_RS).sum(dim=1) + (safe_RK * item_weights_RK).sum(dim=1)
    total_R = weights_RS.sum(dim=1) + item_weights_RK.sum(dim=1)
    return (moment_R / (total_R + 1e-10))[:, None]


def mixed_answer(
    field_RP: Float[Tensor, "r p"],
    item_RP: Float[Tensor, "r p"],
    field_weight_R1: Float[Tensor, "r 1"],
    item_weight_R1: Float[Tensor, "r 1"],
) -> Float[Tensor, "r p"]:
    """Relevancy of rays that show field and item: the mean by how much each of them shows."""
    share_R1 = item_weight_R1 / (item_weight_R1 + field_weight_R1).clamp(min=1e-6)
    return torch.lerp(field_RP, item_RP, share_R1.clamp(0, 1))
