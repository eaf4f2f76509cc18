"""GLB, USD, Blender and COCO files of items, read back."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from lerf_wild.assets.library import starter_library
from lerf_wild.errors import ExportError
from lerf_wild.frames import Placed
from lerf_wild.render.blender import have_blender
from lerf_wild.wildlife import scene_blend
from lerf_wild.wildlife.coco import CocoFile, box_of, mask_of, run_lengths, seen_keypoints
from lerf_wild.wildlife.items import Animal, Item, checked, quaternion_of, upright
from lerf_wild.wildlife.looks import look_of
from lerf_wild.wildlife.scene_blend import write_scene_blend
from lerf_wild.wildlife.scene_glb import FIELD_NODE, ROOT_NODE, write_scene_glb
from lerf_wild.wildlife.scene_usd import write_scene_usd
from lerf_wild.wildlife.sightings import kind_of, sighting_of
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


def test_items_may_have_the_names_of_the_points_and_of_the_root(tmp_path):
    names, path = (FIELD_NODE, ROOT_NODE), tmp_path / "scene.glb"
    things = [replace(one, item=checked(one.item, id=name)) for one, name in zip(standing(), names)]
    write_scene_glb(path, things, np.zeros((5, 3)), np.zeros((5, 3), np.uint8))
    scene = trimesh.load_scene(path)
    assert {*names, f"{FIELD_NODE}_2"} <= set(scene.graph.nodes_geometry)
    for one in things:
        matrix, name = scene.graph[one.item.id]
        placed = trimesh.transform_points(scene.geometry[name].vertices, matrix)
        expected = one.vertices_V3[:, [0, 2, 1]] * [1, 1, -1]
        np.testing.assert_allclose(placed, expected, atol=2e-5)


def test_a_glb_is_in_metres_with_y_up(tmp_path):
    things, path = standing(), tmp_path / "scene.glb"
    write_scene_glb(path, things, np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    scene = trimesh.load_scene(path)
    for one in things:
        matrix, _ = scene.graph[one.item.id]
        assert np.cbrt(np.linalg.det(matrix[:3, :3])) == pytest.approx(one.item.height_m, rel=1e-5)
        x, y, z = one.item.position
        np.testing.assert_allclose(matrix[:3, 3], [x, z, -y], atol=1e-6)
        # Upright on the stage is y in the file.
        np.testing.assert_allclose(matrix[:3, 1] / one.item.height_m, [0, 1, 0], atol=1e-6)
        assert scene.graph.transforms.edge_data[(scene.graph.base_frame, one.item.id)]
    raven = scene.geometry[scene.graph["raven_1"][1]]
    placed = trimesh.transform_points(raven.vertices, scene.graph["raven_1"][0])
    assert np.ptp(placed[:, 1]) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("write", [write_scene_glb, write_scene_usd])
def test_an_empty_scene_is_refused(tmp_path, write):
    with pytest.raises(ExportError, match="neither"):
        write(tmp_path / "a.usda", [], np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(importlib.util.find_spec("pxr") is None, reason="needs usd-core")
@pytest.mark.parametrize("suffix", [".usda", ".usdc"])
def test_a_usd_stage_holds_every_item_at_its_place_with_properties(tmp_path, suffix):
    from pxr import Usd, UsdGeom

    things, path = standing(), tmp_path / f"scene{suffix}"
    things.append(replace(things[0], item=msgspec.structs.replace(things[0].item, id="raven-1")))
    points = np.random.default_rng(0).normal(size=(50, 3))
    write_scene_usd(path, things, points, np.full((50, 3), 90, np.uint8))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    stage = Usd.Stage.Open(str(path))
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    nodes = {prim.GetDisplayName(): prim for prim in stage.GetDefaultPrim().GetChildren()}
    for one in things:
        prim = nodes[one.item.id]
        mesh = UsdGeom.Mesh(stage.GetPrimAtPath(f"{prim.GetPath()}/mesh"))
        matrix = np.array(UsdGeom.XformCache().GetLocalToWorldTransform(mesh.GetPrim())).T
        placed = trimesh.transform_points(np.array(mesh.GetPointsAttr().Get()), matrix)
        expected = one.vertices_V3[:, [0, 2, 1]] * [1, 1, -1]
        np.testing.assert_allclose(placed, expected, atol=2e-5)
        said = {
            name: prim.GetAttribute(f"userProperties:{name}").Get() for name in ("id", "licence")
        }
        assert said == {"id": one.item.id, "licence": one.look.licence}
        phrases = json.loads(prim.GetAttribute("userProperties:phrases").Get())
        assert phrases == list(one.item.phrases)
    cloud = UsdGeom.Points(stage.GetPrimAtPath("/Scene/field"))
    np.testing.assert_allclose(
        np.array(cloud.GetPointsAttr().Get()), points[:, [0, 2, 1]] * [1, 1, -1], atol=1e-5
    )


def test_without_its_package_each_format_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(ExportError, match="pip install usd-core"):
        write_scene_usd(tmp_path / "a.usdc", standing(), np.zeros((0, 3)), np.zeros((0, 3)))
    monkeypatch.setattr(scene_blend, "have_blender", lambda: False)
    with pytest.raises(ExportError, match="pip install bpy"):
        write_scene_blend(tmp_path / "a.blend", tmp_path / "a.glb")


LOOK_INSIDE = """
import json, sys
import bpy
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
found = {}
for thing in bpy.data.objects:
    if thing.type != "MESH":
        continue
    points = [thing.matrix_world @ vertex.co for vertex in thing.data.vertices]
    low = [min(p[k] for p in points) for k in range(3)]
    high = [max(p[k] for p in points) for k in range(3)]
    extras = {name: str(thing[name]) for name in ("what", "licence") if name in thing.keys()}
    parent = thing.parent.name if thing.parent else None
    found[thing.name] = {"low": low, "high": high, "extras": extras, "parent": parent,
                         "coloured": bool(thing.data.materials)}
print("FOUND " + json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.skipif(not have_blender(), reason="needs bpy")
def test_blender_opens_the_scene_with_names_extras_scale_and_up_axis(tmp_path):
    things, glb, blend = standing(), tmp_path / "scene.glb", tmp_path / "scene.blend"
    write_scene_glb(glb, things, np.zeros((4, 3)), np.full((4, 3), 90, np.uint8))
    write_scene_blend(blend, glb)
    command = [sys.executable, "-c", LOOK_INSIDE, str(blend)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(next(line for line in said.splitlines() if "FOUND" in line)[6:])
    assert FIELD_NODE in found
    for one in things:
        thing = found[one.item.id]
        assert thing["extras"] == {"what": one.item.what, "licence": one.look.licence}
        assert thing["coloured"]
        # Blender has z up, as the stage does.
        np.testing.assert_allclose(thing["low"], one.vertices_V3.min(axis=0), atol=1e-4)
        np.testing.assert_allclose(thing["high"], one.vertices_V3.max(axis=0), atol=1e-4)


def test_sightings_tell_where_animals_are_from_the_camera():
    raven, deer = standing()
    library, mask = starter_library(), np.zeros((6, 8), bool)
    assert kind_of(raven.item, library) == "bird" and kind_of(deer.item, library) == "herbivore"
    wolf = msgspec.structs.replace(deer.item, animal=Animal("wolf"))
    assert kind_of(wolf, library) == "carnivore"
    rock = msgspec.structs.replace(raven.item, asset="grey_rock")
    assert kind_of(rock, library) is None
    mask[2:4, 0:6] = True
    seen = sighting_of(deer.item, "herbivore", mask, np.array([-3.0, 0.5, -3.0]))
    assert (seen.radius_m, seen.angle_deg) == pytest.approx((3 * np.sqrt(2), -45.0))
    assert seen.box_4 == pytest.approx((0.0, 2 / 6, 6 / 8, 4 / 6))
    assert sighting_of(deer.item, "herbivore", mask & False, np.zeros(3)) is None


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
