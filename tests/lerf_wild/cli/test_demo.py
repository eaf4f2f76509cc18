"""The demo's choices and its report, the training that it follows, and the scene that it makes."""

from __future__ import annotations

import json
import sys

import pytest

from lerf_wild.cli import training
from lerf_wild.cli.demo import choose_phrases, joint_report, sentences_about
from lerf_wild.cli.training import config_path, last_step, run_training, train_words
from lerf_wild.cli.view import is_loopback
from lerf_wild.errors import TrainingError

PYTHON = sys.executable
INSTANCES = [
    {"kind": "animal", "phrases": ["red fox", "fox", "animal"], "views": 90},
    {"kind": "animal", "phrases": ["zebra", "animal"], "views": 80},
    {"kind": "tree", "phrases": ["pine tree", "tree"], "views": 300},
    {"kind": "rock", "phrases": ["boulder", "rock"], "views": 20},
    {"kind": "log", "phrases": ["fallen log", "log"], "views": 0},
    {"kind": "bird", "phrases": ["raven", "bird"], "views": 40},
    {"kind": "shrub", "phrases": ["berry bush", "shrub"], "views": 30},
    {"kind": "plant", "phrases": ["fern"], "views": 10},
]
PRESENT = (
    "red fox",
    "fox",
    "animal",
    "zebra",
    "pine tree",
    "boulder",
    "raven",
    "berry bush",
    "fern",
)


def test_six_phrases_of_different_kinds_and_two_that_are_absent():
    absent = ("wolf", "grey wolf", "red deer", "cactus")
    chosen, missing = choose_phrases(INSTANCES, PRESENT, absent, seed=7)
    assert len(chosen) == 6
    assert "fallen log" not in chosen
    assert {"pine tree", "red fox", "raven", "boulder"} <= set(chosen)
    assert set(missing) == {"grey wolf", "red deer"}
    assert choose_phrases(INSTANCES, PRESENT, absent, seed=7) == (chosen, missing)


def test_small_scenes_give_what_they_have():
    assert choose_phrases(INSTANCES[:1], PRESENT, (), seed=0) == (("red fox",), ())


def habitat(seed: int, accuracy: float) -> dict:
    return {"habitat_seed": seed, "localisation_accuracy": accuracy, "psnr": 25.0, "miou": None}


def test_reports_show_every_habitat_and_the_worst():
    report = joint_report([habitat(7, 0.9), habitat(8, 0.7)], 60.0)
    assert report["localisation_accuracy"] == pytest.approx(0.8)
    assert report["localisation_accuracy_min"] == 0.7
    assert report["seeds"] == [7, 8]
    assert len(report["habitats"]) == 2
    assert "miou" not in report
    assert joint_report([habitat(7, 0.9)], 60.0)["habitat_seed"] == 7


def test_training_is_what_a_user_would_type(tmp_path):
    words = train_words("lerf-wild-tiny", tmp_path / "scene", tmp_path / "out", 60)
    assert words[:3] == ["lerf-wild-tiny", "--data", str(tmp_path / "scene")]
    assert words[words.index("--max-num-iterations") + 1] == "60"
    assert config_path("lerf-wild-tiny", tmp_path / "out").parts[-3:] == (
        "lerf-wild-tiny",
        "run",
        "config.yml",
    )


def test_logs_tell_the_step(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("starting\n\x1b[33m10 (16.67%)   44 ms\n20 (33.33%)    45 ms\n  saved (3)\n")
    assert last_step(log) == 20
    log.write_text("nothing yet")
    assert last_step(log) == 0


def fake_trainer(tmp_path, monkeypatch, code: str) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!{PYTHON}\n{code}")
    script.chmod(0o755)
    monkeypatch.setattr(training.sys, "executable", str(script))
    monkeypatch.setattr(training, "POLL_SECONDS", 0.05)


def test_training_is_followed_and_its_failure_named(tmp_path, monkeypatch):
    seen: list[int] = []
    fake_trainer(
        tmp_path,
        monkeypatch,
        "import time\nprint('30 (50.00%)  1 ms', flush=True)\ntime.sleep(0.4)\n",
    )
    run_training(["x"], tmp_path / "log", seen.append)
    assert seen[-1] == 30
    fake_trainer(tmp_path, monkeypatch, "raise SystemExit('the scene is missing')")
    with pytest.raises(TrainingError, match="the scene is missing"):
        run_training(["x"], tmp_path / "log", seen.append)


def test_habitats_are_made_from_the_command_line_and_not_twice(exit_code, capsys, tmp_path):
    scene, result = tmp_path / "scene", tmp_path / "made.json"
    words = ["synth", "habitat", "--output-dir", scene, "--seed", "3", "--views", "8"]
    words += ["--width", "24", "--height", "24", "--workers", "1"]
    assert exit_code(*words, "--json", result) == 0
    assert "8 views of 24x24" in capsys.readouterr().out
    made = json.loads(result.read_text())
    assert made["seed"] == 3
    assert made["assets"] >= 10
    assert (scene / "transforms.json").is_file()
    assert exit_code(*words) == 2
    assert "already holds a scene" in capsys.readouterr().err
    assert exit_code(*words[:3], tmp_path / "b", "--biome", "moon") == 2
    assert "meadow" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("x.org", False)],
)
def test_loopback_addresses(host, expected):
    assert is_loopback(host) is expected


def test_animals_that_are_there_are_not_put_in_again():
    told = sentences_about(["fallen log", "boulder"], ["zebra", "fallen log", "red deer", "deer"])
    assert told == ["a tiger lying by the fallen log", "a leopard sitting next to the boulder"]
    assert sentences_about(["pond"], ["pond"]) == ["a red deer grazing by the pond"]
    assert sentences_about([], []) == []
