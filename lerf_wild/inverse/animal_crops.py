"""Square crops of pictures of animals, and parameters as they are seen in them.

Symbols: B crops, J joints (35), c a crop's middle and h half of its side in picture coordinates
(-1 to 1, x right, y down), k = 1 / tan(half of the picture's field of view), kappa = k / h the same
of a crop. ``turn`` carries a crop's own camera axes, which look at its middle and are rolled with
it, to the picture's. Camera axes: x right, y down, z forward; model units.

A crop is treated as the picture of a camera that looks at its middle, so that the same animal
looks, and is described, the same wherever in the picture it stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Crops:
    """Where crops lie in their pictures."""

    middle_B2: Tensor
    half_B: Tensor
    roll_B: Tensor
    """Radians, from x towards y."""

    def rows(self, index: Tensor | slice) -> Crops:
        """Some of the crops."""
        return Crops(self.middle_B2[index], self.half_B[index], self.roll_B[index])

    def to(self, device: torch.device | str) -> Crops:
        """The same on a device."""
        return Crops(*(part.to(device) for part in (self.middle_B2, self.half_B, self.roll_B)))


def box_crops(low_B2: Tensor, high_B2: Tensor, margin: float = 1.2) -> Crops:
    """Squares around boxes, ``margin`` times their longer side."""
    half = 0.5 * margin * (high_B2 - low_B2).amax(-1).clamp_min(1e-3)
    return Crops(0.5 * (low_B2 + high_B2), half, torch.zeros_like(half))


def cut_crops(pictures_B3HW: Tensor, crops: Crops, size: int) -> Tensor:
    """Crops (B, 3, size, size) of square pictures in 0-1; what lies outside is grey.

    Large crops are averaged, so that small details don't alias.
    """
    steps = (torch.arange(size, device=pictures_B3HW.device) + 0.5) * (2.0 / size) - 1.0
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    grid = from_crop(torch.stack([x, y], -1).view(1, -1, 2), crops)
    reach = float(crops.half_B.max()) * pictures_B3HW.shape[-1] / size
    while reach > 1.6 and pictures_B3HW.shape[-1] >= 2 * size:
        pictures_B3HW = functional.avg_pool2d(pictures_B3HW, 2)
        reach /= 2.0
    shown = functional.grid_sample(
        pictures_B3HW - 0.5,
        grid.view(len(crops.half_B), size, size, 2).to(pictures_B3HW.dtype),
        align_corners=False,
    )
    return shown + 0.5


def to_crop(spots_BN2: Tensor, crops: Crops) -> Tensor:
    """Places in pictures as places in crops, -1 to 1."""
    offset = (spots_BN2 - crops.middle_B2[:, None]) / crops.half_B[:, None, None]
    return offset @ _plane_turn(crops.roll_B)


def from_crop(spots_BN2: Tensor, crops: Crops) -> Tensor:
    """Places in crops as places in pictures."""
    turned = spots_BN2 @ _plane_turn(crops.roll_B).transpose(1, 2)
    return crops.middle_B2[:, None] + crops.half_B[:, None, None] * turned


def crop_turns(crops: Crops, k_B: Tensor) -> Tensor:
    """Rotations (B, 3, 3) from crops' own camera axes to their pictures'."""
    ray = torch.cat([crops.middle_B2 / k_B[:, None], torch.ones_like(k_B)[:, None]], -1)
    forward = functional.normalize(ray, dim=-1)
    down = torch.zeros_like(forward)
    down[:, 1] = 1.0
    right = functional.normalize(torch.linalg.cross(down, forward, dim=-1), dim=-1)
    down = torch.linalg.cross(forward, right, dim=-1)
    facing = torch.stack([right, down, forward], -1)
    roll = torch.eye(3, device=k_B.device, dtype=k_B.dtype).repeat(len(k_B), 1, 1)
    roll[:, :2, :2] = _plane_turn(crops.roll_B)
    return facing @ roll


def _plane_turn(roll_B: Tensor) -> Tensor:
    """Rotations (B, 2, 2) from crops' axes to those of the pictures."""
    cosine, sine = roll_B.cos(), roll_B.sin()
    return torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2)
