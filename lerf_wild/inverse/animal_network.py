"""The network that sees an animal's shape, pose and camera in a crop.

Symbols: B crops, S side in pixels, C channels, G side of the grid of features, Q points to look for
(26 keypoints and 35 joints), J joints (35), K betas. Places are -1 to 1 in the crop; camera axes
are the crop's own (`lerf_wild.inverse.animal_crops`).

Each point has a map over the grid whose softmax says where it is; what stands there in the features
is what the pose is read from. Rotations leave the network as nine numbers on top of the mean pose
and go to the nearest rotation inside the graph.

While nobody knows yet which way an animal faces, the pose's losses are noise that is many times
louder than what the maps have to learn, so that little of their gradient reaches the features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import roma
import torch
from torch import Tensor, nn

from lerf_wild.animals import schema
from lerf_wild.inverse.animal_backbones import make_backbone
from lerf_wild.inverse.animal_bodies import POSE_DIRECTIONS, PoseSpace

POINTS = len(schema.KEYPOINT_NAMES) + schema.JOINT_COUNT
CAMERA = 4
"""Outputs of the camera: place of the root joint (2), log size, log perspective."""
POSE_SHARE = 0.05
"""Share of the pose's gradient that goes on to features and maps. With all of it neither maps nor
pose are learnt at all."""
MEAN_SIZE, MEAN_KAPPA = -0.3, 1.3
"""Usual logs of size (kappa over distance) and of kappa, from which outputs are counted."""


@dataclass(frozen=True)
class NetworkSpec:
    """What a network is made of."""

    input_px: int = 96
    backbone: str = "small"
    """"small", or a ViTPose checkpoint's name or folder for transformers."""
    channels: int = 128
    carried: int = 20
    """Channels that each point takes along from where it is."""
    hidden: int = 512
    betas: int = 41
    raw_rotations: bool = False
    """Leaves the nine numbers as they are, as the released GenZoo does; for comparison."""


class AnimalOutputs(NamedTuple):
    """What the network says of B crops."""

    rotations_BJ33: Tensor
    """The root's in the crop's camera axes."""
    betas_BK: Tensor
    camera_B4: Tensor
    """Root joint's place in the crop, log size, log kappa."""
    points_BQ2: Tensor
    """Where keypoints, then joints are."""
    presence_B: Tensor
    """Logits of there being an animal."""
    matrices_BJ33: Tensor | None = None
    """The nine numbers that each rotation is the nearest to."""
    maps_BQGG: Tensor | None = None
    """Logits of where points are; the middles of the cells divide -1 to 1 evenly."""

    def root_B3(self) -> Tensor:
        """The root joint in the crop's camera axes, model units."""
        kappa, size = self.camera_B4[:, 3].exp(), self.camera_B4[:, 2].exp()
        distance = kappa / size
        lateral = self.camera_B4[:, :2] * (distance / kappa)[:, None]
        return torch.cat([lateral, distance[:, None]], -1)


class AnimalNetwork(nn.Module):
    """Backbone, maps, and a perceptron."""

    def __init__(self, spec: NetworkSpec, space: PoseSpace | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.backbone, width = make_backbone(spec.backbone, spec.channels)
        self.maps = nn.Conv2d(width, POINTS, 1)
        self.carry = nn.Conv2d(width, spec.carried, 1)
        inputs = POINTS * (spec.carried + 3) + width
        self.body = nn.Sequential(
            nn.Linear(inputs, spec.hidden),
            nn.ReLU(),
            nn.Linear(spec.hidden, spec.hidden),
            nn.ReLU(),
        )
        self.pose_code = nn.Linear(spec.hidden, POSE_DIRECTIONS)
        self.pose = nn.Linear(POSE_DIRECTIONS, 9 * (schema.JOINT_COUNT - 1))
        self.rest = nn.Linear(spec.hidden, 9 + spec.betas + CAMERA + 1)
        nn.init.normal_(self.pose_code.weight, std=0.01)
        nn.init.normal_(self.rest.weight, std=0.01)
        nn.init.zeros_(self.rest.bias)
        with torch.no_grad():
            # Away from zero, where the nearest rotation has no finite gradient.
            self.rest.bias[:9] = torch.eye(3).flatten()
        if space is not None:
            with torch.no_grad():
                self.pose.weight.copy_(space.directions_PD)
                self.pose.bias.copy_(space.mean_P)

    def forward(self, crops_B3SS: Tensor) -> AnimalOutputs:
        """What crops in 0-1 show."""
        features = self.backbone((crops_B3SS - 0.45) / 0.25)
        maps = self.maps(features).float()
        passed = _dampened(features)
        spots, gathered = self._look(maps, self.carry(passed).float())
        seen = [_dampened(spots).flatten(1), _dampened(gathered).flatten(1)]
        hidden = self.body(torch.cat([*seen, passed.float().mean((2, 3))], -1))
        local = self.pose(self.pose_code(hidden)).unflatten(-1, (-1, 3, 3))
        root, betas, camera, presence = self.rest(hidden).split(
            [9, self.spec.betas, CAMERA, 1], dim=-1
        )
        root = root.unflatten(-1, (3, 3))[:, None]
        matrices = torch.cat([root, local], 1)
        rotations = matrices if self.spec.raw_rotations else nearest_rotations(matrices)
        camera = camera + camera.new_tensor([0.0, 0.0, MEAN_SIZE, MEAN_KAPPA])
        return AnimalOutputs(
            rotations, betas, camera, spots[..., :2], presence[:, 0], matrices, maps
        )

    def _look(self, maps_BQGG: Tensor, carried_BCGG: Tensor) -> tuple[Tensor, Tensor]:
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


def _dampened(values: Tensor) -> Tensor:
    """The same values, of whose gradient only `POSE_SHARE` is passed on."""
    return torch.lerp(values.detach(), values, POSE_SHARE)


def nearest_rotations(matrices: Tensor) -> Tensor:
    """The rotations (..., 3, 3) nearest to any matrices, in float32 (Levinson et al., 2020).

    A tiny multiple of the identity keeps the gradient of matrices that are nearly zero finite.
    """
    steady = matrices.float() + 1e-4 * torch.eye(3, device=matrices.device)
    return roma.special_procrustes(steady, gradient_eps=1e-5)
