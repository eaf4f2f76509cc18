"""An encoder that sees a coarse picture and reads a few colour words; it needs no weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "white": (1.0, 1.0, 1.0)}


class CoarseEncoder:
    """Embeds a picture as its 6 x 6 thumbnail less its mean."""

    identity = "coarse@1"
    dim = 108
    image_size = 24
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.encoded = 0

    def encode_images(self, images_B3HW: Tensor) -> Tensor:
        self.encoded += len(images_B3HW)
        small = functional.adaptive_avg_pool2d(images_B3HW, 6).flatten(1)
        return functional.normalize(small - small.mean(dim=1, keepdim=True), dim=1)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        rows = []
        for text in texts:
            colour = next((c for word, c in COLOURS.items() if word in text), (0.1, 0.2, 0.3))
            rows.append(torch.tensor(colour)[:, None].expand(3, 36).flatten())
        rows = torch.stack(rows) - torch.stack(rows).mean(dim=1, keepdim=True) + 1e-3
        return functional.normalize(rows, dim=1)
