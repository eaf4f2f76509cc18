"""The language field: what a place looks like to CLIP and DINO, at every size of its surroundings.

Symbols: N points or samples, R rays, K samples a ray, G grid features, W hidden width,
B basis functions of the scale, D CLIP dimensions, C DINO dimensions.

The last layers are linear, so they commute with volume rendering: sum_i w_i (A h_i + b) equals
A (sum_i w_i h_i) + b (sum_i w_i). Hidden vectors are rendered, and the heads run once a ray.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from nerfstudio.field_components.encodings import HashEncoding
from torch import Tensor, nn

from lerf_wild.methods.lerf_wild.hash_grid import use_fast_lookup

SCALE_BASIS = 6
"""Basis functions of the tile size: two of its magnitude and four periodic ones."""


@dataclass(frozen=True)
class GridSpec:
    """One multiresolution hash grid."""

    levels: int
    min_resolution: int
    max_resolution: int
    log2_table: int
    features: int


def scale_basis(
    size: Float[Tensor, "*batch"], log2_range: Float[Tensor, "2"]
) -> Float[Tensor, "*batch basis"]:
    """Basis functions of a metric tile size in nerf units.

    `log2_range` holds the log2 of the smallest and the largest size of the training set; sizes
    beyond it are held a little outside, where the field has seen something.
    """
    low, high = log2_range[0], log2_range[1]
    position = 2 * (size.clamp(min=1e-9).log2() - low) / (high - low).clamp(min=1e-3) - 1
    position = position.clamp(-1.25, 1.25)
    waves = [
        wave(position * math.pi * rate) for rate in (0.5, 1.0) for wave in (torch.sin, torch.cos)
    ]
    linear = torch.exp2((position - 1) * 0.5 * (high - low))
    return torch.stack([position, linear, *waves], dim=-1)


def folded_head(
    head: nn.Linear,
) -> tuple[Float[Tensor, "d q"], Float[Tensor, "q w1"]]:
    """Splits [A b] of a linear head into an orthonormal basis Q and a small matrix S.

    [A b] = Q S, so cos(t, A h + b a) = (Q^T t) . y / |y| with y = S [h; a]: exact, and with no
    vector longer than min(D, W + 1).
    """
    matrix = torch.cat([head.weight, head.bias[:, None]], dim=1).detach().float()
    return torch.linalg.qr(matrix)


class LanguageField(nn.Module):
    """Hash grids under a CLIP branch that knows the scale and a DINO branch that does not."""

    def __init__(
        self,
        grids: tuple[GridSpec, ...],
        width: int,
        hidden_layers: int,
        clip_dim: int,
        dino_dim: int,
        dino_width: int,
        implementation: str = "torch",
    ) -> None:
        super().__init__()
        self.grids = nn.ModuleList(
            HashEncoding(
                num_levels=grid.levels,
                min_res=grid.min_resolution,
                max_res=grid.max_resolution,
                log2_hashmap_size=grid.log2_table,
                features_per_level=grid.features,
                implementation=implementation,
            )
            for grid in grids
        )
        use_fast_lookup(self.grids)
        grid_dim = sum(grid.levels * grid.features for grid in grids)
        self.position_layer = nn.Linear(grid_dim, width)
        self.scale_layer = nn.Linear(SCALE_BASIS, width, bias=False)
        self.hidden_layers = nn.ModuleList(
            nn.Linear(width, width) for _ in range(hidden_layers - 1)
        )
        self.clip_head = nn.Linear(width, clip_dim)
        self.dino_layer = nn.Linear(grid_dim, dino_width)
        self.dino_head = nn.Linear(dino_width, dino_dim)

    def encode(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch g"]:
        """Grid features at contracted positions in [0, 1]; no gradient to the positions."""
        flat = positions.detach().reshape(-1, 3)
        if len(flat) == 0:
            # tiny-cuda-nn refuses empty batches.
            return positions.new_zeros(*positions.shape[:-1], self.position_layer.in_features)
        features = torch.cat([grid(flat).float() for grid in self.grids], dim=-1)
        return features.view(*positions.shape[:-1], features.shape[-1])

    def clip_position_part(self, features: Float[Tensor, "*batch g"]) -> Float[Tensor, "*batch w"]:
        """The share of the first layer that no scale changes: compute it once for many scales."""
        return self.position_layer(features)

    def clip_scale_part(
        self, size: Float[Tensor, "*batch"], log2_range: Float[Tensor, "2"]
    ) -> Float[Tensor, "*batch w"]:
        """The share of the first layer that comes from the metric tile size (nerf units)."""
        return self.scale_layer(scale_basis(size, log2_range))

    def clip_hidden(
        self, position_part: Float[Tensor, "*batch w"], scale_part: Float[Tensor, "*batch w"]
    ) -> Float[Tensor, "*batch w"]:
        """The hidden vector that volume rendering sums up."""
        hidden = torch.relu(position_part + scale_part)
        for layer in self.hidden_layers:
            hidden = torch.relu(layer(hidden))
        return hidden

    def dino_hidden(self, features: Float[Tensor, "*batch g"]) -> Float[Tensor, "*batch w"]:
        """The hidden vector of the DINO branch."""
        return torch.relu(self.dino_layer(features))


def render_linear(
    head: nn.Linear,
    hidden_RKW: Float[Tensor, "*rays k w"],
    weights_RK: Float[Tensor, "*rays k"],
) -> Float[Tensor, "*rays d"]:
    """Volume-renders hidden vectors through a linear head: A sum(w h) + b sum(w)."""
    summed = torch.einsum("...kw,...k->...w", hidden_RKW, weights_RK)
    bias = weights_RK.sum(dim=-1, keepdim=True) * head.bias
    return nn.functional.linear(summed, head.weight) + bias


def safe_normalise(
    vectors: Float[Tensor, "*batch d"], least: float = 1e-6
) -> Float[Tensor, "*batch d"]:
    """Unit vectors; the zero vector stays zero and has a finite gradient."""
    squared = vectors.square().sum(dim=-1, keepdim=True)
    return vectors * torch.rsqrt(squared.clamp(min=least * least))
