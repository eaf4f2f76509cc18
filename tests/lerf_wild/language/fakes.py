"""Deterministic stand-ins for encoders: fast, weightless, and known exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lerf_wild.language.encoders import l2_normalise


class FakeEncoder:
    """Embeds an image as its mean colour and a text as numbers drawn from its hash."""

    identity = "fake@1"
    dim = 8
    image_size = 16
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.batches: list[int] = []

    def encode_images(self, images_B3HW: Tensor) -> Tensor:
        self.batches.append(len(images_B3HW))
        mean_B3 = images_B3HW.mean((2, 3))
        return l2_normalise(torch.cat([mean_B3, 1 - mean_B3, mean_B3[:, :2] ** 2], dim=-1))

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        return l2_normalise(torch.stack([self._numbers(text) for text in texts]))

    def _numbers(self, text: str) -> Tensor:
        digest = hashlib.sha256(text.encode()).digest()[: self.dim]
        return torch.tensor([float(byte) for byte in digest]) / 255 - 0.5


class FakePatchEncoder:
    """Gives the mean colour of 8 x 8 pixels."""

    identity = "fake-patches@1"
    dim = 3
    device = torch.device("cpu")

    def patch_features(self, images_B3HW: Tensor) -> Tensor:
        return l2_normalise(torch.nn.functional.avg_pool2d(images_B3HW, 8), dim=1)


@dataclass
class CountingSource:
    """An encoder that notes how often it is loaded."""

    encoder: FakeEncoder | FakePatchEncoder
    identity: str = "fake@1"
    loads: int = field(default=0)

    def load(self) -> FakeEncoder | FakePatchEncoder:
        self.loads += 1
        return self.encoder
