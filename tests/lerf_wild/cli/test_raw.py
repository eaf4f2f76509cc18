"""`lerf-wild raw` from a picture to files and back."""

import json

import numpy as np
import pytest
from PIL import Image

from lerf_wild.cli import main
from lerf_wild.inverse.program_likeness import Likeness
from lerf_wild.program.files import read_program, write_program
from lerf_wild.program.types import Program, SceneObject, Settings
from lerf_wild.render.scene_program import render_program

PROGRAM = Program(
    Settings(camera_pitch_deg=84.0, camera_height_m=1.6, ground_name="meadow 1"),
    (SceneObject(900, (0.3, -1.0, -5.0), 0.9, asset="grey_rock", kind="rock"),),
)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "rock.png"
    Image.fromarray(render_program(PROGRAM, 256, 256).picture.rgb).save(path)
    return path


def test_a_photo_becomes_a_program_metres_a_picture_and_a_mesh(photo, tmp_path, capsys):
    report = tmp_path / "report.json"
    main(["raw", "reconstruct", str(photo), "--output-dir", str(tmp_path), "--json", str(report)])
    assert {"scene.txt", "scene.json", "scene.glb", "side_by_side.jpg"} <= {
        path.name for path in tmp_path.iterdir()
    }
    told = json.loads((tmp_path / "scene.json").read_text())
    program = read_program(tmp_path / "scene.txt")
    assert len(told["objects"]) == len(program.objects)
    assert json.loads(report.read_text())["photos"][0]["objects"] == told["objects"]
    assert "rock.png" in capsys.readouterr().out


def test_a_program_is_drawn_and_exported_by_suffix(tmp_path, capsys):
    write_program(tmp_path / "scene.txt", PROGRAM)
    flags = ["raw", "render", str(tmp_path / "scene.txt"), "--size", "48", "--output-path"]
    main([*flags, str(tmp_path / "a.png")])
    assert np.asarray(Image.open(tmp_path / "a.png")).shape == (48, 48, 3)
    main([*flags, str(tmp_path / "a.glb")])
    assert (tmp_path / "a.glb").read_bytes()[:4] == b"glTF"
    whole = (tmp_path / "scene.txt").read_text()
    (tmp_path / "scene.txt").write_text(whole + "add(pixels=10, loc=(0.")
    main([*flags, str(tmp_path / "b.png")])
    assert "is cut off" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main([*flags, str(tmp_path / "a.png"), "--renderer", "blender", "--samples", "0"])
    assert stopped.value.code == 2
    assert "rays a pixel" in capsys.readouterr().err
    for name in ("a.tiff", "a"):
        with pytest.raises(SystemExit) as stopped:
            main([*flags, str(tmp_path / name)])
        assert stopped.value.code == 2
    assert "give a .png" in capsys.readouterr().err


def test_one_table_has_the_reader_its_intervals_and_the_baselines(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("lerf_wild.cli.raw.USUAL_SCENES", 4)
    report = tmp_path / "raw.json"
    flags = ["raw", "eval", "--scenes", "2", "--assets", "seen", "--likeness", "False"]
    main([*flags, "--output-dir", str(tmp_path / "kept"), "--json", str(report)])
    told = json.loads(report.read_text())
    for name in ("parse_rate", "count_exact", "yaw_error_deg", "recall_at_5"):
        assert told[f"{name}_low"] <= told[f"{name}_high"]
        assert f"one_template_{name}" in told and f"over_constant_{name}" in told
    assert told["parse_rate"] == 1.0 and told["scenes"] == 2
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("95 %", "medians", "constant", "seen: 2"))
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["seen_00000.json"]


class Grey:
    """A stand-in for networks that compare pictures."""

    identity = "grey"

    def encode_images(self, images):
        return images.mean(dim=(2, 3))

    def patch_features(self, images):
        return images[:, :, :2, :2]


def test_the_report_tells_likeness_and_the_networks_that_measured_it(tmp_path, monkeypatch):
    monkeypatch.setattr("lerf_wild.cli.raw.USUAL_SCENES", 4)
    networks = Likeness(Grey(), Grey(), lambda a, b: (a - b).abs().mean())
    monkeypatch.setattr(
        "lerf_wild.inverse.program_likeness.load_likeness", lambda *_: (networks, "")
    )
    report = tmp_path / "raw.json"
    main(["raw", "eval", "--scenes", "1", "--assets", "seen", "--json", str(report)])
    told = json.loads(report.read_text())
    assert (told["clip_network"], told["lpips_network"]) == ("grey", "alex")
    assert 0.0 <= told["lpips"] <= told["constant_lpips"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["eval", "--yaws", "7"], "divisor of 24"),
        (["eval", "--refine", "-1"], "0 or more"),
        (["eval", "--baselines", "nowhere"], "name=FOLDER"),
        (["eval", "--baselines", "constant=nowhere"], "name=FOLDER"),
        (["eval", "--baselines", "refined_ids=nowhere"], "name=FOLDER"),
        (["eval", "--baselines", "permuted_ids=nowhere"], "no such file"),
        (["reconstruct", "missing.png", "--output-dir", "out"], "missing.png"),
        (["eval", "--scenes", "0"], "at least one scene"),
        (["eval", "--weights", "nowhere"], "no such file"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["raw", *words])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
