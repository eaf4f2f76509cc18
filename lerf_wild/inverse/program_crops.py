"""What each object looks like: a small picture of its box, read by wild-clip's first stages.

The embedding is a point on a sphere near other views of the same asset; templates of a library are
embedded by the same network, so a new asset needs no training.

Symbols: B pictures, K boxes a picture, N boxes in all, F features, A length of an embedding.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align

from lerf_wild.inverse.program_detector import Trunk

CROP = 64
CONTEXT = 1.25
"""Side of a crop as a multiple of the longer side of its box."""
FEATURES = 256
EMBEDDING = 128
GEOMETRY = 9
YAW_BINS = 16
LEAST_CHANCE = 1e-3
"""No direction is less likely."""
SHARPNESS = 16.0
"""Scale of cosines before the softmax over training assets."""


class Looks(NamedTuple):
    """What the crops show."""

    features_NF: Tensor
    embedding_NA: Tensor
    """Unit vectors."""
    yaw_NQ: Tensor
    """Logits of the sixteen directions in which the nose may point."""


class CropNetwork(nn.Module):
    """Features and embeddings of crops of 64 x 64 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.squeeze = nn.Conv2d(512, 128, 1)
        self.features = nn.Linear(128 * (CROP // 16) ** 2, FEATURES)
        self.embedding = nn.Linear(FEATURES, EMBEDDING)
        self.yaw = nn.Linear(FEATURES, YAW_BINS)

    def forward(self, crops_N3SS: Float[Tensor, "N 3 S S"]) -> Looks:
        """Reads crops in 0-1."""
        x = functional.relu(self.squeeze(self.trunk(crops_N3SS)[-1])).flatten(1)
        features = functional.relu(self.features(x))
        embedding = functional.normalize(self.embedding(features), dim=-1)
        return Looks(features, embedding, self.yaw(features))


def square_boxes(boxes_N4: Float[Tensor, "N 4"], context: float = CONTEXT) -> Tensor:
    """Squares around boxes, (N, 4) in pixels; they may reach over the border of the picture."""
    centre = (boxes_N4[:, :2] + boxes_N4[:, 2:]) / 2
    half = context * (boxes_N4[:, 2:] - boxes_N4[:, :2]).amax(dim=1, keepdim=True).clamp(min=4) / 2
    return torch.cat([centre - half, centre + half], dim=1)


def cut_crops(rgb_B3HW: Tensor, picture_N: Tensor, boxes_N4: Tensor) -> Tensor:
    """Crops (N, 3, 64, 64) of pictures in 0-1; outside of a picture its border goes on."""
    margin = rgb_B3HW.shape[-1] // 2
    padded = functional.pad(rgb_B3HW, (margin,) * 4, mode="replicate")
    squares = square_boxes(boxes_N4) + margin
    rows = torch.cat([picture_N[:, None].to(squares), squares], dim=1)
    return roi_align(padded, rows, (CROP, CROP), sampling_ratio=2, aligned=True)


def yaw_bin(yaw_N: Tensor) -> Tensor:
    """The bin (N,) of an angle in radians; bin 0 is centred on 0."""
    return (yaw_N * YAW_BINS / (2 * torch.pi)).round().long() % YAW_BINS


class Sides(NamedTuple):
    """What tells from which side objects are seen."""

    facing_NY: Tensor
    """Log chances that noses point in equally spaced directions."""
    features_NF: Tensor
    """Of crops; unit vectors."""
    mirrored_NF: Tensor
    """Of their mirror images."""


@torch.no_grad()
def seen_sides(network: CropNetwork, crops_N3SS: Tensor, yaws: int) -> Sides:
    """What crops (0-1) and their mirror images say of the side that is seen."""
    if len(crops_N3SS) == 0:
        return Sides(torch.zeros(0, yaws), torch.zeros(0, FEATURES), torch.zeros(0, FEATURES))
    both = network(torch.cat([crops_N3SS, crops_N3SS.flip(-1)]))
    features = functional.normalize(both.features_NF, dim=-1)
    return Sides(facing(both.yaw_NQ, yaws), *features.chunk(2))


def facing(both_NQ: Tensor, yaws: int) -> Tensor:
    """Log chances (N, yaws) of equally spaced directions, by the logits (2 N, Q) of crops and,
    after all of these, of their mirror images."""
    own, other = both_NQ.softmax(dim=-1).chunk(2)
    # A mirrored nose that points to bin k points to the bin as far on the other side of up.
    chance_NQ = (own + other[:, (YAW_BINS // 2 - torch.arange(YAW_BINS)) % YAW_BINS]) / 2
    place_Y = torch.arange(yaws) * YAW_BINS / yaws
    low_Y = place_Y.long()
    log_NQ = (chance_NQ + LEAST_CHANCE).log()
    return torch.lerp(log_NQ[:, low_Y], log_NQ[:, (low_Y + 1) % YAW_BINS], place_Y - low_Y)


def box_geometry(boxes_N4: Tensor, horizon_N: Tensor, focal_N: Tensor, side: int) -> Tensor:
    """Nine numbers (N, 9) of a box: centre, log sizes, distance of its foot under the horizon as
    logarithm of a tangent, and how near it comes to each border."""
    low, high = boxes_N4[:, :2], boxes_N4[:, 2:]
    size = (high - low).clamp(min=1.0)
    under = log_drop(high[:, 1], horizon_N, focal_N)
    touches = torch.cat([(low < 1.5).float(), (high > side - 1.5).float()], dim=1)
    centre = (low + high) / side - 1.0
    return torch.cat([centre, (size / side).log(), under[:, None], touches], dim=1)


def log_drop(rows_N: Tensor, horizon_N: Tensor, focal_N: Tensor) -> Tensor:
    """log((row - horizon) / focal): minus log of distance over camera height on flat ground."""
    return ((rows_N - horizon_N).clamp(min=3.0) / focal_N).log()


def prototype_loss(embedding_NA: Tensor, asset_N: Tensor, prototypes_MA: Tensor) -> Tensor:
    """Cross entropy of the right training asset by cosine; rows with asset -1 don't count."""
    unit = functional.normalize(prototypes_MA, dim=-1)
    logits = SHARPNESS * embedding_NA @ unit.T
    return mean_entropy(logits, asset_N)


def mean_entropy(logits_NC: Tensor, goal_N: Tensor) -> Tensor:
    """Mean cross entropy of the rows whose goal isn't -1; 0 where there are none."""
    total = functional.cross_entropy(logits_NC, goal_N, ignore_index=-1, reduction="sum")
    return total / (goal_N >= 0).sum().clamp(min=1)
