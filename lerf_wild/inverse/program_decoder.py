"""The objects of a program, one after the other, each read with the values of those before it.

The grammar is RAW's: `add(pixels, loc, height, [ROT], [CLIP])`, the largest object first. A causal
transformer reads one token an object; heads write its values; the values are fed back into the
token of the next object, which RAW does not do.

Symbols: B pictures, K objects, F features of a crop, D width, A length of an embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lerf_wild.inverse.program_crops import EMBEDDING, FEATURES, GEOMETRY
from lerf_wild.inverse.program_heads import ValueHead, to_rotation
from lerf_wild.inverse.program_samples import SETTING_COUNT
from lerf_wild.program.statements import KINDS

NUMBERS = 5
"""Foot right and below of the box's foot (in box sizes), and logarithms of depth, height and
pixels, each relative to what the box says."""
VALUES = len(KINDS) + 9 + EMBEDDING + NUMBERS
DIGITS = 5


@dataclass(frozen=True)
class DecoderSpec:
    """Sizes, and the choices that the baselines change."""

    width: int = 192
    layers: int = 2
    heads: int = 4
    feedback: bool = True
    """Whether the values of an object are fed to the next one."""
    linear_heads: bool = False
    permuted_ids: bool = False
    """Write the digits of a randomly permuted number of asset and yaw, as RAW's baseline does."""
    geometry_only: bool = False


class Values(NamedTuple):
    """The values of K objects in B pictures."""

    kind_BK6: Tensor
    """Logits."""
    rotation_BK9: Tensor
    appearance_BKA: Tensor
    numbers_BK5: Tensor
    state_BKD: Tensor
    """What the heads read."""


class ProgramDecoder(nn.Module):
    """Crop features, boxes and settings to the values of a program's objects."""

    def __init__(self, spec: DecoderSpec | None = None) -> None:
        super().__init__()
        self.spec = spec = spec or DecoderSpec()
        width = spec.width
        self.token = nn.Linear(FEATURES + EMBEDDING + GEOMETRY + SETTING_COUNT, width)
        self.fed_back = nn.Linear(VALUES, width)
        self.start = nn.Parameter(torch.zeros(width))
        layer = nn.TransformerEncoderLayer(
            width, spec.heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, spec.layers, enable_nested_tensor=False)
        self.kind = ValueHead(width, len(KINDS), spec.linear_heads)
        self.rotation = ValueHead(width, 9, spec.linear_heads)
        self.appearance = ValueHead(width, EMBEDDING, spec.linear_heads)
        self.numbers = ValueHead(width, NUMBERS, spec.linear_heads)
        self.digits = DigitHead(width) if spec.permuted_ids else None

    def tokens(
        self,
        features_BKF: Float[Tensor, "B K F"],
        embedding_BKA: Float[Tensor, "B K A"],
        geometry_BKG: Float[Tensor, "B K G"],
        settings_BS: Float[Tensor, "B S"],
    ) -> Tensor:
        """One token (B, K, D) an object."""
        settings = settings_BS[:, None].expand(-1, features_BKF.shape[1], -1)
        return self.token(torch.cat([features_BKF, embedding_BKA, geometry_BKG, settings], dim=-1))

    def forward(self, tokens_BKD: Tensor, embedding_BKA: Tensor, truth_BKV: Tensor) -> Values:
        """All objects at once, each with the true values of the one before it."""
        start = self.start.expand(len(tokens_BKD), 1, -1)
        before = torch.cat([start, self.fed_back(truth_BKV[:, :-1])], dim=1)
        return self._read(tokens_BKD, before, embedding_BKA)

    @torch.no_grad()
    def decode(self, tokens_BKD: Tensor, embedding_BKA: Tensor) -> Values:
        """One object after the other, each with the predicted values of the one before it."""
        before = [self.start.expand(len(tokens_BKD), -1)]
        for index in range(tokens_BKD.shape[1]):
            so_far = torch.stack(before, dim=1)
            values = self._read(tokens_BKD[:, : index + 1], so_far, embedding_BKA[:, : index + 1])
            before.append(self.fed_back(as_fed_back(values)[:, -1]))
        return values

    def _read(self, tokens_BKD: Tensor, before_BKD: Tensor, embedding_BKA: Tensor) -> Values:
        x = tokens_BKD + before_BKD if self.spec.feedback else tokens_BKD
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], device=x.device)
        state = self.layers(x, mask=mask, is_causal=True)
        # The crop's own embedding is a start from which the head moves.
        appearance = embedding_BKA + self.appearance(state)
        return Values(
            self.kind(state), self.rotation(state), appearance, self.numbers(state), state
        )


class DigitHead(nn.Module):
    """Five decimal digits, each read with those before it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.places = nn.ModuleList(nn.Linear(width + 10 * i, 10) for i in range(DIGITS))

    def forward(self, state_ND: Tensor, digits_NP: Tensor) -> Tensor:
        """Logits (N, P, 10) of each digit, given the true ones before it."""
        known = functional.one_hot(digits_NP, 10).to(state_ND).flatten(1)
        logits = [
            place(torch.cat([state_ND, known[:, : 10 * i]], dim=1))
            for i, place in enumerate(self.places)
        ]
        return torch.stack(logits, dim=1)

    @torch.no_grad()
    def decode(self, state_ND: Tensor) -> Tensor:
        """The likeliest numbers (N,), digit by digit."""
        x, number = state_ND, torch.zeros(len(state_ND), dtype=torch.long, device=state_ND.device)
        for place in self.places:
            digit = place(x).argmax(dim=1)
            number = 10 * number + digit
            x = torch.cat([x, functional.one_hot(digit, 10).to(x)], dim=1)
        return number


def digits_of(number_N: Tensor) -> Tensor:
    """Decimal digits (N, P), the highest first."""
    powers = 10 ** torch.arange(DIGITS - 1, -1, -1, device=number_N.device)
    return number_N[:, None] // powers % 10


def as_fed_back(values: Values) -> Tensor:
    """Predicted values as one vector (B, K, V) an object."""
    kind = functional.one_hot(values.kind_BK6.argmax(dim=-1), len(KINDS)).to(values.kind_BK6)
    rotation = to_rotation(values.rotation_BK9.float()).flatten(-2)
    appearance = functional.normalize(values.appearance_BKA, dim=-1)
    return torch.cat([kind, rotation, appearance, values.numbers_BK5], dim=-1)
