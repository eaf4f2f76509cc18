"""A conditional normalising flow from text embeddings to shape coefficients, as AWOL has it.

Symbols: B animals, K betas, C dimensions of the text embedding, z noise of the flow. Real-NVP (Dinh
et al., ICLR 2017): each block keeps half of the coefficients, and scales and moves the others by
networks of the kept ones and the condition. AWOL (Zuffi and Black, ECCV 2024) learns which half;
here the halves are drawn once and alternate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lerf_wild.errors import ModelFileError

BLOCKS = 5
MAX_LOG_SCALE = 2.0
"""Bound of what one block scales by, so that no phrase makes a monster."""


class ConditionalFlow(nn.Module):
    """Noise (B, K) <-> betas (B, K), given embeddings (B, C)."""

    def __init__(self, betas: int, condition: int, width: int = 128, seed: int = 0) -> None:
        super().__init__()
        self.betas, self.condition, self.width = betas, condition, width
        order = torch.randperm(betas, generator=torch.Generator().manual_seed(seed))
        half = torch.zeros(betas)
        half[order[: betas // 2]] = 1.0
        kept = torch.stack([half if block % 2 else 1.0 - half for block in range(BLOCKS)])
        self.register_buffer("kept_LK", kept)
        self.register_buffer("middle_K", torch.zeros(betas))
        self.register_buffer("spread_K", torch.ones(betas))
        self.blocks = nn.ModuleList(
            _network(betas + condition, width, 2 * betas) for _ in range(BLOCKS)
        )

    def shapes(self, noise_BK: Tensor, condition_BC: Tensor) -> Tensor:
        """Betas (B, K) of noise."""
        state = noise_BK
        for block in range(BLOCKS):
            log_scale, shift, kept = self._step(block, state, condition_BC)
            state = kept * state + (1.0 - kept) * (state * log_scale.exp() + shift)
        return self.middle_K + self.spread_K * state

    def noise(self, betas_BK: Tensor, condition_BC: Tensor) -> tuple[Tensor, Tensor]:
        """Noise (B, K) of betas, and the log of the volume's change (B,)."""
        state = (betas_BK - self.middle_K) / self.spread_K
        change = -self.spread_K.log().sum().expand(len(state))
        for block in reversed(range(BLOCKS)):
            log_scale, shift, kept = self._step(block, state, condition_BC)
            state = kept * state + (1.0 - kept) * (state - shift) * (-log_scale).exp()
            change = change - ((1.0 - kept) * log_scale).sum(-1)
        return state, change

    def log_density(self, betas_BK: Tensor, condition_BC: Tensor) -> Tensor:
        """Log probability density (B,) of betas."""
        noise, change = self.noise(betas_BK, condition_BC)
        normal = -0.5 * noise.square().sum(-1) - 0.5 * self.betas * math.log(2 * math.pi)
        return normal + change

    def _step(self, block: int, state: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        kept = self.kept_LK[block]
        out = self.blocks[block](torch.cat([kept * state, condition], -1))
        scale, shift = out.chunk(2, -1)
        return MAX_LOG_SCALE * torch.tanh(scale / MAX_LOG_SCALE), shift, kept


def flow_from(tensors: Mapping[str, Tensor], source: str) -> ConditionalFlow:
    """A flow for use, of its tensors; raises ModelFileError when they make none."""
    try:
        first = tensors["blocks.0.0.weight"]
        betas = len(tensors["middle_K"])
        flow = ConditionalFlow(betas, first.shape[1] - betas, first.shape[0])
        flow.load_state_dict(dict(tensors))
    except (KeyError, RuntimeError, IndexError) as error:
        reason = str(error).split("\n")[0][:100]
        raise ModelFileError(f"{source}: holds no flow of shapes ({reason}).") from None
    return flow.eval().requires_grad_(False)


def _network(inputs: int, width: int, outputs: int) -> nn.Sequential:
    last = nn.Linear(width, outputs)
    # The flow begins as the identity.
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), last
    )
