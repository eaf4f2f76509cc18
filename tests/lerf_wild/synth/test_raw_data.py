"""Samples of `synth raw` read back as they were written, and are the same on every run."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lerf_wild.assets.scene_assets import load_individual
from lerf_wild.cli import main
from lerf_wild.errors import DatasetError, InputError
from lerf_wild.synth import raw_scenes
from lerf_wild.synth.raw_data import RawJob, asset_pool, decode, scene_samples
from lerf_wild.synth.raw_scenes import SceneSpec
from lerf_wild.synth.shards import read_dataset

JOB = RawJob(seed=3, views=2, spec=SceneSpec(size=64, min_pixels=10, objects=(2, 4)), extras=True)


@pytest.fixture(scope="module")
def samples():
    return scene_samples(JOB, 1)


def test_a_sample_reads_back(samples):
    assert samples
    for key, parts in samples:
        rgb, program, boxes = decode(key, parts)
        assert rgb.shape == (64, 64, 3) and len(boxes) == len(program.objects) >= 1
        assert [o.pixels for o in program.objects] == sorted(
            (o.pixels for o in program.objects), reverse=True
        )
        assert all(item.asset in asset_pool("starter") for item in program.objects)


def test_instances_are_numbered_as_the_program_orders_them(samples):
    import io

    from PIL import Image

    for key, parts in samples:
        _, program, _ = decode(key, parts)
        numbers = np.asarray(Image.open(io.BytesIO(parts["instances.png"])))
        for i, item in enumerate(program.objects):
            assert (numbers == 10 + i).sum() == item.pixels


def test_the_same_job_gives_the_same_bytes(samples):
    assert scene_samples(JOB, 1) == samples
    assert scene_samples(JOB, 2) != samples


def test_held_out_assets_are_not_drawn_in_training():
    assert not set(asset_pool("starter")) & set(asset_pool("held-out"))
    assert len(asset_pool("held-out")) == 19
    assert set(asset_pool("grown")) <= set(asset_pool("all"))


def test_jobs_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="none of"):
        RawJob(pool="unicorns")
    with pytest.raises(InputError, match="pixels a side"):
        RawJob(spec=SceneSpec(size=5))


def test_broken_samples_are_named(samples):
    key, parts = samples[0]
    for changed in (
        {k: v for k, v in parts.items() if k != "png"},
        {**parts, "png": b"no picture"},
        {**parts, "program.txt": b"import os"},
        {**parts, "json": b'{"boxes": [[1, 2]]}'},
        {**parts, "json": json.dumps({"boxes": []}).encode()},
    ):
        with pytest.raises(DatasetError, match=key):
            decode(key, changed)


def test_the_command_writes_a_dataset_and_goes_on_with_it(tmp_path, capsys):
    flags = ["--output-dir", str(tmp_path / "d"), "--scenes", "2", "--views", "1", "--size", "48"]
    report = tmp_path / "report.json"
    main(["synth", "raw", *flags, "--scenes-per-shard", "1", "--json", str(report)])
    first = {path.name: path.read_bytes() for path in (tmp_path / "d").glob("*.tar")}
    assert json.loads(report.read_text())["images"] == len(list(read_dataset(tmp_path / "d")))
    (tmp_path / "d" / "000001.tar").unlink()
    main(["synth", "raw", *flags, "--scenes-per-shard", "1"])
    assert {p.name: p.read_bytes() for p in (tmp_path / "d").glob("*.tar")} == first
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(["synth", "raw", *flags, "--seed", "1", "--scenes-per-shard", "1"])
    assert stopped.value.code == 2 and "other settings" in capsys.readouterr().err


def test_no_crown_reaches_into_a_picture_from_behind_the_camera(monkeypatch):
    spec = SceneSpec(size=48, min_pixels=4, objects=(1, 1))
    rng = np.random.default_rng(3)
    drawn = raw_scenes.draw_scene(rng, ["oak_tree", "grey_rock"], spec)
    rock, tree = (load_individual(name) for name in ("grey_rock", "oak_tree"))
    wide = replace(tree, vertices_V3=tree.vertices_V3 * np.float32([3, 3, 1]))
    standing = tuple(
        raw_scenes.Standing(asset, np.array([x, 0.0, 0.0]), 0.0, height)
        for asset, x, height in ((rock, 0.0, 1.0), (wide, 7.5, 3.0))
    )
    scene = replace(drawn, standing=standing)

    def least():
        shots = raw_scenes.shoot(scene, np.random.default_rng(5), spec, 40)
        return min(-look.loc_3[2] for shot in shots for look in shot.seen)

    assert least() >= raw_scenes.LEAST_DEPTH_M
    monkeypatch.setattr(raw_scenes, "LEAST_DEPTH_M", -np.inf)
    assert least() < 0.5
