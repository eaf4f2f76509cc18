"""Deterministic stand-ins for encoders: fast, weightless, and known exactly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
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


@pytest.fixture
def fake_encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture
def encoder_source(fake_encoder: FakeEncoder) -> CountingSource:
    return CountingSource(fake_encoder)


@pytest.fixture
def patch_source() -> CountingSource:
    return CountingSource(FakePatchEncoder(), "fake-patches@1")


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def wild_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the bundled one, with an untrained model."""
    from safetensors.torch import save_file

    from lerf_wild.language import wild_clip

    folder = tmp_path_factory.mktemp("wild_clip")
    parts = wild_clip.build_wild_clip(seed=0)
    weights = {name: value.half() for name, value in parts.model.state_dict().items()}
    save_file(weights, folder / wild_clip.WEIGHTS_NAME)
    (folder / wild_clip.CONFIG_NAME).write_text(json.dumps(wild_clip.architecture()))
    vocabulary = {"phrases": ["red fox", "oak"], "canonical": ["object"]}
    (folder / wild_clip.VOCABULARY_NAME).write_text(json.dumps(vocabulary))
    return folder
