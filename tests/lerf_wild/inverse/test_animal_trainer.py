"""The trainer of the bundled weights, from its command on."""

import json

import pytest
import torch

from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.cli import main
from lerf_wild.inverse import animal_training
from lerf_wild.inverse.animal_weights import load_network

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "genzoo"
    words = ["synth", "genzoo", "--output-dir", str(folder), "--num", "3", "--size", "64"]
    main([*words, "--signals", "False", "--runner", "local"])
    return folder


def run(shards, folder, steps, **options):
    options = {"batch_size": 2, "report_every": 1, "low_precision": False, **options}
    animal_training.main((shards, shards), shards, folder, steps=steps, **options)
    return json.loads((folder / "figures.json").read_text())


def test_training_leaves_weights_figures_and_a_state_to_go_on_from(shards, tmp_path, capsys):
    first = run(shards, tmp_path, 1)
    assert first["steps"] == "1" and first["pictures"] == "6" and first["pa_v2v"] > 0
    again = run(shards, tmp_path, 2)
    assert again["steps"] == "2"
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "pa_v2v" in line] == ["1", "2"]


def test_training_begins_with_other_weights(shards, tmp_path):
    run(shards, tmp_path / "one", 1)
    weights, body = tmp_path / "one/genzoo.safetensors", load_quadruped().model.sha256
    run(shards, tmp_path / "two", 1, initial=weights, learning_rate=0.0)
    earlier, later = (load_network(tmp_path / n / weights.name, body)[0] for n in ("one", "two"))
    for name, tensor in earlier.named_parameters():
        torch.testing.assert_close(later.get_parameter(name), tensor)
