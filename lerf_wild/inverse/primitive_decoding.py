"""From the network's fields to objects with rotations, confidences and expected errors.

Symbols: B images, Q predictions per image.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from lerf_wild.inverse import symmetry
from lerf_wild.inverse.primitive_network import PrimitiveNetwork
from lerf_wild.render.primitive_scenes import (
    ABSENT,
    CONE,
    CUBE,
    KINDS,
    SPHERE,
    PrimitiveScenes,
    concatenate,
)

PRESENT = 0.5
"""Confidence from which a prediction counts as an object."""


@dataclass(frozen=True)
class Predictions:
    """What is believed about B images; slots are ordered by falling confidence."""

    scenes: PrimitiveScenes
    """Objects; kind -1 where the confidence is below PRESENT."""
    confidence_BQ: Tensor
    """Probability that the object exists, 0-1."""
    kind_probability_BQN: Tensor
    """Probability of each kind, given that the object exists."""
    rotations_BQN33: Tensor
    """The rotation that each kind would have."""
    expected_error_BQ4: Tensor
    """Expected absolute errors of x, y, z (world units) and of the squared rotation target."""

    def __getitem__(self, index: Any) -> Predictions:
        return Predictions(*(getattr(self, entry.name)[index] for entry in fields(self)))


@torch.no_grad()
def predict(
    network: PrimitiveNetwork, images_BHW: Tensor, batch_size: int = 128, max_objects: int = 3
) -> Predictions:
    """Runs the network over images [B, 64, 64] and decodes what it says."""
    device = next(network.parameters()).device
    parts = [
        decode(network(batch.to(device))[0], max_objects) for batch in images_BHW.split(batch_size)
    ]
    return join(parts)


def decode(queries: dict[str, Tensor], max_objects: int) -> Predictions:
    """Objects from the fields of the queries; the most confident `max_objects` may be present."""
    values = {name: value.detach().float().cpu() for name, value in queries.items()}
    order = values["presence"].argsort(dim=1, descending=True)
    rows = torch.arange(order.shape[0])[:, None]
    values = {name: value[rows, order] for name, value in values.items()}
    confidence = values["presence"].sigmoid()
    present = (confidence >= PRESENT) & (torch.arange(order.shape[1]) < max_objects)
    probability = values["kind"].softmax(-1)
    kinds = probability.argmax(-1)
    rotations = rotations_by_kind(values)
    chosen = rotations.gather(2, kinds[..., None, None, None].expand(-1, -1, 1, 3, 3)).squeeze(2)
    positions = torch.cat([values["lateral"], values["depth"][..., None]], -1)
    scenes = PrimitiveScenes(torch.where(present, kinds, ABSENT), positions, chosen)
    return Predictions(scenes, confidence, probability, rotations, values["log_scale"].exp())


def rotations_by_kind(values: dict[str, Tensor]) -> Tensor:
    """Rotations that fit the symmetric targets, for each kind, shape [B, Q, N, 3, 3]."""
    line = symmetry.axis_to_rotation(symmetry.decode_line(values["line"]))
    cube = symmetry.decode_cube(values["cube"])
    arrow = symmetry.axis_to_rotation(values["arrow"])
    still = torch.eye(3).expand_as(line)
    by_kind = {SPHERE: still, CUBE: cube, CONE: arrow}
    return torch.stack([by_kind.get(kind, line) for kind in range(len(KINDS))], 2)


def join(parts: list[Predictions]) -> Predictions:
    """Predictions of several batches as one."""
    return Predictions(
        concatenate([part.scenes for part in parts]),
        *(
            torch.cat([getattr(part, entry.name) for part in parts])
            for entry in fields(Predictions)[1:]
        ),
    )
