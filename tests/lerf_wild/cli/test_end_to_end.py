"""Every command on one real run: a tiny habitat, trained for a moment through `ns-train`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lerf_wild.cli.export import CLOUD_NAME
from lerf_wild.cli.training import config_path, run_training, train_words
from lerf_wild.export.manifest import read_manifest
from lerf_wild.export.ply import read_cloud
from lerf_wild.language.wild_clip import WEIGHTS_FOLDER, WEIGHTS_NAME

VIEWS, SIDE, STEPS = 10, 40, 150
PHRASES = ("red fox", "pine tree", "fallen log")

pytestmark = pytest.mark.skipif(
    not (WEIGHTS_FOLDER / WEIGHTS_NAME).is_file(), reason="the bundled weights are missing"
)


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory) -> Path:
    """Returns the config.yml of a run of a few steps; its scene lies beside the outputs."""
    from lerf_wild import cli

    root = tmp_path_factory.mktemp("tiny")
    words = ["synth", "habitat", "--output-dir", str(root / "scene"), "--seed", "3"]
    words += ["--views", str(VIEWS), "--width", str(SIDE), "--height", str(SIDE)]
    cli.main([*words, "--workers", "1"])
    flags = ("--pipeline.encoder", "wild-clip")
    flags += ("--pipeline.datamanager.train-num-rays-per-batch", "256")
    flags += ("--pipeline.datamanager.feature-cache", str(root / "cache"))
    training = train_words("lerf-wild-tiny", root / "scene", root / "out", STEPS, flags)
    seen: list[int] = []
    run_training(training, root / "train.log", seen.append)
    return config_path("lerf-wild-tiny", root / "out")


def report(path: Path) -> dict:
    return json.loads(path.read_text())


def test_query(tiny_run, exit_code, capsys, tmp_path):
    words = ["query", "--load-config", tiny_run, "--phrases", *PHRASES, "--num-points", 3000]
    assert exit_code(*words, "--json", tmp_path / "q.json") == 0
    assert "red fox" in capsys.readouterr().out
    content = report(tmp_path / "q.json")
    assert content["scale_unit"] == "metres"
    assert content["command"]
    assert [one["phrase"] for one in content["queries"]] == list(PHRASES)
    for one in content["queries"]:
        assert 0 <= one["score"] <= 1
        assert one["present"] == (one["score"] > content["existence_threshold"])
        # Tiles of 0.05 to 0.5 of a view of a place of some metres.
        assert 0.01 < one["scale"] < 60
        assert np.isfinite(one["position"]).all()


def test_export(tiny_run, exit_code, tmp_path):
    words = ["export", "--load-config", tiny_run, "--phrases", *PHRASES, "--num-points", 2000]
    assert exit_code(*words, "--output-dir", tmp_path / "a") == 0
    cloud = read_cloud(tmp_path / "a" / f"{CLOUD_NAME}.ply")
    assert len(cloud) == 2000
    assert cloud.phrases == PHRASES
    assert cloud.metadata["frame"] == "world"
    np.testing.assert_allclose(np.linalg.norm(cloud.normals_N3, axis=1), 1, atol=1e-3)
    assert cloud.colours_N3.std() > 0
    manifest = read_manifest(tmp_path / "a" / f"{CLOUD_NAME}.json")
    assert set(manifest["scales"]) == set(PHRASES)
    for kind in ("las", "csv"):
        assert exit_code(*words, "--output-dir", tmp_path / kind, "--format", kind) == 0
        assert (tmp_path / kind / f"{CLOUD_NAME}.{kind}").stat().st_size > 2000
    assert exit_code(*words, "--output-dir", tmp_path / "b") == 0
    again = read_cloud(tmp_path / "b" / f"{CLOUD_NAME}.ply")
    np.testing.assert_array_equal(again.positions_N3, cloud.positions_N3)


def test_frames_differ_by_the_dataparser_transform(tiny_run, exit_code, tmp_path):
    words = ["export", "--load-config", tiny_run, "--phrases", "red fox", "--num-points", 500]
    for frame in ("world", "nerf"):
        assert exit_code(*words, "--frame", frame, "--output-dir", tmp_path / frame) == 0
    world, nerf = (
        read_cloud(tmp_path / frame / f"{CLOUD_NAME}.ply") for frame in ("world", "nerf")
    )
    saved = report(tiny_run.parent / "dataparser_transforms.json")
    transform = np.array(saved["transform"])
    moved = saved["scale"] * (world.positions_N3 @ transform[:, :3].T + transform[:, 3])
    np.testing.assert_allclose(moved, nerf.positions_N3, atol=1e-4)


def test_eval(tiny_run, exit_code, tmp_path):
    assert exit_code("eval", "--load-config", tiny_run, "--json", tmp_path / "e.json") == 0
    content = report(tmp_path / "e.json")
    for name in ("psnr", "ssim", "localisation_accuracy", "miou", "existence_ap"):
        assert isinstance(content[name], float)
    assert content["psnr"] > 5
    assert 0 <= content["miou"] <= content["localisation_accuracy"] + 1
    assert content["held_out_views"] == 2


def test_render(tiny_run, exit_code, tmp_path):
    words = ["render", "--load-config", tiny_run, "--phrases", "red fox", "pine tree"]
    assert exit_code(*words, "--output-path", tmp_path / "views", "--style", "side-by-side") == 0
    frames = sorted((tmp_path / "views").glob("*.png"))
    assert len(frames) == 2
    height, width = np.asarray(Image.open(frames[0])).shape[:2]
    assert width == 3 * SIDE
    assert height > SIDE
    spiral = [*words, "--views", "spiral", "--frames", 3, "--output-path", tmp_path / "a.mp4"]
    assert exit_code(*spiral) == 0
    assert (tmp_path / "a.mp4").stat().st_size > 500


def test_moved_runs_open_and_missing_data_is_named(tiny_run, exit_code, capsys, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(tiny_run.parent, moved)
    words = ["query", "--load-config", moved / "config.yml", "--phrases", "red fox"]
    words += ["--num-points", 500]
    assert exit_code(*words) == 0
    assert exit_code(*words, "--data", tmp_path / "gone") == 2
    err = capsys.readouterr().err
    assert "--data" in err
    checkpoint = next((moved / "nerfstudio_models").iterdir())
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert exit_code(*words) == 2
    assert str(checkpoint) in capsys.readouterr().err


def test_two_hundred_phrases_are_answered(tiny_run, exit_code, tmp_path):
    (tmp_path / "p.txt").write_text("\n".join(f"animal {i}" for i in range(200)))
    words = ["query", "--load-config", tiny_run, "--phrases-file", tmp_path / "p.txt"]
    assert exit_code(*words, "--num-points", 300, "--json", tmp_path / "q.json") == 0
    assert len(report(tmp_path / "q.json")["queries"]) == 200


def test_a_bake_is_asked_exported_and_measured(tiny_run, exit_code, capsys, tmp_path):
    file = tmp_path / "scene.safetensors"
    words = ["bake", "--load-config", tiny_run, "--output-path", file, "--num-points", 4000]
    assert exit_code(*words, "--voxels", 2000, "--sizes", 5) == 0
    words = ["query", "--baked", file, "--phrases", *PHRASES, "--json", tmp_path / "q.json"]
    assert exit_code(*words) == 0
    assert [one["phrase"] for one in report(tmp_path / "q.json")["queries"]] == list(PHRASES)
    words = ["export", "--baked", file, "--phrases", "red fox", "--output-dir", tmp_path / "out"]
    assert exit_code(*words) == 0
    assert len(read_cloud(tmp_path / "out" / f"{CLOUD_NAME}.ply")) == 4000
    words = ["eval", "--load-config", tiny_run, "--baked", file, "--json", tmp_path / "e.json"]
    assert exit_code(*words) == 0
    figures = report(tmp_path / "e.json")
    assert 0 <= figures["baked_localisation_accuracy"] <= 1 and 0 <= figures["baked_miou"] <= 1
    assert "baked" in capsys.readouterr().out
