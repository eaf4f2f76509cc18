"""A field's space with places in it that are emptied.

nerfacto's networks, proposals and colours alike, ask for their density where a contraction puts a
point, and know none outside of its cube. So whoever stands before the contraction can send a point
elsewhere, or nowhere; samplers then look for what is behind of their own accord.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lerf_wild.wildlife.clearings import ClearedGround
from lerf_wild.wildlife.stage import Stage

NOWHERE = 3.0
"""A contracted coordinate outside of the cube [-2, 2]."""


class ClearedSpace(nn.Module):
    """A contraction that leaves out what clearings take out."""

    def __init__(self, contraction: nn.Module, detour: Detour) -> None:
        super().__init__()
        self.contraction = contraction
        self._detour = detour

    def forward(self, positions: Tensor) -> Tensor:
        """Positions in nerf units to the cube [-2, 2]; those of emptied places beyond it."""
        if not self._detour.is_needed or not isinstance(positions, Tensor):
            return self.contraction(positions)
        asked, is_empty = self._detour.of(positions)
        found = self.contraction(asked)
        return torch.where(is_empty[..., None], torch.full_like(found, NOWHERE), found)


class Detour:
    """Where points of the training's frame are asked; `ground` gives the clearings of now."""

    def __init__(self, stage: Callable[[], Stage], ground: Callable[[], ClearedGround | None]):
        self._stage, self._ground = stage, ground
        self._frames: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def is_needed(self) -> bool:
        """Whether any place is cleared."""
        return self._ground() is not None

    def of(self, positions: Float[Tensor, "*batch 3"]) -> tuple[Float[Tensor, "*batch 3"], Tensor]:
        """Positions to ask instead, and which of them are in emptied air."""
        ground = self._ground()
        assert ground is not None, "asked without a clearing"
        there_34, back_34 = (positions.new_tensor(matrix) for matrix in self._matrices())
        flat_N3 = positions.reshape(-1, 3)
        staged_N3 = flat_N3 @ there_34[:, :3].T + there_34[:, 3]
        asked_N3, is_empty_N = ground.moved(staged_N3)
        is_same_N1 = (asked_N3 == staged_N3).all(dim=-1, keepdim=True)
        back_N3 = asked_N3 @ back_34[:, :3].T + back_34[:, 3]
        # Points that are not moved stay what they are to the last bit.
        moved_N3 = torch.where(is_same_N1, flat_N3, back_N3)
        return moved_N3.view(positions.shape), is_empty_N.view(positions.shape[:-1])

    def _matrices(self) -> tuple[np.ndarray, np.ndarray]:
        if self._frames is None:
            stage = self._stage()
            self._frames = _affine(stage.from_nerf), _affine(stage.to_nerf)
        return self._frames


def _affine(function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The matrix (3, 4) of an affine map of points."""
    corners_43 = np.concatenate([np.zeros((1, 3)), np.eye(3)])
    origin_3, *ends = function(corners_43)
    return np.stack([*(end - origin_3 for end in ends), origin_3], axis=1)
