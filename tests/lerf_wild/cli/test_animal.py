"""`lerf-wild animal show` and `convert` on good and bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.animals.words.encoder import WordEncoder
from lerf_wild.animals.words.flow import ConditionalFlow
from lerf_wild.animals.words.shapes import ShapeFlow, write_shape_flow
from lerf_wild.cli import main


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """A flow whose answer without noise is the mean animal, whatever the words."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("flow")
    encoder = WordEncoder()
    shapes = ShapeFlow(ConditionalFlow(41, encoder.dim, 8), encoder, load_quadruped().model)
    write_shape_flow(folder, shapes)
    return str(folder / "shape_flow.safetensors")


def show(*arguments):
    main(["animal", "show", *map(str, arguments)])


def fails(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main(["animal", *map(str, arguments)])
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert len(message.strip().splitlines()) <= 2
    return message


def test_words_give_a_model_of_the_species_size(tmp_path, flow):
    out, report = tmp_path / "deer.glb", tmp_path / "deer.json"
    show("--words", "red deer", "--flow", flow, "--output-path", out, "--json", report)
    figures = json.loads(report.read_text())
    assert figures["species"] == "red deer" and figures["height_m"] == 1.2
    assert len(figures["betas"]) == 41 and figures["model_sha256"] == load_quadruped().model.sha256
    scene = trimesh.load(out)
    # Up is y in GLB; the head is above the withers.
    assert 1.1 < np.ptp(scene.bounds[:, 1]) < 2.2


def test_unknown_animals_are_called_guesses(tmp_path, flow, capsys):
    out = tmp_path / "a.npz"
    show("--words", "a teapot", "--flow", flow, "--output-path", out)
    assert "guesses" in capsys.readouterr().out
    show("--words", "a long-legged animal", "--flow", flow, "--output-path", out)
    assert "guesses" not in capsys.readouterr().out


def test_a_gait_is_animated(tmp_path, flow):
    out, picture = tmp_path / "walk.glb", tmp_path / "walk.gif"
    show(
        *("--words", "wolf", "--flow", flow, "--gait", "walk", "--frames", 2),
        *("--output-path", out, "--picture", picture),
    )
    assert b'"animations"' in out.read_bytes()
    with Image.open(picture) as found:
        assert found.n_frames == 2


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_meshes_stand_on_the_ground(tmp_path, flow, suffix):
    out = tmp_path / f"cow{suffix}"
    show("--words", "cow", "--flow", flow, "--output-path", out, "--height-m", 1.4)
    mesh = trimesh.load(out, process=False)
    assert mesh.vertices.shape == (3889, 3) and abs(mesh.vertices[:, 2].min()) < 1e-4


def test_parameters_come_back(tmp_path, flow):
    first, second = tmp_path / "a.npz", tmp_path / "b.json"
    show("--words", "a dog", "--flow", flow, "--individual", "True", "--output-path", first)
    show("--betas", first, "--output-path", tmp_path / "b.npz", "--json", second)
    with np.load(first) as found:
        np.testing.assert_allclose(json.loads(second.read_text())["betas"], found["betas"])
    show("--betas", tmp_path / "b.npz", "--pose", first, "--output-path", tmp_path / "c.npz")


def test_pictures_show_something(tmp_path, flow):
    picture = tmp_path / "cow.png"
    show(*("--words", "cow", "--flow", flow, "--output-path", tmp_path / "cow.npz"), "--picture",
         picture)  # fmt: skip
    with Image.open(picture) as found:
        pixels = np.asarray(found)
    assert pixels.shape == (360, 480, 3) and pixels.std() > 10


def test_bad_input_is_told_in_a_line_or_two(tmp_path, flow, capsys):
    betas = tmp_path / "betas.json"
    betas.write_text("[NaN, 1]")
    assert "not a finite" in fails(capsys, "show", "--betas", betas)
    betas.write_text(json.dumps([0.0] * 145))
    assert "145 betas" in fails(capsys, "show", "--betas", betas)
    betas.write_text('{"betas": 1}')
    assert "list of shape" in fails(capsys, "show", "--betas", betas)
    assert "either --words or --betas" in fails(capsys, "show")
    assert "end the name" in fails(capsys, "show", "--words", "dog", "--output-path", "dog.fbx")
    named = ("show", "--words", "dog", "--flow", flow)
    assert "unicorn" in fails(capsys, *named, "--coat", "unicorn")
    assert "No action is 'fly'" in fails(capsys, *named, "--gait", "fly")
    assert "no word" in fails(capsys, "show", "--words", "?!", "--flow", flow)
    assert "no readable flow" in fails(capsys, "show", "--words", "dog", "--flow", betas)
    missing = tmp_path / "none.safetensors"
    assert "none.safetensors" in fails(capsys, "show", "--words", "dog", "--body", missing)


def test_betas_of_another_model_are_refused(tmp_path, capsys):
    path = tmp_path / "other.npz"
    np.savez(
        path,
        betas=np.zeros(41),
        rotations=np.tile(np.eye(3), (35, 1, 1)),
        translation=np.zeros(3),
        metres_per_unit=1.0,
        model_sha256=np.frombuffer(b"0" * 64, np.uint8),
    )
    assert "another body model" in fails(capsys, "show", "--betas", path)


def test_legacy_poses_are_refused(tmp_path, flow, capsys):
    path = tmp_path / "legacy.npz"
    np.savez(path, pose=np.zeros(99))
    message = fails(capsys, "show", "--words", "dog", "--flow", flow, "--pose", path)
    assert "without ears" in message


def test_convert_refuses_what_is_no_model(tmp_path, capsys):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x04}.")
    assert "lacks v_template" in fails(capsys, "convert", path, tmp_path / "a.safetensors")
    assert "end the name" in fails(capsys, "convert", path, tmp_path / "a.npz")
