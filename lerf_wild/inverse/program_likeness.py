"""How much a drawn program is like the picture it was read from, as in RAW's table.

Symbols: B pictures, H, W pixels, D channels, h, w patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lerf_wild.language.dino import choose_patch_encoder
from lerf_wild.language.encoders import ImageTextEncoder, PatchEncoder
from lerf_wild.language.perceptual import build_or_none, lpips
from lerf_wild.language.registry import choose_encoder


@dataclass(frozen=True)
class Likeness:
    """The networks that compare pictures."""

    encoder: ImageTextEncoder
    patches: PatchEncoder
    perceptual: nn.Module | None

    @torch.no_grad()
    def between(
        self, first: Sequence[NDArray[np.uint8]], second: Sequence[NDArray[np.uint8]]
    ) -> list[dict[str, float]]:
        """For each pair of pictures (H, W, 3) the cosines of CLIP embeddings and of mean DINO
        features (1 for the same picture), and LPIPS (0 for the same) where it can be had."""
        both = torch.cat([_stacked(first), _stacked(second)])
        columns = {
            "clip_similarity": _cosines(self.encoder.encode_images(both)),
            "dino_similarity": _cosines(self.patches.patch_features(both).mean(dim=(2, 3))),
        }
        if self.perceptual is not None:
            pairs = zip(*(part.split(1) for part in both.chunk(2)))
            columns["lpips"] = [float(self.perceptual(a, b)) for a, b in pairs]
        return [dict(zip(columns, row)) for row in zip(*columns.values())]

    def names(self) -> dict[str, str]:
        """Which networks they are."""
        measured = "alex" if self.perceptual is not None else "not measured"
        return {"clip": self.encoder.identity, "dino": self.patches.identity, "lpips": measured}


def load_likeness(encoder: str = "auto", dino: str = "auto") -> tuple[Likeness, str]:
    """The networks, and why LPIPS is not among them, else ""."""
    perceptual, reason = build_or_none(lpips)
    return Likeness(
        choose_encoder(encoder).load(), choose_patch_encoder(dino).load(), perceptual
    ), reason


def _stacked(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255.0


def _cosines(vectors_2BD: Tensor) -> list[float]:
    first, second = vectors_2BD.float().cpu().chunk(2)
    return functional.cosine_similarity(first, second).tolist()
