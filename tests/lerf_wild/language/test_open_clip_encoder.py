from __future__ import annotations

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from lerf_wild.errors import EncoderError
from lerf_wild.language import wild_clip
from lerf_wild.language.open_clip_encoder import (
    OpenClipEncoder,
    build_clip,
    load_weights,
    read_state_dict,
)

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def parts():
    return wild_clip.build_wild_clip()


def make_encoder(parts, **options) -> OpenClipEncoder:
    return OpenClipEncoder(parts.model, parts.tokenizer, parts.mean, parts.std, "test", **options)


def test_texts_are_embedded_once(parts, monkeypatch):
    encoder = make_encoder(parts)
    first = encoder.encode_text(["red fox", "oak", "red fox"])
    assert torch.equal(first[0], first[2])
    monkeypatch.setattr(encoder, "_embed_phrases", lambda phrases: pytest.fail("embedded again"))
    assert torch.equal(encoder.encode_text(["oak"])[0], first[1])
    assert encoder.encode_text([]).shape == (0, encoder.dim)


def test_templates_are_averaged(parts):
    one = make_encoder(parts, templates=("a photo of a {}",)).encode_text(["fox"])
    two = make_encoder(parts, templates=("{} in the wild",)).encode_text(["fox"])
    both = make_encoder(parts, templates=("a photo of a {}", "{} in the wild"))
    expected = torch.nn.functional.normalize(one + two, dim=-1)
    torch.testing.assert_close(both.encode_text(["fox"]), expected)


def test_braces_in_a_phrase_are_just_text(parts):
    assert make_encoder(parts).encode_text(["{} {0} {x}"]).isfinite().all()


def test_half_precision_agrees(parts, generator):
    images = torch.rand(4, 3, 64, 64, generator=generator)
    exact = make_encoder(wild_clip.build_wild_clip(), precision="fp32")
    rough = make_encoder(wild_clip.build_wild_clip(), precision="bf16")
    cosines = (exact.encode_images(images) * rough.encode_images(images)).sum(-1)
    assert cosines.min() > 0.999
    assert rough.encode_images(images).dtype == torch.float32


def test_embeddings_of_text_can_meet_autograd(parts):
    weight = torch.ones(128, requires_grad=True)
    (make_encoder(parts).encode_text(["oak"]) * weight).sum().backward()
    assert weight.grad is not None


def test_round_trip_of_a_vision_transformer(tmp_path):
    model, other = build_clip(TINY), build_clip(TINY)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    load_weights(other, tmp_path / "weights.safetensors")
    assert torch.equal(model.visual.conv1.weight, other.visual.conv1.weight)


def test_pickle_of_tensors_is_read(tmp_path):
    state = {"module.weight": torch.ones(2)}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "model.pt")
    assert torch.equal(read_state_dict(tmp_path / "model.pt")["weight"], torch.ones(2))


def test_pickle_with_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "pwned"),))

    for name, write in (("a.pt", torch.save), ("b.bin", None)):
        if write is None:
            (tmp_path / name).write_bytes(pickle.dumps(Evil()))
        else:
            write({"x": Evil()}, tmp_path / name)
        with pytest.raises(EncoderError, match=r"not plain tensors|damaged"):
            read_state_dict(tmp_path / name)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("name", ["w.safetensors", "w.bin"])
@pytest.mark.parametrize("content", [b"", b"\x80", b"garbage" * 50, b"PK\x03\x04cut"])
def test_damaged_weights_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EncoderError, match="w\\."):
        read_state_dict(tmp_path / name)


def test_weights_of_another_architecture_are_refused(tmp_path):
    save_file({"visual.conv1.weight": torch.ones(1)}, tmp_path / "w.safetensors")
    with pytest.raises(EncoderError, match="another architecture"):
        load_weights(build_clip(TINY), tmp_path / "w.safetensors")


@pytest.mark.parametrize("cfg", [{}, {"embed_dim": 4}, {**TINY, "nonsense": 1}])
def test_impossible_architectures_are_refused(cfg):
    with pytest.raises(EncoderError, match="can't build"):
        build_clip(cfg)
