"""Readers of Animal3D and AP-10K on files of their make, and on files that are not."""

from __future__ import annotations

import contextlib
import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerf_wild.animals import annotations
from lerf_wild.animals.schema import KEYPOINT_NAMES
from lerf_wild.errors import InputError

RNG = np.random.default_rng(0)
ENTRY = {
    "img_path": "images/train/n02120079/a.jpg",
    "mask_path": "masks/a.png",
    "supercategory": 3,
    "keypoint_2d": RNG.uniform(1, 99, (26, 2)).round(2).tolist(),
    "keypoint_3d": RNG.normal(size=(26, 3)).round(3).tolist(),
    "bbox": [10, 20, 30, 40],
    "pose": RNG.normal(size=105).round(3).tolist(),
    "shape": [0.5] * 20,
    "shape_extra": [0.25] * 21,
    "trans": [0.0, 1.0, 2.0],
}
ENTRY["keypoint_2d"] = [[x, y, i % 2] for i, (x, y) in enumerate(ENTRY["keypoint_2d"])]
COCO = {
    "images": [{"id": 7, "file_name": "000000000007.jpg"}],
    "categories": [{"id": 2, "name": "argali sheep"}],
    "annotations": [
        {
            "id": 1,
            "image_id": 7,
            "category_id": 2,
            "bbox": [1, 2, 30, 40],
            "area": 600,
            "keypoints": [v for i in range(17) for v in (10 * i, 10 * i + 1, 2 * (i % 3 > 0))],
        }
    ],
}


def written(tmp_path, content):
    path = tmp_path / "file.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("wrap", [lambda rows: {"data": rows}, list])
def test_animal3d_is_read_whole(tmp_path, wrap):
    (found,) = annotations.read_animal3d(written(tmp_path, wrap([ENTRY])))
    assert found.image == ENTRY["img_path"] and found.mask == "masks/a.png"
    assert found.box_xywh == (10, 20, 30, 40) and found.category == "3"
    np.testing.assert_allclose(found.keypoints_P2, np.array(ENTRY["keypoint_2d"])[:, :2], rtol=1e-6)
    assert found.valid_P.tolist() == [bool(i % 2) for i in range(26)]
    assert found.betas.shape == (41,) and found.rotvecs.shape == (35, 3)
    np.testing.assert_allclose(found.rotvecs.ravel(), ENTRY["pose"], rtol=1e-6)


def test_animal3d_without_a_body(tmp_path):
    bare = {k: ENTRY[k] for k in ("img_path", "keypoint_2d", "bbox")}
    (found,) = annotations.read_animal3d(written(tmp_path, {"data": [bare]}))
    assert found.betas is found.rotvecs is found.keypoints_P3 is found.mask is None


def test_ap10k_goes_to_the_26(tmp_path):
    (found,) = annotations.read_ap10k(written(tmp_path, COCO))
    assert found.image == "000000000007.jpg" and found.category == "argali sheep"
    assert found.area_px2 == 600
    by_name = dict(zip(KEYPOINT_NAMES, zip(found.keypoints_P2.tolist(), found.valid_P.tolist())))
    assert by_name["nose"] == ([20.0, 21.0], True)
    assert by_name["neck"] == ([30.0, 31.0], False)
    assert by_name["right hind paw"] == ([160.0, 161.0], True)
    assert not by_name["left hind knee"][1] and found.valid_P.sum() == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.pop("img_path"), "entry 0: img_path"),
        (lambda e: e["keypoint_2d"].pop(), "keypoint_2d is not 26 x 3"),
        (lambda e: e["pose"].pop(), "pose is not 105"),
        (lambda e: e.update(bbox=[1, 2, 0, 4]), "sides must be"),
        (lambda e: e.update(bbox="wide"), "bbox is not 4"),
        (lambda e: e["keypoint_3d"].__setitem__(3, [1]), "keypoint_3d"),
        (lambda e: e.update(trans=[1e39, 0, 0]), "trans is not 3 finite"),
    ],
)
def test_wrong_entries_are_named(tmp_path, change, message):
    entry = copy.deepcopy(ENTRY)
    change(entry)
    with pytest.raises(InputError, match=message):
        annotations.read_animal3d(written(tmp_path, {"data": [entry]}))


@pytest.mark.parametrize("content", [{}, [], {"data": {}}, {"images": []}, 3, {"data": [4]}])
@pytest.mark.parametrize("name", list(annotations.READERS))
def test_other_json_is_refused(tmp_path, content, name):
    with pytest.raises(InputError):
        annotations.READERS[name](written(tmp_path, content))


def test_ap10k_refuses_unknown_images(tmp_path):
    content = copy.deepcopy(COCO)
    content["annotations"][0]["image_id"] = 8
    with pytest.raises(InputError, match="annotation 1"):
        annotations.read_ap10k(written(tmp_path, content))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(value=JSON, key=st.sampled_from(sorted(ENTRY)))
@settings(max_examples=60, deadline=None)
def test_anything_in_a_field_is_read_or_refused(tmp_path_factory, value, key):
    path = written(tmp_path_factory.mktemp("a"), {"data": [ENTRY | {key: value}]})
    with contextlib.suppress(InputError):
        annotations.read_animal3d(path)
