"""The reference's own network as a baseline: a perceptron with one slot per rank in x.

64x64 images averaged 2x2, two hidden layers of 128, ten outputs a slot: presence, three kinds,
x y z, three Euler angles. Trained for 80 epochs on 2,400 scenes with Adam and decoupled weight
decay, keeping the best epoch on 600 held-out scenes. Initial weights, split and order of the
scenes are drawn with numpy from the same seeds as the reference's, so that the trajectory is
the same up to rounding.

Symbols: B scenes, K = 3 slots, H = 128 hidden units.
"""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lerf_wild.render.primitive_scenes import (
    ABSENT,
    SPHERE,
    PrimitiveScenes,
    euler_to_rotation,
)

HIDDEN = 128
SLOTS = 3
OUTPUTS = 10
VALIDATION_SHARE = 0.2
LOSS_WEIGHTS = (2.0, 2.0, 1.0, 0.3)
"""Presence, kind, position, Euler angles."""


class ReferenceMlp(nn.Module):
    """Image -> outputs [B, K, 10]."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        sizes = (32 * 32, HIDDEN, HIDDEN, SLOTS * OUTPUTS)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        for layer in self.layers:
            drawn = rng.standard_normal((layer.in_features, layer.out_features))
            weight = drawn.astype(np.float32) * math.sqrt(2.0 / layer.in_features)
            layer.weight.data = torch.from_numpy(np.ascontiguousarray(weight.T)).float()
            nn.init.zeros_(layer.bias)

    def forward(self, images_BHW: Tensor) -> Tensor:
        """Returns presence, kinds, position and angles of each slot."""
        hidden = F.avg_pool2d(images_BHW[:, None], 2).flatten(1)
        for layer in self.layers[:-1]:
            hidden = torch.relu(layer(hidden))
        return self.layers[-1](hidden).view(-1, SLOTS, OUTPUTS)


def mlp_losses(outputs: Tensor, scenes: PrimitiveScenes, angles_BK3: Tensor) -> Tensor:
    """The reference's loss; angles of spheres don't count."""
    present = scenes.kinds_BK >= 0
    turned = present & (scenes.kinds_BK != SPHERE)
    presence = F.binary_cross_entropy_with_logits(outputs[..., 0], present.float())
    kind = F.cross_entropy(outputs[..., 1:4][present], scenes.kinds_BK[present])
    position = F.mse_loss(outputs[..., 4:7][present], scenes.positions_BK3[present])
    angle = F.mse_loss(outputs[..., 7:][turned], angles_BK3[turned]) if turned.any() else 0.0
    parts = (presence, kind, position, angle)
    return sum(weight * part for weight, part in zip(LOSS_WEIGHTS, parts))  # type: ignore[return-value]


def train_mlp(
    images_BHW: Tensor,
    scenes: PrimitiveScenes,
    angles_BK3: Tensor,
    seed: int = 0,
    epochs: int = 80,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-3,
) -> tuple[ReferenceMlp, list[float]]:
    """Trains as the reference does; returns the best network and the validation losses.

    Args:
        images_BHW: images in 0-1.
        scenes: their objects, sorted by x.
        angles_BK3: Euler angles that the objects were drawn with.
        seed: of initial weights, split and order.
        epochs: passes over the training part.
        batch_size: scenes a step.
        learning_rate: of Adam.
        weight_decay: decoupled, on matrices only.
    """
    model = ReferenceMlp(seed)
    rng = np.random.default_rng(seed + 9_999)
    order = torch.from_numpy(rng.permutation(len(scenes)))
    held_out = int(len(scenes) * VALIDATION_SHARE)
    validation, training = order[:held_out], order[held_out:]
    groups = [
        {"params": [layer.weight for layer in model.layers], "weight_decay": weight_decay},
        {"params": [layer.bias for layer in model.layers], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=learning_rate)
    best, best_state, losses = math.inf, copy.deepcopy(model.state_dict()), []
    for _ in range(epochs):
        shuffled = training[torch.from_numpy(rng.permutation(len(training)))]
        for rows in shuffled.split(batch_size):
            loss = mlp_losses(model(images_BHW[rows]), scenes[rows], angles_BK3[rows])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            held = (scenes[validation], angles_BK3[validation])
            losses.append(float(mlp_losses(model(images_BHW[validation]), *held)))
        if losses[-1] < best:
            best, best_state = losses[-1], copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    return model, losses


@torch.no_grad()
def mlp_metrics(
    model: ReferenceMlp, images_BHW: Tensor, scenes: PrimitiveScenes, angles_BK3: Tensor
) -> dict[str, float]:
    """The reference's figures: slot by slot, whether or not the slot is predicted present."""
    outputs = model(images_BHW)
    present = scenes.kinds_BK >= 0
    said = outputs[..., 0] >= 0
    error = (outputs[..., 4:7] - scenes.positions_BK3).abs()[present].mean(0)
    difference = (outputs[..., 7:] - angles_BK3).abs()
    angle = torch.minimum(difference, torch.pi - difference)[present].mean(0)
    same = outputs[..., 1:4].argmax(-1) == scenes.kinds_BK
    return {
        "count_exact": float((said.sum(1) == present.sum(1)).double().mean()),
        "presence_accuracy": float((said == present).double().mean()),
        "type_accuracy": float(same[present].double().mean()),
        **{f"{axis}_mae": float(error[i]) for i, axis in enumerate("xyz")},
        **{f"rotation_{axis}_rad": float(angle[i]) for i, axis in enumerate("zyx")},
    }


@torch.no_grad()
def mlp_scenes(model: ReferenceMlp, images_BHW: Tensor) -> PrimitiveScenes:
    """The perceptron's answer as scenes, for the set metrics."""
    outputs = model(images_BHW)
    kinds = outputs[..., 1:4].argmax(-1)
    kinds = torch.where(outputs[..., 0] >= 0, kinds, ABSENT)
    rotations = euler_to_rotation(outputs[..., 7:].clamp(0.0, torch.pi))
    return PrimitiveScenes(kinds, outputs[..., 4:7].clamp(-1.0, 1.0), rotations)
