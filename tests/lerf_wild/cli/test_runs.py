"""What is asked and what is opened: bad phrases, missing runs, moved runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lerf_wild.cli.phrases import read_phrases
from lerf_wild.cli.runs import find_capture, open_run
from lerf_wild.errors import InputError, ModelFileError, QueryError

OURS = "!!python/object:lerf_wild.methods.lerf_wild.config.LerfWildTrainerConfig\n"
THEIRS = "!!python/object:nerfstudio.engine.trainer.TrainerConfig\n"


@pytest.mark.parametrize(
    ("phrases", "message"),
    [
        ((), "No phrases were given"),
        (("fox",) * 0 + ("",), "empty"),
        (("\x00\x1b",), "empty"),
        (("x" * 4000,), "4000 characters"),
        (tuple(f"fox {i}" for i in range(201)), "1 to 200 phrases, got 201"),
    ],
)
def test_phrases_that_can_not_be_used(phrases, message):
    with pytest.raises(QueryError, match=message):
        read_phrases(phrases, None)


def test_phrases_are_cleaned_and_joined_with_the_file(tmp_path):
    path = tmp_path / "phrases.txt"
    path.write_text("red\tfox\n\n  fallen log \nzebra\n", encoding="utf-8-sig")
    assert read_phrases(("zebra", "a\x07b"), path) == ("zebra", "a b", "red fox", "fallen log")
    listed = tmp_path / "phrases.json"
    for content in (["red fox", "log"], {"phrases": ["red fox", "log"]}):
        listed.write_text(json.dumps(content))
        assert read_phrases((), listed) == ("red fox", "log")
    assert len(read_phrases([f"fox {i}" for i in range(200)], None)) == 200


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.txt", None),
        ("latin.txt", b"\xe9\xff"),
        ("wrong.json", b'{"phrases": [1]}'),
        ("cut.json", b'["red f'),
    ],
)
def test_phrase_files_that_can_not_be_used(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_phrases((), tmp_path / name)


@pytest.mark.parametrize("command", ["query", "export", "render", "eval", "view"])
def test_missing_runs_are_two_lines_and_code_2(exit_code, capsys, monkeypatch, tmp_path, command):
    monkeypatch.chdir(tmp_path)
    words = [] if command in ("eval", "view") else ["--phrases", "red fox"]
    assert exit_code(command, "--load-config", tmp_path / "config.yml", *words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert str(tmp_path / "config.yml") in err
    assert "ns-train" in err
    assert len(err.strip().splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_can_not_be_written_are_named_first(exit_code, capsys, tmp_path):
    (tmp_path / "taken").touch()
    words = ["export", "--load-config", tmp_path / "config.yml", "--phrases", "red fox"]
    assert exit_code(*words, "--output-dir", tmp_path / "taken" / "a") == 2
    assert "--output-dir" in capsys.readouterr().err


def test_no_phrases_are_code_2(exit_code, capsys, tmp_path):
    assert exit_code("query", "--load-config", tmp_path / "config.yml") == 2
    assert "No phrases were given" in capsys.readouterr().err


def test_runs_without_a_checkpoint_say_where_it_should_be(tmp_path):
    (tmp_path / "config.yml").write_text(OURS)
    with pytest.raises(ModelFileError, match="nerfstudio_models: there is no checkpoint"):
        open_run(tmp_path / "config.yml")
    (tmp_path / "nerfstudio_models").mkdir()
    (tmp_path / "nerfstudio_models" / "best.ckpt").touch()
    with pytest.raises(ModelFileError, match="there is no checkpoint"):
        open_run(tmp_path)


def test_captures_are_looked_for_from_where_training_was_started(tmp_path, monkeypatch):
    config = tmp_path / "outputs" / "scene" / "lerf-wild-tiny" / "now" / "config.yml"
    (tmp_path / "captures" / "pond").mkdir(parents=True)
    assert find_capture(Path("captures/pond"), config) == tmp_path / "captures" / "pond"
    assert find_capture(tmp_path / "captures", config) == tmp_path / "captures"
    assert find_capture(Path("captures/lake"), config) == Path("captures/lake")
    monkeypatch.chdir(tmp_path)
    assert find_capture(Path("captures/pond"), config) == Path("captures/pond")


@pytest.mark.parametrize("start", [".", "outputs", "outputs/pond"])
def test_the_folder_that_training_named_after_the_capture_is_not_the_capture(
    tmp_path, monkeypatch, start
):
    config = tmp_path / "outputs" / "pond" / "lerf-wild-tiny" / "now" / "config.yml"
    config.parent.mkdir(parents=True)
    (tmp_path / "pond").mkdir()
    monkeypatch.chdir(tmp_path / start)
    assert find_capture(Path("pond"), config).resolve() == tmp_path / "pond"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (THEIRS.encode(), "another method"),
        (b"a: 1\n", "not a config.yml as ns-train writes it"),
        (b"\xff\xfe\x00", "not a config.yml"),
        (b"", "not a config.yml"),
    ],
)
def test_configs_of_others_are_named(tmp_path, content, message):
    (tmp_path / "config.yml").write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        open_run(tmp_path / "config.yml")


def test_coordinates_go_there_and_back(plain_run):
    import numpy as np

    world_N3 = np.random.default_rng(0).normal(size=(20, 3))
    transform = plain_run.transform_34
    nerf_N3 = plain_run.scale * (world_N3 @ transform[:, :3].T + transform[:, 3])
    np.testing.assert_allclose(plain_run.to_world(nerf_N3), world_N3, atol=1e-12)
    np.testing.assert_allclose(
        plain_run.directions_to_world(np.eye(3)) @ transform[:, :3].T, np.eye(3), atol=1e-12
    )
    assert plain_run.length_per_nerf == 2.0
