"""Scenes in nerfstudio's format: good ones parse as nerfstudio parses them, bad ones say why."""

from __future__ import annotations

import json

import pytest
import stand_in
import torch
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig

from lerf_wild.dataparsers.wild_nerfstudio import WildNerfstudioDataParserConfig
from lerf_wild.errors import InputError


@pytest.fixture()
def scene(tmp_path):
    folder = tmp_path / "wall"
    return folder, stand_in.write_scene(folder)


def parse(folder, split="train", **options):
    config = WildNerfstudioDataParserConfig(data=folder, **options)
    return config.setup().get_dataparser_outputs(split)


def rewrite(folder, description):
    (folder / "transforms.json").write_text(json.dumps(description))


@pytest.mark.filterwarnings(
    "ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_agrees_with_nerfstudio(scene):
    folder, _ = scene
    ours = parse(folder)
    theirs = NerfstudioDataParserConfig(data=folder).setup().get_dataparser_outputs("train")
    assert torch.equal(ours.cameras.camera_to_worlds, theirs.cameras.camera_to_worlds)
    assert ours.dataparser_scale == theirs.dataparser_scale
    assert [path.name for path in ours.image_filenames] == [
        path.name for path in theirs.image_filenames
    ]


def test_metric_scale_travels_along(scene):
    folder, description = scene
    assert parse(folder).metadata["meters_per_unit"] == 1.0
    del description["meters_per_unit"]
    rewrite(folder, description)
    assert parse(folder).metadata["meters_per_unit"] is None


def test_named_splits_are_kept(scene):
    folder, description = scene
    names = [frame["file_path"] for frame in description["frames"]]
    rewrite(folder, {**description, "train_filenames": names[:5], "test_filenames": names[5:]})
    assert len(parse(folder, "train").image_filenames) == 5
    assert len(parse(folder, "test").image_filenames) == 3
    assert len(parse(folder, "val").image_filenames) == 3


def test_training_views_stand_in_for_missing_held_out_ones(scene):
    folder, description = scene
    names = [frame["file_path"] for frame in description["frames"]]
    rewrite(folder, {**description, "train_filenames": names})
    assert len(parse(folder, "test").image_filenames) == len(names)


def test_own_intrinsics_of_each_frame(scene):
    folder, description = scene
    for index, frame in enumerate(description["frames"]):
        frame["fl_y"] = 30.0 + index
    del description["fl_y"]
    rewrite(folder, description)
    focal = parse(folder, eval_mode="all").cameras.fy.flatten().tolist()
    assert focal == [30.0 + index for index in range(8)]


def test_no_images_are_needed_when_they_are_not_checked(scene):
    folder, description = scene
    for frame in description["frames"]:
        (folder / frame["file_path"]).unlink()
    assert len(parse(folder, check_images=False).image_filenames) == 8


def test_chosen_factor_outlives_inference_mode(scene):
    folder, _ = scene
    (folder / "images_2").mkdir()
    parser = WildNerfstudioDataParserConfig(
        data=folder, downscale_factor=2, check_images=False
    ).setup()
    parser.downscale_factor = 1
    outputs = parser.get_dataparser_outputs("train")
    assert int(outputs.cameras.height[0]) == 16
    assert outputs.image_filenames[0].parent.name == "images_2"


def test_absolute_paths_need_consent(scene, tmp_path):
    folder, description = scene
    outside = tmp_path / "elsewhere.png"
    (folder / description["frames"][0]["file_path"]).rename(outside)
    description["frames"][0]["file_path"] = str(outside)
    rewrite(folder, description)
    with pytest.raises(InputError, match="allow-outside-root"):
        parse(folder)
    assert outside in parse(folder, allow_outside_root=True, eval_mode="all").image_filenames


@pytest.mark.parametrize(
    ("name", "words"),
    [("../other.ply", "other.ply"), ("/etc/passwd", "allow-outside-root"), (3, "text"),
     ("gone.ply", "isn't there")],
)  # fmt: skip
def test_points_to_begin_with_lie_in_the_folder(scene, name, words):
    folder, description = scene
    rewrite(folder, {**description, "ply_file_path": name})
    parse(folder)
    with pytest.raises(InputError, match=words):
        parse(folder, load_3D_points=True)


NAN_POSE = [[float("nan")] * 4] * 4
FLAT_POSE = [[0.0] * 4] * 4

BROKEN = {
    "no frames": (lambda d: d.pop("frames"), "frames"),
    "empty frames": (lambda d: d.update(frames=[]), "frames"),
    "frames of text": (lambda d: d.update(frames=["a"]), r"frames\[0\]"),
    "no file path": (lambda d: d["frames"][1].pop("file_path"), r"frames\[1\].*file_path"),
    "number as path": (lambda d: d["frames"][1].update(file_path=3), "file_path"),
    "no pose": (lambda d: d["frames"][2].pop("transform_matrix"), r"frames\[2\].transform_matrix"),
    "short pose": (lambda d: d["frames"][2].update(transform_matrix=[1, 2]), "transform_matrix"),
    "text pose": (lambda d: d["frames"][2].update(transform_matrix="x"), "transform_matrix"),
    "ragged pose": (
        lambda d: d["frames"][2].update(transform_matrix=[[1], [1, 2]]),
        "transform_matrix",
    ),
    "flat pose": (lambda d: d["frames"][2].update(transform_matrix=FLAT_POSE), "determinant"),
    "nan pose": (lambda d: d["frames"][2].update(transform_matrix=NAN_POSE), "NaN"),
    "no focal length": (lambda d: d.pop("fl_x"), "fl_x"),
    "text focal length": (lambda d: d.update(fl_y="wide"), "fl_y.*number"),
    "negative focal length": (lambda d: d.update(fl_y=-3.0), "fl_y.*positive"),
    "true as width": (lambda d: d.update(w=True), "'w'"),
    "unknown camera": (lambda d: d.update(camera_model="PINHOLES"), "PINHOLES"),
    "zero scale": (lambda d: d.update(meters_per_unit=0), "meters_per_unit"),
    "text scale": (lambda d: d.update(meters_per_unit="1"), "meters_per_unit"),
    "climbing path": (lambda d: d["frames"][0].update(file_path="../../x.png"), "climbs"),
    "missing image": (lambda d: d["frames"][0].update(file_path="images/no.png"), "no.png"),
    "wrong size": (lambda d: d.update(w=40), "32x32.*40x32"),
    "split of numbers": (lambda d: d.update(train_filenames=[1]), "train_filenames"),
    "empty train split": (lambda d: d.update(train_filenames=[], test_filenames=["a"]), "train"),
    "unknown name in split": (lambda d: d.update(train_filenames=["images/z.png"]), "z.png"),
    "val split alone": (lambda d: d.update(val_filenames=["a"]), "train_filenames"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_scene_files_are_named(scene, kind):
    folder, description = scene
    change, message = BROKEN[kind]
    change(description)
    rewrite(folder, description)
    with pytest.raises(InputError, match=message) as caught:
        parse(folder)
    assert len(str(caught.value).splitlines()) <= 2


def test_truncated_image_is_named(scene):
    folder, description = scene
    path = folder / description["frames"][0]["file_path"]
    path.write_bytes(b"not an image")
    with pytest.raises(InputError, match=path.name):
        parse(folder)


@pytest.mark.parametrize("name", ["missing", "empty", "without scene file"])
def test_folders_without_a_scene(tmp_path, name):
    folder = tmp_path / name
    if name != "missing":
        folder.mkdir()
    if name == "without scene file":
        (folder / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"--data|transforms\.json"):
        parse(folder)


def test_missing_folder_of_downscaled_images_names_the_other_way(scene):
    folder, _ = scene
    with pytest.raises(InputError, match=r"camera-res-scale-factor 0\.25"):
        parse(folder, downscale_factor=4)
