from __future__ import annotations

import shutil
import subprocess
import sys
import time

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

from lerf_wild.errors import EncoderError
from lerf_wild.language import hub, registry, wild_clip


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "find_cached", lambda repo, names: None)


@pytest.fixture
def bundled(monkeypatch, wild_clip_folder):
    locate = wild_clip.locate_wild_clip
    monkeypatch.setattr(registry, "locate_wild_clip", lambda: locate(wild_clip_folder))


def test_auto_falls_back_to_the_bundled_model(offline, bundled, capsys):
    encoder = registry.resolve_encoder("auto")
    assert encoder.identity.startswith("wild-clip@")
    line = capsys.readouterr().err.strip()
    assert line.count("\n") == 0
    assert "wild-clip" in line
    assert registry.DEFAULT_MODEL in line


def test_choice_knows_the_identity_before_loading(offline, bundled):
    choice = registry.choose_encoder("auto")
    assert choice.name == "wild-clip"
    assert choice.identity == choice.load().identity
    assert choice.load() is registry.choose_encoder("wild-clip").load()


def test_a_network_that_swallows_packets_costs_seconds(monkeypatch, bundled):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "find_cached", lambda repo, names: None)
    monkeypatch.setattr(hub, "PROBE_LIMIT_S", 0.3)
    monkeypatch.setattr(
        huggingface_hub, "get_hf_file_metadata", lambda *args, **kwargs: time.sleep(30)
    )
    started = time.perf_counter()
    assert registry.choose_encoder("auto").name == "wild-clip"
    assert time.perf_counter() - started < 3.0


def test_probe_limit_leaves_room_for_the_five_seconds():
    assert hub.PROBE_LIMIT_S <= 3.0


def test_named_model_out_of_reach_names_the_remedies(offline):
    with pytest.raises(EncoderError) as caught:
        registry.resolve_encoder(registry.DEFAULT_MODEL)
    message = str(caught.value)
    assert registry.DEFAULT_REPO in message
    assert "hf download" in message
    assert "wild-clip" in message
    assert len(message.splitlines()) <= 2


def test_default_repository_is_the_one_of_open_clip():
    import open_clip

    architecture, tag = registry.DEFAULT_MODEL.split("/")
    assert open_clip.get_pretrained_cfg(architecture, tag)["hf_hub"] == registry.DEFAULT_REPO + "/"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nope", "neither a known name"),
        ("ViT-B-17/openai", "ViT-B-16"),
        ("ViT-B-16/no_such_tag", "laion2b_s34b_b88k"),
        ("hf-hub:one/two/three", "organisation/model"),
    ],
)
def test_unknown_names(offline, name, expected):
    with pytest.raises(EncoderError, match=expected):
        registry.resolve_encoder(name)


def test_local_folder_and_file(wild_clip_folder):
    folder = registry.choose_encoder(str(wild_clip_folder))
    file = registry.choose_encoder(str(wild_clip_folder / wild_clip.WEIGHTS_NAME))
    assert folder.identity == file.identity
    images = torch.rand(2, 3, 64, 64)
    bundled = wild_clip.load_wild_clip(folder=wild_clip_folder)
    torch.testing.assert_close(folder.load().encode_images(images), bundled.encode_images(images))


def test_identity_covers_weights_and_statistics(wild_clip_folder, tmp_path):
    copy = shutil.copytree(wild_clip_folder, tmp_path / wild_clip_folder.name)
    same = registry.choose_encoder(str(copy)).identity
    assert same == registry.choose_encoder(str(wild_clip_folder)).identity
    config = copy / wild_clip.CONFIG_NAME
    config.write_text(config.read_text().replace("0.48145466", "0.5"))
    assert registry.choose_encoder(str(copy)).identity != same


def test_weights_without_config(wild_clip_folder, tmp_path):
    shutil.copy(wild_clip_folder / wild_clip.WEIGHTS_NAME, tmp_path)
    with pytest.raises(EncoderError, match=wild_clip.CONFIG_NAME):
        registry.choose_encoder(str(tmp_path))


@pytest.mark.parametrize(
    "config",
    [
        "[]",
        "{}",
        '{"model_cfg": 3}',
        '{"model_cfg": {}, "preprocess_cfg": {"mean": [1]}}',
        '{"model_cfg": {}, "preprocess_cfg": {"std": [0, 0, 0]}}',
        '{"model_cfg": {}, "preprocess_cfg": {"std": "abc"}}',
        '{"model_cfg": {}, "preprocess_cfg": []}',
    ],
)
def test_wrong_config(wild_clip_folder, tmp_path, config):
    shutil.copy(wild_clip_folder / wild_clip.WEIGHTS_NAME, tmp_path)
    (tmp_path / wild_clip.CONFIG_NAME).write_text(config)
    with pytest.raises(EncoderError, match=wild_clip.CONFIG_NAME):
        registry.choose_encoder(str(tmp_path))


def test_hub_blob_names_spare_hashing(tmp_path):
    blob = tmp_path / ("ab" * 32)
    blob.write_bytes(b"not really")
    link = tmp_path / "model.safetensors"
    link.symlink_to(blob)
    assert hub.weights_sha256(link) == "ab" * 32


def test_importing_the_registry_is_light():
    code = (
        "import sys, lerf_wild.language.registry, lerf_wild.language.feature_store;"
        "heavy = {'open_clip', 'transformers', 'timm', 'nerfstudio'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
