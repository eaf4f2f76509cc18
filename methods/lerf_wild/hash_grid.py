"""A fast torch path through nerfstudio's hash grids.

Symbols: N points, L levels, F features a level, T = 2**log2_hashmap_size rows a level, B = L N
bags of eight corners.

nerfstudio's own torch path gathers the eight corners of a cell one after the other and lets
autograd scatter the gradients back. Here the corners are one weighted embedding bag, and the
gradient of the table is a histogram, which on a CPU is several times faster. Points are the last
axis of every intermediate, and a level's points are looked up together: its table fits the cache.
Tables, values and checkpoints are the same as in
`nerfstudio.field_components.encodings.HashEncoding` (1.1.5).
"""

from __future__ import annotations

import itertools
from functools import partial

import torch
from jaxtyping import Float, Int
from nerfstudio.field_components.encodings import HashEncoding
from torch import Tensor, nn

BLOCK = 1 << 16
"""Points that are looked up at once when no gradient is asked for, so that the intermediate values
stay in the processor's cache."""

# The multipliers of Instant-NGP (eq. 4) as 32-bit two's complement: only the low bits of a hash
# survive, and those are the same in 32 and in 64 bits.
PRIMES = (1, 2654435761 - (1 << 32), 805459861)


class _TableLookup(torch.autograd.Function):
    """Weighted sums of table rows; differentiable to the table only."""

    @staticmethod
    def forward(ctx, table_TF: Tensor, rows_B8: Tensor, weights_B8: Tensor) -> Tensor:
        ctx.save_for_backward(rows_B8, weights_B8)
        ctx.table_rows = table_TF.shape[0]
        weights_B8 = weights_B8.to(table_TF)
        return nn.functional.embedding_bag(
            rows_B8, table_TF, mode="sum", per_sample_weights=weights_B8
        )

    @staticmethod
    def backward(ctx, gradient_BF: Tensor) -> tuple[Tensor, None, None]:
        rows_B8, weights_B8 = ctx.saved_tensors
        return _scatter(gradient_BF, rows_B8, weights_B8, ctx.table_rows), None, None


def _scatter(gradient_BF: Tensor, rows_B8: Tensor, weights_B8: Tensor, table_rows: int) -> Tensor:
    """Adds each bag's gradient to the eight table rows it came from, by weight."""
    rows = rows_B8.flatten()
    table = gradient_BF.new_zeros(table_rows, gradient_BF.shape[-1])
    if gradient_BF.device.type == "cpu":
        for feature, column in enumerate(gradient_BF.t().contiguous()):
            weights = (weights_B8 * column[:, None]).flatten()
            table[:, feature] = torch.bincount(rows, weights, minlength=table_rows)
        return table
    parts = (weights_B8[..., None] * gradient_BF[:, None, :]).flatten(0, 1)
    return table.index_add_(0, rows, parts.to(gradient_BF))


def _corner_parts(
    encoding: HashEncoding, positions_N3: Tensor
) -> tuple[list[Int[Tensor, "3 l n"]], list[Float[Tensor, "3 l n"]]]:
    """Per axis: the hash share and the linear weight of the lower and of the upper corner."""
    device = positions_N3.device
    scaled = positions_N3.t().contiguous()[:, None, :] * encoding.scalings.to(device)[:, None]
    lower = scaled.floor()
    upper_weight = scaled - lower
    primes = torch.tensor(PRIMES, dtype=torch.int32, device=device)[:, None, None]
    mask = encoding.hash_table_size - 1
    shares = [(corner.to(torch.int32) * primes) & mask for corner in (lower, scaled.ceil())]
    return shares, [1 - upper_weight, upper_weight]


def _corners(
    encoding: HashEncoding, positions_N3: Tensor
) -> tuple[Int[Tensor, "b 8"], Float[Tensor, "b 8"]]:
    """Table rows and trilinear weights of the eight corners; bag b is a level and a point."""
    shares, weights = _corner_parts(encoding, positions_N3)
    # The level's block is in the bits above the hash, so it can ride on the share of one axis.
    levels = torch.arange(encoding.num_levels, dtype=torch.int32, device=positions_N3.device)
    first = [share[0] | (levels << encoding.log2_hashmap_size)[:, None] for share in shares]
    rows = first[0].new_empty(*first[0].shape, 8)
    volume = weights[0].new_empty(*first[0].shape, 8)
    # Corner by corner, because a broadcast over inner axes of two runs element by element.
    for corner, (x, y, z) in enumerate(itertools.product((0, 1), repeat=3)):
        torch.bitwise_xor(first[x] ^ shares[y][1], shares[z][2], out=rows[..., corner])
        torch.mul(weights[x][0] * weights[y][1], weights[z][2], out=volume[..., corner])
    return rows.view(-1, 8), volume.view(-1, 8)


def hash_lookup(
    encoding: HashEncoding, positions: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch features"]:
    """Trilinear lookup in a hash grid at positions in [0, 1].

    Differentiable to the table, not to the positions.
    """
    flat = positions.detach().reshape(-1, 3)
    rows, volume = _corners(encoding, flat)
    values = _TableLookup.apply(encoding.hash_table, rows, volume)
    by_point = values.view(encoding.num_levels, len(flat), values.shape[-1]).transpose(0, 1)
    return by_point.reshape(*positions.shape[:-1], encoding.get_out_dim())


def use_fast_lookup(module: nn.Module, in_training: bool = True) -> int:
    """Switches every torch hash grid inside `module` to the fast path and returns their number.

    Without `in_training` the fast path is taken only while gradients are off: for models whose
    positions need gradients, because of a camera optimiser or of analytic normals.
    """
    grids = [part for part in module.modules() if isinstance(part, HashEncoding)]
    grids = [grid for grid in grids if grid.tcnn_encoding is None]
    lookup = _lookup_in_training if in_training else _lookup_for_rendering
    for grid in grids:
        grid.pytorch_fwd = partial(lookup, grid)
    return len(grids)


def _lookup_in_training(encoding: HashEncoding, positions: Tensor) -> Tensor:
    if torch.is_grad_enabled():
        return hash_lookup(encoding, positions)
    return _lookup_in_blocks(encoding, positions)


def _lookup_for_rendering(encoding: HashEncoding, positions: Tensor) -> Tensor:
    if torch.is_grad_enabled():
        return HashEncoding.pytorch_fwd(encoding, positions)
    return _lookup_in_blocks(encoding, positions)


def _lookup_in_blocks(encoding: HashEncoding, positions: Tensor) -> Tensor:
    flat = positions.reshape(-1, 3)
    if positions.device.type != "cpu" or len(flat) <= BLOCK:
        return hash_lookup(encoding, positions)
    values = torch.cat([hash_lookup(encoding, block) for block in flat.split(BLOCK)])
    return values.view(*positions.shape[:-1], -1)
