from __future__ import annotations

import importlib.util
import sys

import pytest
import torch

from lerf_wild.errors import EncoderError
from lerf_wild.language.encoders import (
    ImageTextEncoder,
    l2_normalise,
    pick_precision,
    quiet_libraries,
    resize_square,
)


def test_normalise_has_no_nan_at_zero():
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-20, 0.0]])
    unit = l2_normalise(vectors)
    torch.testing.assert_close(unit[0], torch.tensor([0.6, 0.8]))
    assert torch.isfinite(unit).all()
    assert (unit[1] == 0).all()


@pytest.mark.parametrize(("height", "width"), [(16, 16), (4, 4), (50, 30)])
def test_resize_keeps_the_mean_of_a_flat_image(height, width):
    image = torch.full((2, 3, height, width), 0.3)
    square = resize_square(image, 16)
    assert square.shape == (2, 3, 16, 16)
    torch.testing.assert_close(square, torch.full_like(square, 0.3))


def test_precision_follows_the_device():
    assert pick_precision("auto", "cpu") in (torch.float32, torch.bfloat16)
    assert pick_precision("auto", "cuda") == torch.float16
    assert pick_precision("bf16", "cpu") == torch.bfloat16
    with pytest.raises(EncoderError, match="fp8"):
        pick_precision("fp8", "cpu")


def test_libraries_are_spared_wandb_and_nobody_else_is(monkeypatch):
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with quiet_libraries(), quiet_libraries():
        with pytest.raises(ImportError):
            importlib.import_module("wandb")
        assert importlib.util.find_spec("wandb") is None
    assert "wandb" not in sys.modules
    there = object()
    monkeypatch.setitem(sys.modules, "wandb", there)
    with quiet_libraries():
        assert sys.modules["wandb"] is there
    assert sys.modules["wandb"] is there


def test_an_encoder_is_no_torch_module(fake_encoder):
    assert isinstance(fake_encoder, ImageTextEncoder)
    holder = torch.nn.Module()
    holder.encoder = fake_encoder
    assert holder.state_dict() == {}
