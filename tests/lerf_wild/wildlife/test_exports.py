"""GLB and COCO files of items, read back."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from lerf_wild.assets.library import starter_library
from lerf_wild.errors import ExportError
from lerf_wild.frames import Placed
from lerf_wild.wildlife.coco import CocoFile, box_of, mask_of, run_lengths, seen_keypoints
from lerf_wild.wildlife.items import Animal, Item, quaternion_of, upright
from lerf_wild.wildlife.looks import look_of
from lerf_wild.wildlife.scene_glb import FIELD_NODE, write_scene_glb
from lerf_wild.wildlife.stage import Stage
from lerf_wild.wildlife.tracing import stand


class World(Placed):
    """A capture in metres that training left as it was."""

    transform_34 = np.eye(4)[:3]
    scale, meters_per_unit = 1.0, 1.0


def standing():
    turn = quaternion_of(upright(0.8))
    items = (
        Item(id="raven_1", asset="raven", position=(1.0, 2.0, 0.5), height_m=0.5, rotation=turn,
             phrases=("raven",)),
        Item(id="deer_1", animal=Animal("red deer", betas=(0.0,)), position=(-1, 0, 0),
             height_m=1.2, phrases=("red deer",)),
    )  # fmt: skip
    return [stand(item, look_of(item, starter_library()), Stage(World())) for item in items]


def test_a_glb_holds_every_item_at_its_place_with_names_and_extras(tmp_path):
    things, path = standing(), tmp_path / "scene.glb"
    points = np.random.default_rng(0).normal(size=(50, 3))
    write_scene_glb(path, things, points, np.full((50, 3), 90, np.uint8))
    scene = trimesh.load_scene(path)
    assert {"raven_1", "deer_1", FIELD_NODE} <= set(scene.graph.nodes)
    for one in things:
        matrix, name = scene.graph[one.item.id]
        mesh = scene.geometry[name]
        placed = trimesh.transform_points(mesh.vertices, matrix)
        expected = one.vertices_V3[:, [0, 2, 1]] * [1, 1, -1]
        np.testing.assert_allclose(placed, expected, atol=2e-5)
        assert mesh.metadata["licence"] == one.look.licence
        assert mesh.metadata["phrases"] == list(one.item.phrases)
    low = scene.geometry[scene.graph["raven_1"][1]].vertices[:, 1].min()
    assert low == pytest.approx(0.0, abs=1e-5)


def test_an_empty_scene_is_refused(tmp_path):
    with pytest.raises(ExportError, match="neither"):
        write_scene_glb(tmp_path / "a.glb", [], np.zeros((0, 3)), np.zeros((0, 3), np.uint8))


@given(st.integers(0, 2**20 - 1), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_run_lengths_are_read_back(bits, rows):
    mask = np.array([bits >> k & 1 for k in range(rows * 4)], bool).reshape(rows, 4)
    lengths = run_lengths(mask)
    np.testing.assert_array_equal(mask_of(lengths), mask)
    assert sum(lengths["counts"]) == mask.size
    assert sum(lengths["counts"][1::2]) == mask.sum()


def test_boxes_hold_all_of_a_mask_and_no_more():
    mask = np.zeros((6, 8), bool)
    mask[2:4, 3:7] = True
    assert box_of(mask) == [3, 2, 4, 2]


def test_keypoints_are_seen_hidden_or_outside():
    shown = np.full((4, 6), 5.0)
    shown[1, 2] = 1.0
    pixels = np.array([[0.5, 0.5], [2.5, 1.5], [9.0, 1.0], [np.nan, np.nan]])
    found = seen_keypoints(pixels, np.array([5.0, 5.0, 5.0, 5.0]), shown)
    assert found[:, 2].tolist() == [2.0, 1.0, 0.0, 0.0]


def test_annotations_name_items_and_leave_specks_out():
    raven, deer = standing()
    coco = CocoFile()
    image = coco.add_image("images/a.png", 8, 6)
    mask = np.ones((6, 8), bool)
    none = np.zeros((0, 3))
    coco.add_item(image, raven.item, raven.look, mask, none)
    count = len(deer.look.keypoint_names)
    coco.add_item(image, deer.item, deer.look, mask, np.ones((count, 3)))
    coco.add_item(image, raven.item, raven.look, mask & False, none)
    content = coco.content()
    assert [one["name"] for one in content["categories"]] == ["raven", "red deer"]
    assert [one["category_id"] for one in content["annotations"]] == [1, 2]
    assert content["annotations"][1]["num_keypoints"] == count
    assert content["categories"][1]["keypoints"] == list(deer.look.keypoint_names)
