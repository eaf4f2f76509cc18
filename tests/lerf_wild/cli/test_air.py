"""`lerf-wild air` and `synth primitives` on good and bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from lerf_wild.cli import main
from lerf_wild.inverse.primitive_network import NetworkSpec, PrimitiveNetwork
from lerf_wild.inverse.primitive_setups import REFERENCE
from lerf_wild.inverse.primitive_weights import save_network
from lerf_wild.synth.primitives import read_shards

TINY = NetworkSpec(stem=8, fine=8, coarse=8, token=16, fine_blocks=1, coarse_blocks=1, heads=2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_network(path, PrimitiveNetwork(TINY), {"setup": "reference"})
    return str(path)


def picture(path, size=64):
    images, _ = REFERENCE.draw(1, torch.Generator().manual_seed(20_040))
    grey = Image.fromarray((images[0] * 255).byte().numpy())
    grey.resize((size, size)).save(path)
    return str(path)


def infer(tmp_path, weights, *arguments):
    out = tmp_path / "out.json"
    main(["air", "infer", *arguments, "--json", str(out), "--weights", weights, "--starts", "1"])
    return json.loads(out.read_text())


def test_entries_have_the_promised_form(tmp_path, weights):
    entries = infer(
        tmp_path, weights, picture(tmp_path / "a.png"), picture(tmp_path / "b.png", 200)
    )
    assert len(entries) == 2
    for entry in entries:
        assert entry["count"] == len(entry["objects"])
        for thing in entry["objects"]:
            assert thing["type"] in ("sphere", "cube", "cylinder")
            R = np.array(thing["rotation"])
            assert np.allclose(R @ R.T, np.eye(3), atol=1e-4) and np.linalg.det(R) > 0.99
            assert len(thing["position"]) == 3 and 0 <= thing["confidence"] <= 1
    assert (tmp_path / "out.png").exists()


def test_odd_images_are_taken(tmp_path, weights):
    Image.fromarray(np.full((1, 1), 90, np.uint8)).save(tmp_path / "one.png")
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "black.png")
    Image.fromarray(np.zeros((2160, 3840, 4), np.uint8)).save(tmp_path / "rgba4k.png")
    Image.fromarray(np.zeros((90, 64), np.uint16)).save(tmp_path / "deep.png")
    np.save(tmp_path / "stack.npy", np.zeros((5, 32, 32), np.float32))
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    entries = infer(tmp_path, weights, *files)
    assert len(entries) == 9
    assert [e["count"] for e in entries if "one" not in e["image"]] == [0] * 8


def test_a_folder_of_many_images_is_one_batch(tmp_path, weights):
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(120):
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(folder / f"{index:04d}.png")
    assert len(infer(tmp_path, weights, str(folder))) == 120


def test_a_broken_image_does_not_stop_a_folder(tmp_path, weights, capsys):
    folder = tmp_path / "some"
    folder.mkdir()
    picture(folder / "a.png")
    (folder / "broken.png").write_text("not a picture")
    (entry,) = infer(tmp_path, weights, str(folder))
    assert entry["image"].endswith("a.png")
    assert "broken.png" in capsys.readouterr().out


def test_pictures_of_something_else_are_doubted(tmp_path, capsys):
    light = tmp_path / "light.png"
    Image.fromarray(np.full((64, 64), 90, np.uint8)).save(light)
    for file, is_doubted in ((str(light), True), (picture(tmp_path / "a.png"), False)):
        main(["air", "infer", file, "--starts", "1"])
        assert ("hardly shows bright primitives" in capsys.readouterr().out) == is_doubted


def fails(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    message = capsys.readouterr().err.strip()
    assert caught.value.code == 2
    assert message.startswith("lerf-wild: ") and len(message.splitlines()) == 1, message
    return message


def test_text_renamed_to_png_is_one_line(tmp_path, weights, capsys):
    (tmp_path / "notes.png").write_text("not a picture")
    message = fails(["air", "infer", str(tmp_path / "notes.png"), "--weights", weights], capsys)
    assert "notes.png" in message


@pytest.mark.parametrize(
    "arguments",
    [
        ["air", "infer", "nowhere.png"],
        ["air", "eval", "--weights", "nowhere.safetensors"],
        ["air", "eval", "--scenes", "0"],
        ["synth", "primitives", "--output-dir", "x", "--scenes", "0"],
        ["synth", "primitives", "--output-dir", "x", "--setup", "moon"],
    ],
)
def test_bad_arguments_are_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fails(arguments, capsys)


def test_eval_writes_flat_figures_and_plots(tmp_path, weights):
    out = tmp_path / "eval.json"
    main(
        ["air", "eval", "--weights", weights, "--scenes", "12", "--starts", "0"]
        + ["--json", str(out), "--output-dir", str(tmp_path / "plots")]
    )
    report = json.loads(out.read_text())
    for name in ("count_exact", "type_accuracy", "x_mae", "network_count_exact", "seed"):
        assert isinstance(report[name], int | float) or report[name] is None, name
    assert {p.name for p in (tmp_path / "plots").iterdir()} == {
        "gallery.png",
        "confusion.png",
        "errors.png",
    }


def test_synth_primitives_writes_once(tmp_path, capsys):
    arguments = ["synth", "primitives", "--output-dir", str(tmp_path / "d"), "--scenes", "30"]
    main([*arguments, "--shard-size", "20", "--json", str(tmp_path / "r.json")])
    assert json.loads((tmp_path / "r.json").read_text())["shards"] == 2
    assert sum(len(scenes) for _, scenes in read_shards(tmp_path / "d")) == 30
    assert "already" in fails(arguments, capsys)
