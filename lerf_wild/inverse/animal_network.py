"""The network that sees an animal's shape, pose and camera in a crop.

Symbols: B crops, S side in pixels, C channels, G side of the grid of features, Q points to look for
(26 keypoints and 35 joints), J joints (35), K betas, T width of a state. Places are -1 to 1 in the
crop; camera axes are the crop's own (`lerf_wild.inverse.animal_crops`).

Each point has a map over the grid whose softmax says where it is; what stands there in the features
is what the pose is read from. Rotations leave the network as nine numbers on top of the mean pose
and go to the nearest rotation inside the graph. Finer maps and rounds of correction follow
(`lerf_wild.inverse.animal_corrections`).

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
from lerf_wild.animals.body import BodyModel
from lerf_wild.inverse.animal_backbones import make_backbone
from lerf_wild.inverse.animal_bodies import POINTS, POSE_DIRECTIONS, PointBody, pose_space
from lerf_wild.inverse.animal_corrections import Correction, Evidence, FineMaps, look
from lerf_wild.inverse.orthogonal_steps import is_large

CAMERA = 4
"""Outputs of the camera: place of the root joint (2), log size, log perspective."""
LOCAL = 9 * (schema.JOINT_COUNT - 1)
"""Nine numbers of each joint but the root."""
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
    rounds: int = 2
    """Corrections of the first answer; without any there are no finer maps either."""
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

    def in_crop(self, points_BN3: Tensor) -> Tensor:
        """Places (B, N, 2) of points in the crop's camera axes, within 2."""
        kappa = self.camera_B4[:, 3].exp()[:, None, None]
        shown = kappa * points_BN3[..., :2] / points_BN3[..., 2:].clamp_min(0.05)
        return shown.clamp(-2.0, 2.0)


class AnimalNetwork(nn.Module):
    """Backbone, maps, a perceptron, and rounds of correction."""

    def __init__(self, spec: NetworkSpec, model: BodyModel | None = None) -> None:
        super().__init__()
        self.spec, self.pose_share = spec, POSE_SHARE
        self.backbone = make_backbone(spec.backbone, spec.channels)
        width = self.backbone.widths.usual
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
        self.pose = nn.Linear(POSE_DIRECTIONS, LOCAL)
        self.rest = nn.Linear(spec.hidden, 9 + spec.betas + CAMERA + 1)
        if spec.rounds:
            self.finer = FineMaps(self.backbone.widths)
            self.correction = Correction(spec.hidden, spec.hidden + LOCAL)
            self.points = PointBody(model, spec.betas)
        self._begin(model)

    @torch.no_grad()
    def _begin(self, model: BodyModel | None) -> None:
        nn.init.normal_(self.pose_code.weight, std=0.01)
        nn.init.normal_(self.rest.weight, std=0.01)
        nn.init.zeros_(self.rest.bias)
        # Away from zero, where the nearest rotation has no finite gradient.
        self.rest.bias[:9] = torch.eye(3).flatten()
        if model is not None:
            space = pose_space(model)
            self.pose.weight.copy_(space.directions_PD)
            self.pose.bias.copy_(space.mean_P)

    def forward(self, crops_B3SS: Tensor) -> AnimalOutputs:
        """What crops in 0-1 show."""
        return self.answers(crops_B3SS)[-1]

    def answers(self, crops_B3SS: Tensor) -> list[AnimalOutputs]:
        """The first answer, and what each round of correction makes of it."""
        features = self.backbone((crops_B3SS - 0.45) / 0.25)
        maps = self.maps(features.usual_BCGG).float()
        passed = self._dampened(features.usual_BCGG)
        spots, gathered = look(maps, self.carry(passed).float())
        parts = [self._dampened(spots).flatten(1), self._dampened(gathered).flatten(1)]
        hidden = self.body(torch.cat([*parts, passed.float().mean((2, 3))], -1)).float()
        state = torch.cat([hidden, hidden.new_zeros(len(hidden), LOCAL)], -1)
        found = [self._answer(state, spots, maps)]
        if self.spec.rounds:
            maps, carried = self.finer(features, maps, self._dampened)
            spots, gathered = look(maps, carried)
        for number in range(self.spec.rounds):
            state = state + self._correction(state, found[-1], spots, gathered, carried)
            # All rounds look at the same maps, which are to be learnt once.
            last = number == self.spec.rounds - 1
            found.append(self._answer(state, spots, maps if last else None))
        return found

    def inner_and_outer(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Large matrices inside of the network, and all other parameters: what answers and maps are
        read off by, whose rows are joints and points, and all that is small."""
        inner, outer = [], []
        for name, parameter in self.named_parameters():
            read_off = name.startswith(("pose", "rest", "maps", "carry", "finer.maps"))
            (inner if is_large(parameter) and not read_off else outer).append(parameter)
        return inner, outer

    def _answer(
        self, state_BT: Tensor, spots_BQ3: Tensor, maps_BQGG: Tensor | None
    ) -> AnimalOutputs:
        """Rotations, shape and camera that a state speaks of."""
        hidden, added = state_BT.split([self.spec.hidden, LOCAL], dim=-1)
        local = self.pose(self.pose_code(hidden)).float() + added
        local = local.unflatten(-1, (-1, 3, 3))
        root, betas, camera, presence = (
            self.rest(hidden).float().split([9, self.spec.betas, CAMERA, 1], dim=-1)
        )
        matrices = torch.cat([root.unflatten(-1, (3, 3))[:, None], local], 1)
        rotations = matrices if self.spec.raw_rotations else nearest_rotations(matrices)
        camera = camera + camera.new_tensor([0.0, 0.0, MEAN_SIZE, MEAN_KAPPA])
        return AnimalOutputs(
            rotations, betas, camera, spots_BQ3[..., :2], presence[:, 0], matrices, maps_BQGG
        )

    def _correction(self, state_BT: Tensor, before: AnimalOutputs, *seen: Tensor) -> Tensor:
        """What is wrong with an answer, for which no gradient goes back through the answer."""
        rotations, betas, camera = (part.detach() for part in before[:3])
        before = before._replace(camera_B4=camera)
        points = self.points(betas, rotations, before.root_B3())
        where = points, before.in_crop(points), rotations[:, 0], camera[:, 2].exp()
        evidence = Evidence(*(self._dampened(part) for part in seen), *where)
        return self.correction(state_BT[:, : self.spec.hidden], evidence)

    def _dampened(self, values: Tensor) -> Tensor:
        """The same values, of whose gradient only ``pose_share`` is passed on."""
        if self.pose_share == 1.0:
            return values
        return torch.lerp(values.detach(), values, self.pose_share)


def nearest_rotations(matrices: Tensor) -> Tensor:
    """The rotations (..., 3, 3) nearest to any matrices, in float32 (Levinson et al., 2020).

    A tiny multiple of the identity keeps the gradient of matrices that are nearly zero finite.
    """
    steady = matrices.float() + 1e-4 * torch.eye(3, device=matrices.device)
    return roma.special_procrustes(steady, gradient_eps=1e-5)
