"""How high the camera is: such that things have the sizes that their assets have by nature.

A picture shows heights as multiples of the camera's height over the ground. Which asset a thing is
tells its metres, within a tenth; a few things together tell the camera's height, and that in turn
which assets a thing can be: a shrub as high as a tree is a tree.

Symbols: N objects of a picture, M assets, G camera heights. Lengths are metres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lerf_wild.program.frames import to_level

LOWEST_M, HIGHEST_M, COUNT = 1.0, 2.3, 66
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
TRUST = 0.5
"""Share of an asset's natural height in the height of an object; the rest is as it was seen."""
LEAST_DROP_M = 0.3
FACTORS = (0.4, 2.5)
"""By what factors objects are brought to one ground."""
FARTHEST_OFF = 0.25
"""Heights farther from the natural one than this (logarithm) stay as they were seen."""


def camera_height(unit_N: Tensor, scores_NM: Tensor, natural_M: Tensor) -> float:
    """The camera's height at which objects have natural heights.

    Args:
        unit_N: Logarithms of heights as multiples of the camera's; NaN where that can't be told.
        scores_NM: How much each object looks like each asset.
        natural_M: Natural heights of the assets.
    """
    grid_G = torch.linspace(LOWEST_M, HIGHEST_M, COUNT).log()
    share_NM = torch.softmax(SHARPNESS * scores_NM, dim=1)
    off_NMG = natural_M.log()[None, :, None] - unit_N[:, None, None] - grid_G
    like_NG = (share_NM[:, :, None] * torch.exp(-0.5 * (off_NMG / SIZE_SPREAD) ** 2)).sum(dim=1)
    chance_G = -0.5 * ((grid_G - math.log(USUAL_M)) / USUAL_SPREAD) ** 2
    chance_G = chance_G + (DOUBT + like_NG.nan_to_num(0.0)).log().sum(dim=0)
    return float((torch.softmax(chance_G, dim=0) * grid_G).sum().exp())


def sized(scores_NM: Tensor, unit_N: Tensor, natural_M: Tensor, camera_m: float) -> Tensor:
    """Scores (N, M) that count whether an asset is of the size that is seen."""
    off_NM = natural_M.log() - unit_N[:, None] - math.log(camera_m)
    likelihood = (-0.5 * (off_NM / SIZE_SPREAD) ** 2).clamp(min=ODDEST)
    return scores_NM + SIZE_WEIGHT * likelihood.nan_to_num(ODDEST)


@dataclass(frozen=True)
class Stood:
    """Objects as they were read, each on a ground of its own."""

    loc_N3: Tensor
    """Feet in camera axes."""
    unit_N: Tensor
    """Logarithms of heights as multiples of the camera's over the object's foot; NaN where the
    foot is not clearly below the camera."""
    drop_N: Tensor
    """The camera's height over each foot."""
    height_N: Tensor

    @classmethod
    def of(cls, loc_N3: Tensor, height_N: Tensor, pitch_deg: float) -> Stood:
        """Objects with feet in camera axes and heights, seen at a pitch."""
        level_N3 = torch.from_numpy(to_level(loc_N3.double().numpy(), pitch_deg))
        drop_N = -level_N3[:, 2].float()
        unit = (height_N / drop_N.clamp(min=LEAST_DROP_M)).log()
        return cls(loc_N3, unit.where(drop_N > LEAST_DROP_M, torch.nan), drop_N, height_N)

    def on_ground(self, camera_m: float, natural_N: Tensor) -> tuple[Tensor, Tensor]:
        """Feet (N, 3) on one ground below the camera and heights (N,) between those that are seen
        and the natural ones; what can't be told stays as it was."""
        seen = self.unit_N + math.log(camera_m)
        off = natural_N.log() - seen
        height = torch.where(off.abs() < FARTHEST_OFF, seen + TRUST * off, seen).exp()
        factor = (camera_m / self.drop_N).clamp(*FACTORS)
        known = self.unit_N.isfinite()
        loc = torch.where(known[:, None], factor[:, None] * self.loc_N3, self.loc_N3)
        return loc, torch.where(known, height, self.height_N)
