"""How high the camera is: such that things have the sizes that their assets have by nature.

A picture shows heights as multiples of the camera's height over the ground. Which asset a thing is
tells its metres, within a tenth; a few things together tell the camera's height, and that in turn
which assets a thing can be: a shrub as high as a tree is a tree.

The pattern of a known ground tells it better still (`ground_registration`), but may be mistaken
for another; what stands on it has a say in that.

Symbols: N objects of a picture, M assets, G camera heights. Lengths are metres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lerf_wild.inverse.ground_registration import HIGHEST_M, LOWEST_M, GroundFit
from lerf_wild.program.frames import to_level

COUNT = 400
"""Camera heights that are weighed."""
USUAL_M, USUAL_SPREAD = 1.58, 0.15
"""Camera heights that are believed in, and by what factor they vary (standard deviation of the
logarithm): those of a person."""
SIZE_SPREAD = 0.08
"""Standard deviation of the logarithm of an asset's height in a scene, and of how it is read."""
DOUBT = 0.15
"""What one object counts at least, whatever its size, as its asset may be none of the library."""
SHARPNESS = 10.0
"""Scale of the scores before the softmax over assets."""
SIZE_WEIGHT = 0.05
"""Weight of the log likelihood of an asset's size beside its scores."""
ODDEST = -6.0
"""Least log likelihood, for things that are no more natural when they are larger still."""
NATURAL_SPREAD, SEEN_SPREAD = 0.06, 0.05
"""Standard deviations of logarithms of heights: of individuals around their asset's, and of what is
read as multiples of the camera's."""
GROUND_SPREAD = 0.008
"""By what factor the height over a recognised ground is off (standard deviation of the
logarithm)."""
LEAST_DROP_M = 0.3
FACTORS = (0.4, 2.5)
"""By what factors objects are brought to one ground."""
FARTHEST_OFF = 0.25
"""Heights farther from the natural one than this (logarithm) stay as they were seen."""


class Belief(NamedTuple):
    """The camera's height: its median in metres, and the standard deviation of its logarithm."""

    camera_m: float
    spread: float

    @property
    def trust(self) -> float:
        """Share of an asset's natural height in the height of an object that was seen from here."""
        seen = self.spread**2 + SEEN_SPREAD**2
        return seen / (seen + NATURAL_SPREAD**2)


def camera_height(
    unit_N: Tensor, scores_NM: Tensor, natural_M: Tensor, over: GroundFit | None = None
) -> Belief:
    """The camera's height at which objects have natural heights.

    Args:
        unit_N: Logarithms of heights as multiples of the camera's; NaN where that can't be told.
        scores_NM: How much each object looks like each asset.
        natural_M: Natural heights of the assets.
        over: How the ground lies, where it is a known one.
    """
    grid_G = torch.linspace(math.log(LOWEST_M), math.log(HIGHEST_M), COUNT)
    share_NM = torch.softmax(SHARPNESS * scores_NM, dim=1)
    off_NMG = natural_M.log()[None, :, None] - unit_N[:, None, None] - grid_G
    like_NG = (share_NM[:, :, None] * torch.exp(-0.5 * (off_NMG / SIZE_SPREAD) ** 2)).sum(dim=1)
    chance_G = _density(grid_G, USUAL_M, USUAL_SPREAD)
    if over is not None:
        sharp_G = _density(grid_G, over.camera_height_m, GROUND_SPREAD)
        chance_G = torch.lerp(chance_G, sharp_G, over.chance)
    log_G = chance_G.log() + (DOUBT + like_NG.nan_to_num(0.0)).log().sum(dim=0)
    weight_G = torch.softmax(log_G, dim=0)
    middle = float((weight_G * grid_G).sum())
    spread = math.sqrt(float((weight_G * (grid_G - middle) ** 2).sum()))
    return Belief(math.exp(middle), spread)


def _density(log_G: Tensor, middle_m: float, spread: float) -> Tensor:
    """Chances of logarithms of heights around one, by a normal law."""
    return torch.exp(-0.5 * ((log_G - math.log(middle_m)) / spread) ** 2) / spread


def sized(scores_NM: Tensor, unit_N: Tensor, natural_M: Tensor, camera_m: float) -> Tensor:
    """Scores (N, M) that count whether an asset is of the size that is seen."""
    off_NM = natural_M.log() - unit_N[:, None] - math.log(camera_m)
    likelihood = (-0.5 * (off_NM / SIZE_SPREAD) ** 2).clamp(min=ODDEST)
    return scores_NM + SIZE_WEIGHT * likelihood.nan_to_num(ODDEST)


@dataclass(frozen=True)
class Stood:
    """Objects as they were read, each on a ground of its own."""

    level_N3: Tensor
    """Feet in the level frame."""
    unit_N: Tensor
    """Logarithms of heights as multiples of the camera's over the object's foot; NaN where the
    foot is not clearly below the camera."""
    height_N: Tensor

    @classmethod
    def of(cls, loc_N3: Tensor, height_N: Tensor, pitch_deg: float) -> Stood:
        """Objects with feet in camera axes and heights, seen at a pitch."""
        level_N3 = torch.from_numpy(to_level(loc_N3.double().numpy(), pitch_deg)).float()
        drop_N = -level_N3[:, 2]
        unit = (height_N / drop_N.clamp(min=LEAST_DROP_M)).log()
        return cls(level_N3, unit.where(drop_N > LEAST_DROP_M, torch.nan), height_N)

    def on_ground(self, belief: Belief, natural_N: Tensor) -> tuple[Tensor, Tensor]:
        """Feet (N, 3) in the level frame on one ground below the camera, and heights (N,) between
        those that are seen and the natural ones; what can't be told stays as it was."""
        seen = self.unit_N + math.log(belief.camera_m)
        off = natural_N.log() - seen
        height = torch.where(off.abs() < FARTHEST_OFF, seen + belief.trust * off, seen).exp()
        factor = (belief.camera_m / -self.level_N3[:, 2]).clamp(*FACTORS)
        known = self.unit_N.isfinite()
        feet = torch.where(known[:, None], factor[:, None] * self.level_N3, self.level_N3)
        return feet, torch.where(known, height, self.height_N)
