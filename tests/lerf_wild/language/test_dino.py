from __future__ import annotations

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from lerf_wild.errors import EncoderError
from lerf_wild.language import dino, hub, registry, wild_clip
from lerf_wild.language.encoders import PatchEncoder


@pytest.fixture(scope="module")
def vit_folder(tmp_path_factory):
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        patch_size=8,
        image_size=32,
    )
    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dinov2_folder(tmp_path_factory):
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, patch_size=14, image_size=28
    )
    folder = tmp_path_factory.mktemp("dinov2")
    Dinov2Model(config).save_pretrained(folder)
    return folder


def test_vision_transformer(vit_folder):
    encoder = dino.load_dino(str(vit_folder))
    assert isinstance(encoder, PatchEncoder)
    assert not isinstance(encoder, torch.nn.Module)
    features = encoder.patch_features(torch.rand(1, 3, 56, 84))
    # 56 x 84 is enlarged to 224 x 336, patches have 8 pixels.
    assert features.shape == (1, 16, 28, 42)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(1, 28, 42))


def test_dinov2(dinov2_folder):
    features = dino.load_dino(str(dinov2_folder)).patch_features(torch.rand(2, 3, 50, 50))
    assert features.shape == (2, 16, 16, 16)


def test_patches_are_where_they_should_be(vit_folder):
    encoder = dino.load_dino(str(vit_folder))
    image = torch.zeros(1, 3, 224, 224)
    image[..., :112, 112:] = 1.0
    grid = encoder.patch_features(image)[0]
    corners = [grid[:, 2, 2], grid[:, 2, -3], grid[:, -3, 2], grid[:, -3, -3]]
    white, dark = corners[1], torch.stack([corners[0], corners[2], corners[3]])
    assert (dark @ white).max() < min(dark[0] @ dark[1], dark[0] @ dark[2])


def test_embedded_reads_the_trunk(monkeypatch, wild_clip_folder):
    locate = wild_clip.locate_wild_clip
    monkeypatch.setattr(registry, "locate_wild_clip", lambda: locate(wild_clip_folder))
    encoder = dino.load_dino("embedded")
    features = encoder.patch_features(torch.rand(1, 3, 64, 96))
    assert features.shape == (1, encoder.dim, 8, 12)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(1, 8, 12))
    assert encoder.identity == dino.choose_patch_encoder("embedded").identity


def test_names_that_cannot_be_had(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "find_cached", lambda repo, names: None)
    with pytest.raises(EncoderError, match="hf download facebook/dino-vits8"):
        dino.choose_patch_encoder("facebook/dino-vits8")
    with pytest.raises(EncoderError, match="neither a folder"):
        dino.choose_patch_encoder("nope")
    with pytest.raises(EncoderError, match=r"model\.safetensors"):
        dino.choose_patch_encoder(str(tmp_path))


def test_damaged_model_is_named(vit_folder, tmp_path):
    (tmp_path / "config.json").write_text((vit_folder / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(EncoderError, match="can't load this model"):
        dino.load_dino(str(tmp_path))


def test_missing_weights_are_not_left_random(vit_folder, tmp_path):
    state = load_file(vit_folder / "model.safetensors")
    state.pop(next(name for name in state if "query" in name or "q_proj" in name))
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text((vit_folder / "config.json").read_text())
    with pytest.raises(EncoderError, match="weights are missing"):
        dino.load_dino(str(tmp_path))


@pytest.mark.parametrize(
    ("size", "short_side", "multiple", "enlarge", "expected"),
    [
        ((100, 200), 50, 8, False, (48, 96)),
        ((40, 60), 512, 8, False, (40, 64)),
        ((40, 60), 80, 8, True, (80, 120)),
        ((3, 3), 512, 8, False, (8, 8)),
    ],
)
def test_resize_to_multiple(size, short_side, multiple, enlarge, expected):
    image = torch.rand(1, 3, *size)
    assert dino.resize_to_multiple(image, short_side, multiple, enlarge).shape[-2:] == expected
