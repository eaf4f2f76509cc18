"""Body files: the bundled one, converted pickles, and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from lerf_wild.animals import schema
from lerf_wild.animals.body_files import read_body, read_body_arrays, write_body
from lerf_wild.animals.bundled import QUADRUPED
from lerf_wild.animals.smal_pickle import body_arrays, convert, read_pickled_arrays, smal_keypoints
from lerf_wild.errors import ModelFileError


def smal_like(betas=3, seed=0):
    """A dictionary of the schema and sizes of a real file, with other numbers in it."""
    arrays, _ = read_body_arrays(QUADRUPED)
    rng = np.random.default_rng(seed)
    parents = np.array([4294967295, *schema.PARENTS[1:]], np.uint32)
    return {
        "v_template": arrays["v_template"].astype(np.float64),
        "f": arrays["faces"].astype(np.uint32),
        "shapedirs": rng.normal(size=(schema.VERTEX_COUNT, 3, betas)),
        "posedirs": np.zeros((schema.VERTEX_COUNT, 3, 306), np.float32),
        "J_regressor": arrays["J_regressor"].astype(np.float64),
        "weights": arrays["weights"].astype(np.float64),
        "kintree_table": np.stack([parents, np.arange(35, dtype=np.uint32)]),
        "bs_type": "lrotmin",
    }


@pytest.fixture
def pickled(tmp_path):
    def write(**changes):
        tree = {**smal_like(), **changes}
        path = tmp_path / "model.pkl"
        path.write_bytes(pickle.dumps({k: v for k, v in tree.items() if v is not None}, 2))
        return path

    return write


def test_conversion_keeps_every_bit(pickled, tmp_path):
    target = tmp_path / "model.safetensors"
    found = convert(pickled(), target)
    assert found["family"] == "SMAL family with 3 betas"
    assert not found["pose_blend_shapes"]
    arrays, _ = read_body_arrays(target)
    for name, other in (("v_template", "v_template"), ("shapedirs", "shapedirs"), ("faces", "f")):
        np.testing.assert_array_equal(arrays[name], smal_like()[other])
    model = read_body(target)
    assert model.beta_count == 3
    assert torch.equal(model.pose().vertices, model.template_V3)


def test_a_transposed_regressor_is_turned():
    arrays = smal_like()
    turned = body_arrays({**arrays, "J_regressor": arrays["J_regressor"].T}, "model.pkl")
    np.testing.assert_array_equal(turned["J_regressor"], arrays["J_regressor"])


def test_pose_blend_shapes_are_kept_where_they_are_not_zero():
    arrays = smal_like()
    arrays["posedirs"][5, 1, 7] = 0.5
    assert body_arrays(arrays, "model.pkl")["posedirs"][5, 1, 7] == 0.5


def test_smal_keypoints_are_only_for_smal_meshes():
    template = smal_like()["v_template"]
    assert smal_keypoints(template) is None
    own = template.copy()
    places = np.stack([np.linspace(1.4, -0.5, 26), np.zeros(26), np.zeros(26)], axis=1)
    places[24, 0], places[18, 0], places[7, 0], places[25, 0], places[19, 0] = 2, 1, 0, -1, -2
    for index, (name, other) in enumerate(zip(schema.KEYPOINT_NAMES, schema.KEYPOINT_MIRROR)):
        if other != index:
            places[index] = [places[min(index, other), 0], 0.2, 0.1]
            places[index, 1] *= 1 if name.startswith("left") else -1
    for place, group in zip(places, schema.SMAL_KEYPOINT_GROUPS):
        own[list(group)] = place
    rows = smal_keypoints(own)
    np.testing.assert_allclose(rows @ own, places, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": None}, "lacks weights"),
        ({"v_template": np.zeros((100, 3))}, "100 vertices"),
        ({"J_regressor": np.zeros((33, 3889))}, "legacy model of 33 joints"),
        ({"shapedirs": np.full((3889, 3, 2), np.nan)}, "NaN"),
        ({"shapedirs": np.zeros((3889, 2))}, "expected 3889 x 3 x any"),
        ({"f": np.full((7774, 3), 4000, np.uint32)}, "a face names a vertex"),
        ({"weights": np.zeros((3889, 35))}, "don't sum to 1"),
        ({"kintree_table": np.zeros((2, 35), np.uint32)}, "another tree"),
        ({"kintree_table": np.zeros((2, 33), np.uint32)}, "expected 2 x 35"),
    ],
)
def test_wrong_models_are_named(pickled, tmp_path, changes, message):
    with pytest.raises(ModelFileError, match=message):
        convert(pickled(**changes), tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_wrong_files_are_named(tmp_path, pickled):
    with pytest.raises(ModelFileError, match="no such file"):
        read_body(tmp_path / "none.safetensors")
    with pytest.raises(ModelFileError, match="lerf-wild animal convert"):
        read_body(pickled())
    other = tmp_path / "other.safetensors"
    save_file({"a": np.zeros(3)}, other)
    with pytest.raises(ModelFileError, match="holds no body model"):
        read_body(other)
    other.write_bytes(b"\x00" * 50)
    with pytest.raises(ModelFileError, match="not a readable safetensors file"):
        read_body(other)
    with pytest.raises(ModelFileError, match="no such file"):
        read_pickled_arrays(tmp_path / "none.pkl")
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ModelFileError, match="no dictionary"):
        read_pickled_arrays(tmp_path / "list.pkl")


def test_a_different_tree_in_a_body_file_is_refused(tmp_path):
    arrays, metadata = read_body_arrays(QUADRUPED)
    for text, message in (("[0, 1]", "another tree"), ("{", "not a JSON list")):
        path = tmp_path / "tree.safetensors"
        write_body(path, arrays, {**metadata, "parents": text})
        with pytest.raises(ModelFileError, match=message):
            read_body(path)
