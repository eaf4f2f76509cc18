"""Image -> set of primitives: a convolutional encoder and a set decoder.

The encoder turns a 64x64 image into a 16x16 map of tokens. A dense head scores every token as the
place of an object's centre; the best few tokens become queries, and attention among the queries
and over the map settles which of them stand for objects and what these are. The queries have no
order: training pairs them with the true objects by Hungarian matching.

Symbols: B images, Q queries, T = 256 tokens, C channels, F outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lerf_wild.inverse.symmetry import ARROW_DIMS, CUBE_DIMS, LINE_DIMS
from lerf_wild.render.primitive_scenes import KINDS
from lerf_wild.render.primitives import EXTENT, IMAGE_SIZE

GRID = 16
"""Tokens along a side of the map."""
CELL = 2.0 * EXTENT / (IMAGE_SIZE - 1) * IMAGE_SIZE / GRID
"""Side of a token's cell, world units."""

FIELDS = {
    "presence": 1,
    "kind": len(KINDS),
    "lateral": 2,
    "depth": 1,
    "cube": CUBE_DIMS,
    "line": LINE_DIMS,
    "arrow": ARROW_DIMS,
    "log_scale": 4,
}
"""What is predicted for an object, and its number of values. `lateral` is x and y; `log_scale`
holds the logarithms of the expected absolute errors of x, y, z and of the rotation target."""


@dataclass(frozen=True)
class NetworkSpec:
    """Sizes of the network."""

    stem: int = 32
    fine: int = 64
    coarse: int = 128
    token: int = 96
    fine_blocks: int = 2
    coarse_blocks: int = 3
    queries: int = 6
    layers: int = 2
    heads: int = 4


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(channels, channels), nn.ReLU(), _convolution(channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features in, features of the same shape out."""
        return torch.relu(x + self.body(x))


class Encoder(nn.Module):
    """Image [B, 1, 64, 64] -> tokens [B, C, 16, 16]: strides 4 and 8, joined at stride 4."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _convolution(1, spec.stem, size=5, stride=2),
            nn.ReLU(),
            _convolution(spec.stem, spec.fine, stride=2),
            nn.ReLU(),
            *[ResidualBlock(spec.fine) for _ in range(spec.fine_blocks)],
        )
        self.coarse = nn.Sequential(
            _convolution(spec.fine, spec.coarse, stride=2),
            nn.ReLU(),
            *[ResidualBlock(spec.coarse) for _ in range(spec.coarse_blocks)],
            nn.Conv2d(spec.coarse, spec.fine, 1),
            nn.Upsample(scale_factor=2, mode="nearest"),
        )
        self.joined = nn.Sequential(
            ResidualBlock(spec.fine), _convolution(spec.fine, spec.token), nn.ReLU()
        )

    def forward(self, images_B1HW: Tensor) -> Tensor:
        """Returns the tokens of the images."""
        fine = self.stem(images_B1HW)
        return self.joined(torch.relu(fine + self.coarse(fine)))


class TokenAttention(nn.Module):
    """Attention of few queries over many tokens, without projecting the tokens.

    Each head's key projection is moved to the queries' side and its value projection behind the
    weighted mean: the same family of functions as usual attention, at a cost that grows with
    the queries and not with the tokens' width squared.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ask = nn.Linear(width, heads * width)
        self.answer = nn.Linear(heads * width, width)

    def forward(self, queries_BQC: Tensor, tokens_BTC: Tensor, places_TC: Tensor) -> Tensor:
        """Returns what each query gathers from the tokens; `places_TC` is added to the keys."""
        batch, count, width = queries_BQC.shape
        asked = self.ask(queries_BQC).view(batch, count * self.heads, width) * width**-0.5
        scores = asked @ tokens_BTC.transpose(1, 2) + asked @ places_TC.T
        means = scores.softmax(-1).to(tokens_BTC.dtype) @ tokens_BTC
        return self.answer(means.view(batch, count, self.heads * width))


class DecoderLayer(nn.Module):
    """Attention among the queries, attention over the tokens, and a small perceptron."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        width = spec.token
        self.among = TokenAttention(width, spec.heads)
        self.over = TokenAttention(width, spec.heads)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 3 * width), nn.ReLU(), nn.Linear(3 * width, width)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))

    def forward(
        self, queries: Tensor, own_places: Tensor, tokens: Tensor, places_TC: Tensor
    ) -> Tensor:
        """Returns the queries, informed by each other and by the tokens."""
        placed = queries + own_places
        nowhere = torch.zeros(1, queries.shape[-1], dtype=placed.dtype, device=placed.device)
        queries = self.norms[0](queries + self.among(placed, placed, nowhere))
        over = self.over(queries + own_places, tokens, places_TC)
        queries = self.norms[1](queries + over)
        return self.norms[2](queries + self.perceptron(queries))


class PrimitiveNetwork(nn.Module):
    """Predicts the objects of each image."""

    def __init__(self, spec: NetworkSpec | None = None) -> None:
        super().__init__()
        self.spec = spec or NetworkSpec()
        width, outputs = self.spec.token, sum(FIELDS.values())
        self.encoder = Encoder(self.spec)
        self.dense = nn.Linear(width, outputs)
        self.places = nn.Parameter(0.02 * torch.randn(GRID * GRID, width))
        self.decoder = nn.ModuleList(DecoderLayer(self.spec) for _ in range(self.spec.layers))
        self.head = nn.Sequential(
            nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, outputs)
        )
        nn.init.constant_(self.dense.bias[:1], -4.0)
        self.register_buffer("centres_T2", token_centres(), persistent=False)

    def forward(self, images_BHW: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Returns the fields of the queries [B, Q, ...] and of the dense head [B, T, ...].

        Args:
            images_BHW: float [B, 64, 64] in 0-1.
        """
        tokens = self.encoder(images_BHW[:, None]).flatten(2).transpose(1, 2)
        dense = split_fields(self.dense(tokens).float(), self.centres_T2)
        chosen = dense["presence"].topk(self.spec.queries, dim=1).indices
        rows = torch.arange(len(images_BHW), device=chosen.device)[:, None]
        queries, own_places = tokens[rows, chosen], self.places[chosen]
        for layer in self.decoder:
            queries = layer(queries, own_places, tokens, self.places)
        return split_fields(self.head(queries).float(), self.centres_T2[chosen]), dense


def token_centres() -> Tensor:
    """World x and y of each token's centre, shape [T, 2]."""
    spacing = 2.0 * EXTENT / (IMAGE_SIZE - 1)
    pixel = (torch.arange(GRID) + 0.5) * (IMAGE_SIZE / GRID) - 0.5
    along = pixel * spacing - EXTENT
    y, x = torch.meshgrid(-along, along, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)


def split_fields(outputs_F: Tensor, origin_2: Tensor) -> dict[str, Tensor]:
    """Names the outputs [..., F] and adds the token's centre to x and y.

    Fields of one value lose their last axis.
    """
    parts = dict(zip(FIELDS, outputs_F.split(list(FIELDS.values()), -1)))
    parts["lateral"] = origin_2 + CELL * parts["lateral"]
    return {name: part.squeeze(-1) if FIELDS[name] == 1 else part for name, part in parts.items()}


def _convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )
