"""From the network's fields to objects with rotations, confidences and expected errors.

Symbols: B images, Q predictions per image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lerf_wild.inverse import symmetry
from lerf_wild.inverse.primitive_network import PrimitiveNetwork
from lerf_wild.render.primitive_scenes import ABSENT, CONE, CUBE, KINDS, PrimitiveScenes, reorder

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
    expected_error_BQ4: Tensor
    """Expected absolute errors of x, y, z (world units) and of the squared rotation target."""

    def __getitem__(self, index: slice | Tensor) -> Predictions:
        return Predictions(
            self.scenes[index],
            self.confidence_BQ[index],
            self.kind_probability_BQN[index],
            self.expected_error_BQ4[index],
        )


@torch.inference_mode()
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
    fields = {name: value.detach().float().cpu() for name, value in queries.items()}
    confidence = fields["presence"].sigmoid()
    order = confidence.argsort(dim=1, descending=True)
    probability = fields["kind"].softmax(-1)
    kinds = probability.argmax(-1)
    rank = order.argsort(dim=1)
    present = (confidence >= PRESENT) & (rank < max_objects)
    positions = torch.cat([fields["lateral"], fields["depth"][..., None]], -1)
    scenes = PrimitiveScenes(
        torch.where(present, kinds, ABSENT), positions, decode_rotations(kinds, fields)
    )
    rows = torch.arange(len(scenes))[:, None]
    return Predictions(
        reorder(scenes, order),
        confidence[rows, order],
        probability[rows, order],
        fields["log_scale"].exp()[rows, order],
    )


def decode_rotations(kinds_BQ: Tensor, fields: dict[str, Tensor]) -> Tensor:
    """Rotation matrices that fit the symmetric targets of each kind, shape [B, Q, 3, 3]."""
    rotations = torch.eye(3).expand(*kinds_BQ.shape, 3, 3).clone()
    is_cube, is_cone = kinds_BQ == CUBE, kinds_BQ == CONE
    is_line = torch.isin(kinds_BQ, torch.tensor(symmetry.LINE_KINDS))
    rotations[is_cube] = symmetry.decode_cube(fields["cube"][is_cube])
    lines = symmetry.decode_line(fields["line"][is_line])
    rotations[is_line] = symmetry.axis_to_rotation(lines)
    rotations[is_cone] = symmetry.axis_to_rotation(fields["arrow"][is_cone])
    return rotations


def join(parts: list[Predictions]) -> Predictions:
    """Predictions of several batches as one; an empty list gives no images."""
    if not parts:
        return Predictions(
            PrimitiveScenes(
                torch.zeros(0, 0).long(), torch.zeros(0, 0, 3), torch.zeros(0, 0, 3, 3)
            ),
            torch.zeros(0, 0),
            torch.zeros(0, 0, len(KINDS)),
            torch.zeros(0, 0, 4),
        )
    scenes = PrimitiveScenes(
        *(
            torch.cat([getattr(part.scenes, name) for part in parts])
            for name in ("kinds_BK", "positions_BK3", "rotations_BK33")
        )
    )
    return Predictions(
        scenes,
        torch.cat([part.confidence_BQ for part in parts]),
        torch.cat([part.kind_probability_BQN for part in parts]),
        torch.cat([part.expected_error_BQ4 for part in parts]),
    )
