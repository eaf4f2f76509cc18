"""Scenes on disk: the same bytes for any number of workers, and labels that agree with pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lerf_wild.errors import DatasetError
from lerf_wild.export.ply import read_vertices
from lerf_wild.synth.habitat import make_habitat
from lerf_wild.synth.habitat_files import TEST_EVERY, write_habitat
from lerf_wild.synth.terrain import FIRST_INSTANCE_ID

VIEWS, SIZE = 9, (40, 32)


@pytest.fixture(scope="module")
def habitat(grow_block):
    return make_habitat(3, biome="meadow", grow=grow_block)


@pytest.fixture(scope="module")
def scene(habitat, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    write_habitat(habitat, folder, VIEWS, SIZE, samples=1)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_text())


def test_workers_change_nothing(habitat, scene, tmp_path):
    write_habitat(habitat, tmp_path, VIEWS, SIZE, samples=1, workers=2)
    assert files_of(tmp_path) == files_of(scene)


def test_cameras_project_the_sparse_points_where_the_depth_is(scene):
    transforms = read(scene, "transforms.json")
    rows_N, _ = read_vertices(scene / "sparse.ply")
    points_N3 = np.stack([rows_N[axis] for axis in "xyz"], axis=-1)
    # The first points are those of the first view.
    points_N3 = points_N3[:100]
    frame = transforms["frames"][0]
    pose = np.array(frame["transform_matrix"])
    local = (points_N3 - pose[:3, 3]) @ pose[:3, :3]
    x = transforms["fl_x"] * local[:, 0] / -local[:, 2] + transforms["cx"]
    y = -transforms["fl_y"] * local[:, 1] / -local[:, 2] + transforms["cy"]
    depth_m = np.asarray(Image.open(scene / frame["depth_file_path"])).astype(float) / 1000
    found = depth_m[np.floor(y).astype(int), np.floor(x).astype(int)]
    # The depth files end at 65.535 m.
    np.testing.assert_allclose(found, np.minimum(-local[:, 2], 65.535), atol=2e-3)


def test_labels_are_the_bounds_of_the_instances(scene):
    for path in sorted((scene / "labels").glob("*.json")):
        label = json.loads(path.read_text())
        ids = np.asarray(Image.open(scene / "instances" / f"{path.stem}.png"))
        for shape in label["shapes"]:
            rows, columns = np.nonzero(ids == shape["instance"])
            (x0, y0), (x1, y1) = shape["points"]
            assert (x0, y0) == (columns.min(), rows.min())
            assert (x1, y1) == (columns.max(), rows.max())


def test_held_out_views_have_labels_and_no_part_in_training(scene):
    transforms = read(scene, "transforms.json")
    held_out = transforms["test_filenames"]
    assert not set(held_out) & set(transforms["train_filenames"])
    assert len(held_out) + len(transforms["train_filenames"]) == VIEWS
    names = {Path(name).stem for name in held_out}
    assert {path.stem for path in (scene / "labels").iterdir()} == names
    assert len(held_out) == -(-VIEWS // TEST_EVERY)


def test_present_and_absent_never_meet(scene):
    content = read(scene, "scene.json")
    present, absent = set(content["present"]), set(content["absent"])
    assert present
    assert absent
    assert not present & absent
    labelled = {
        shape["label"]
        for path in (scene / "labels").iterdir()
        for shape in json.loads(path.read_text())["shapes"]
    }
    assert labelled <= present
    assert all(item["id"] >= FIRST_INSTANCE_ID for item in content["instances"])


def test_a_scene_is_never_written_over(habitat, scene):
    before = files_of(scene)
    with pytest.raises(DatasetError, match="already holds a scene"):
        write_habitat(habitat, scene, VIEWS, SIZE)
    assert files_of(scene) == before


@pytest.mark.parametrize(("views", "size"), [(7, SIZE), (8, (8, 8)), (8, (40, 5000))])
def test_what_can_not_be_rendered_is_refused(habitat, tmp_path, views, size):
    with pytest.raises(DatasetError):
        write_habitat(habitat, tmp_path / "new", views, size)
    assert not (tmp_path / "new").exists()
