from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from lerf_wild.errors import DatasetError, InputError
from lerf_wild.language.labels import (
    read_instances,
    read_labelme,
    read_labels,
    read_lerf_ovs,
    read_scene_truth,
)

LABELME = {
    "version": "5.2.1",
    "imagePath": "..\\images\\frame_00003.png",
    "imageHeight": 40,
    "imageWidth": 60,
    "shapes": [
        {
            "label": "red fox",
            "shape_type": "rectangle",
            "points": [[30, 20], [10, 5]],
            "instance": 4,
        },
        {"label": " red fox", "shape_type": "rectangle", "points": [[40, 30], [50, 35]]},
        {"label": "oak", "shape_type": "polygon", "points": [[0, 0], [9, 0], [0, 9]]},
    ],
}
OVS = {
    "info": {"name": "frame_00041.jpg", "height": 40, "width": 60},
    "objects": [
        {
            "category": "egg",
            "bbox": [10, 5, 20, 15],
            "segmentation": [[10, 5], [20.7, 5], [20, 15], [10, 15]],
        },
        {"category": "egg", "bbox": [1, 1, 3, 3], "segmentation": [[1, 1], [3, 1], [2, 3]]},
    ],
}
SCENE = {
    "seed": 1,
    "instances": [
        {
            "id": 1,
            "phrases": ["red fox", "fox", "animal"],
            "position_m": [1, 2, 0],
            "height_m": 0.4,
        },
        {"id": 7, "phrases": ["grey wolf", "animal"], "position_m": [0, 0, 0], "height_m": 0.8},
    ],
    "present": ["red fox", "grey wolf"],
    "absent": ["zebra"],
}


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_labelme(tmp_path):
    view = read_labelme(write(tmp_path / "3_rgb.json", LABELME))
    assert (view.index, view.image_name) == (3, "frame_00003.png")
    assert (view.height, view.width) == (40, 60)
    fox = view.regions["red fox"]
    assert fox.boxes_K4.tolist() == [[10, 5, 30, 20], [40, 30, 50, 35]]
    assert fox.instances == (4,)
    assert list(view.regions) == ["red fox", "oak"]


def test_masks_cover_boxes_with_their_borders(tmp_path):
    view = read_labelme(write(tmp_path / "a.json", LABELME))
    expected = np.zeros((40, 60), dtype=bool)
    expected[5:21, 10:31] = True
    expected[30:36, 40:51] = True
    assert np.array_equal(view.mask("red fox"), expected)
    triangle = view.mask("oak")
    assert triangle[0, 0]
    assert triangle[0, 9]
    assert not triangle[9, 9]


def test_masks_agree_with_opencv(tmp_path):
    cv2 = pytest.importorskip("cv2")
    view = read_lerf_ovs(write(tmp_path / "a.json", OVS))
    expected = np.zeros((40, 60), np.uint8)
    for polygon in view.regions["egg"].polygons:
        cv2.fillPoly(expected, [polygon.astype(np.int32)], 1)
    # The two fill rules may differ on single pixels of a slanted edge.
    assert (view.mask("egg") != expected.astype(bool)).mean() < 0.002


def test_lerf_ovs(tmp_path):
    view = read_lerf_ovs(write(tmp_path / "frame_00041.json", OVS))
    assert view.image_name == "frame_00041.jpg"
    assert view.regions["egg"].boxes_K4.tolist() == [[10, 5, 20, 15], [1, 1, 3, 3]]
    assert view.mask("egg")[10, 15]


def test_folders_are_read_in_natural_order(tmp_path):
    for i in (10, 2, 1):
        write(tmp_path / f"{i}_rgb.json", LABELME)
    write(tmp_path / "frame_00001.json", OVS)
    write(tmp_path / "keyframes.json", {"keyframes": []})
    names = [view.name for view in read_labels(tmp_path)]
    assert names == ["1_rgb", "2_rgb", "10_rgb", "frame_00001"]
    with pytest.raises(InputError, match="nowhere"):
        read_labels(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no label files"):
        read_labels(tmp_path / "empty")


def test_scene_truth(tmp_path):
    truth = read_scene_truth(write(tmp_path / "scene.json", SCENE))
    assert truth.absent == ("zebra",)
    ids = np.array([[0, 1], [7, 2]])
    assert truth.mask(ids, "animal").tolist() == [[False, True], [True, False]]
    assert not truth.mask(ids, "zebra").any()


def test_instances(tmp_path):
    ids = np.array([[0, 300], [65535, 1]], dtype=np.uint16)
    Image.fromarray(ids).save(tmp_path / "ids.png")
    assert np.array_equal(read_instances(tmp_path / "ids.png"), ids)
    Image.new("RGB", (2, 2)).save(tmp_path / "rgb.png")
    with pytest.raises(DatasetError, match="one 16-bit channel"):
        read_instances(tmp_path / "rgb.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "ids.png").read_bytes()[:30])
    with pytest.raises(DatasetError, match=r"cut\.png"):
        read_instances(tmp_path / "cut.png")


@pytest.mark.parametrize(
    "content",
    [
        [],
        {**LABELME, "imageHeight": 0},
        {**LABELME, "imageHeight": 10**9},
        {**LABELME, "imageWidth": "wide"},
        {**LABELME, "shapes": 3},
        {**LABELME, "shapes": [3]},
        {**LABELME, "shapes": [{"label": "x", "points": [[1, 2]]}]},
        {**LABELME, "shapes": [{"label": "x", "points": [[1], [2]]}]},
        {**LABELME, "shapes": [{"label": "x", "points": [["a", 1], [2, 3]]}]},
        {**LABELME, "shapes": [{"points": [[1, 2], [2, 3]]}]},
        {**OVS, "info": None},
        {**OVS, "objects": [{"category": "x", "bbox": [1, 2, 3], "segmentation": [[1, 2]] * 3}]},
        {**OVS, "objects": [{"category": "x", "bbox": [1, 2, 3, 4], "segmentation": [[1, 2]]}]},
    ],
)
def test_wrong_label_files_are_named(tmp_path, content):
    with pytest.raises(InputError, match=r"bad\.json"):
        read_labels(write(tmp_path / "bad.json", content))


@pytest.mark.parametrize("key", ["instances", "present", "absent"])
def test_wrong_scene_files_are_named(tmp_path, key):
    content = {name: value for name, value in SCENE.items() if name != key}
    with pytest.raises(InputError, match=key):
        read_scene_truth(write(tmp_path / "scene.json", content))
