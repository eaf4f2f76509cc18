"""Finer maps of points, and corrections of an answer by what they show.

Symbols: B crops, Q points (26 keypoints, then 35 joints), C channels, G side of the grid of
features, F side of a finer one, H width of the perceptron. A state is what the perceptron has in
mind (H), and what is added to the nine numbers of each joint but the root. Places are -1 to 1 in
the crop; camera axes are the crop's own.

An answer is put back into the crop: where its points lie, how far that is from where the maps see
them, and what stands there. From this the next answer is made, as in PyMAF (Zhang et al., ICCV
2021), but what is changed is the state that the whole answer is read from. All is told in the
animal's own axes: which foot is in front then means the same whichever way it faces. A perceptron
that has to find that out from places in the crop gives all animals symmetric legs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lerf_wild.inverse.animal_backbones import Features, Widths, convolution
from lerf_wild.inverse.animal_bodies import POINTS

FINE = 64
CARRIED = 8
"""Channels of the finer grid, and those that are read at each point."""
INNER = 384
NEAR = 0.1
"""Usual size of what a correction is about, model units: by it distances are divided."""


class Evidence(NamedTuple):
    """What a correction looks at."""

    spots_BQ3: Tensor
    """Places and spreads of maps."""
    gathered_BQC: Tensor
    """What stands there."""
    carried_BCFF: Tensor
    points_BQ3: Tensor
    """The answer's points, camera axes, model units."""
    shown_BQ2: Tensor
    """Their places in the crop."""
    heading_B33: Tensor
    """From the animal's own axes to the camera's, according to the answer."""
    size_B: Tensor
    """Crop places over model units at the animal."""

    def own_axes(self) -> Tensor:
        """How far each point is from where its map sees it, and from the points' middle; towards
        the camera: (B, 2 Q + 1, 3), in the animal's own axes."""
        apart = (self.spots_BQ3[..., :2] - self.shown_BQ2) / self.size_B[:, None, None]
        apart = functional.pad(apart, (0, 1)) / NEAR
        middle = self.points_BQ3.mean(1, keepdim=True)
        towards = functional.normalize(middle, dim=-1)
        told = torch.cat([apart.clamp(-9.0, 9.0), self.points_BQ3 - middle, towards], 1)
        return told @ self.heading_B33


class FineMaps(nn.Module):
    """Maps on a grid twice as fine, which begin as the usual ones."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.usual = nn.Conv2d(widths.usual, FINE, 1)
        self.fine = nn.Conv2d(widths.fine, FINE, 1)
        self.joined = nn.Sequential(convolution(FINE, FINE), nn.ReLU())
        self.maps = nn.Conv2d(FINE, POINTS, 1)
        self.carry = nn.Conv2d(FINE, CARRIED, 1)
        nn.init.zeros_(self.maps.weight)
        nn.init.zeros_(self.maps.bias)

    def forward(
        self, features: Features, maps_BQGG: Tensor, dampened: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Logits (B, Q, F, F) and features (B, C, F, F), whose gradient is ``dampened``."""
        side = 2 * maps_BQGG.shape[-1]
        usual, fine, begun = (
            functional.interpolate(part, (side, side), mode="bilinear", align_corners=False)
            for part in (self.usual(features.usual_BCGG), self.fine(features.fine_BCFF), maps_BQGG)
        )
        joined = self.joined(torch.relu(usual + fine))
        return begun + self.maps(joined).float(), self.carry(dampened(joined)).float()


class Correction(nn.Module):
    """Changes the state that an answer is read from; begins by changing nothing."""

    def __init__(self, hidden: int, outputs: int) -> None:
        super().__init__()
        inputs = POINTS * (2 * CARRIED + 7) + 3 + hidden
        self.body = nn.Sequential(
            nn.Linear(inputs, INNER),
            nn.ReLU(),
            nn.Linear(INNER, INNER),
            nn.ReLU(),
            nn.Linear(INNER, outputs),
        )
        nn.init.zeros_(self.body[-1].weight)
        nn.init.zeros_(self.body[-1].bias)

    def forward(self, hidden_BH: Tensor, evidence: Evidence) -> Tensor:
        """The change, of the state's width."""
        there = functional.grid_sample(
            evidence.carried_BCFF,
            evidence.shown_BQ2[:, None],
            align_corners=False,
            padding_mode="border",
        )
        spread = evidence.spots_BQ3[..., 2].clamp_min(1e-6).sqrt() / NEAR
        parts = (evidence.own_axes().flatten(1), evidence.gathered_BQC.flatten(1), spread)
        return self.body(torch.cat([*parts, there[:, :, 0].flatten(1), hidden_BH], -1)).float()


def look(maps_BQGG: Tensor, carried_BCGG: Tensor) -> tuple[Tensor, Tensor]:
    """Place and spread (B, Q, 3) of each map, and what stands there (B, Q, C)."""
    side = maps_BQGG.shape[-1]
    share = maps_BQGG.flatten(2).softmax(-1)
    steps = (torch.arange(side, device=share.device) + 0.5) * (2.0 / side) - 1.0
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    cells = torch.stack([x, y, x.square() + y.square()], -1).flatten(0, 1)
    moments = share @ cells
    place = moments[..., :2]
    spread = (moments[..., 2:] - place.square().sum(-1, keepdim=True)).clamp_min(0.0)
    gathered = share @ carried_BCGG.flatten(2).transpose(1, 2)
    return torch.cat([place, spread], -1), gathered
