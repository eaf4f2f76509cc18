"""Laying a relevancy map over a picture."""

from __future__ import annotations

import torch
from jaxtyping import Float
from nerfstudio.utils.colormaps import ColormapOptions, apply_colormap
from torch import Tensor

THRESHOLD = 0.5
"""Relevancy above which a phrase beats every canonical phrase."""

OPACITY = 0.6
DIMMED = 0.45

LUMA = (0.299, 0.587, 0.114)
"""Rec. 601 weights of red, green and blue in brightness."""


def composite(
    rgb: Float[Tensor, "*batch 3"], relevancy: Float[Tensor, "*batch 1"]
) -> Float[Tensor, "*batch 3"]:
    """Colours what a phrase is in, by its relevancy; the rest turns grey and dark."""
    strength = ((relevancy - THRESHOLD) / (1 - THRESHOLD)).clamp(0, 1)
    colours = apply_colormap(strength, ColormapOptions(colormap="turbo"))
    grey = (rgb * rgb.new_tensor(LUMA)).sum(dim=-1, keepdim=True).expand_as(rgb)
    inside = OPACITY * colours.to(rgb) + (1 - OPACITY) * rgb
    return torch.where(relevancy > THRESHOLD, inside, DIMMED * grey)
