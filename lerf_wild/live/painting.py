"""Several phrases in one picture: each place takes the colour of the phrase that fits it best.

P phrases. Pictures are float RGB in 0-1 with any leading dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from lerf_wild.live.colours import Colour
from lerf_wild.live.state import Mode, PanelState

DIMMED = 0.5
"""Brightness of what no phrase is in."""

LEAST_SHARE = 0.45
"""Share of the opacity that a place just above the threshold gets, so that its edge is seen."""

HEAT_RANGE = (0.3, 0.9)
"""Relevancies at the ends of the heat map: fixed, so that a phrase that is not there stays dark."""

LUMA = (0.299, 0.587, 0.114)
"""Rec. 601 weights of red, green and blue in brightness."""


@dataclass(frozen=True)
class Look:
    """How answers are painted; one colour, weight and visibility for each phrase."""

    colours: tuple[Colour, ...]
    weights: tuple[float, ...]
    mode: Mode = "overlay"
    threshold: float = 0.5
    opacity: float = 0.7


def look_of(state: PanelState) -> Look:
    """Returns how a panel's phrases are painted; hidden ones weigh nothing."""
    return Look(
        colours=tuple(phrase.colour for phrase in state.phrases),
        weights=tuple(phrase.weight * phrase.is_visible for phrase in state.phrases),
        mode=state.mode,
        threshold=state.threshold,
        opacity=state.opacity,
    )


def paint(
    rgb: Float[Tensor, "*batch 3"], relevancy: Float[Tensor, "*batch P"], look: Look
) -> Float[Tensor, "*batch 3"]:
    """Returns the picture with its phrases laid over, or as a heat map."""
    if look.mode == "picture" or not any(look.weights):
        return rgb
    weights = relevancy.new_tensor(look.weights)
    best, winner = (relevancy * weights).clamp(max=1).max(dim=-1, keepdim=True)
    if look.mode == "heat map":
        return heat(best[..., 0])
    grey = (rgb * rgb.new_tensor(LUMA)).sum(dim=-1, keepdim=True) * DIMMED
    if look.mode == "points":
        return grey.expand_as(rgb)
    colours = rgb.new_tensor(look.colours) / 255
    rise = ((best - look.threshold) / max(1 - look.threshold, 1e-3)).clamp(0, 1)
    alpha = look.opacity * (LEAST_SHARE + (1 - LEAST_SHARE) * rise)
    inside = alpha * colours[winner[..., 0]] + (1 - alpha) * rgb
    return torch.where(best > look.threshold, inside, grey)


def heat(relevancy: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3"]:
    """Returns relevancies in the colours of `turbo`, over HEAT_RANGE."""
    low, high = HEAT_RANGE
    step = ((relevancy - low) / (high - low)).nan_to_num().clamp(0, 1) * 255
    return _turbo().to(relevancy.device)[step.long()]


@cache
def _turbo() -> Float[Tensor, "256 3"]:
    from matplotlib import colormaps

    return torch.tensor(colormaps["turbo"](range(256))[:, :3], dtype=torch.float32)
