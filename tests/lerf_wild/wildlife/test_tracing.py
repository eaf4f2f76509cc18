"""Rays against items, with moved triangles and a loop as oracles."""

from __future__ import annotations

import math

import numpy as np
import pytest
import trimesh

from lerf_wild.assets.asset_files import Description
from lerf_wild.assets.library import Library, starter_library
from lerf_wild.assets.mesh import Asset
from lerf_wild.errors import WildlifeError
from lerf_wild.frames import Placed
from lerf_wild.wildlife import tracing
from lerf_wild.wildlife.items import Animal, Item, Provenance, level_to, quaternion_of, upright
from lerf_wild.wildlife.looks import animal_look, look_of
from lerf_wild.wildlife.stage import Stage
from lerf_wild.wildlife.tracing import scene_of, stand


class Capture(Placed):
    """A capture in units of half a metre, trained at a tenth and turned."""

    def __init__(self, up=(0.0, 0.0, 1.0), metres=0.5):
        turn = level_to(np.array(up) / np.linalg.norm(up)).T @ upright(0.7)
        if tuple(up) != (0.0, 0.0, 1.0):
            turn = upright(0.3) @ level_to(np.array(up) / np.linalg.norm(up)).T
        self.transform_34 = np.column_stack([turn, [0.2, -0.4, 1.0]])
        self.scale, self.meters_per_unit = 0.1, metres


def box_library(tmp_path) -> Library:
    mesh = trimesh.creation.box((2.0, 1.0, 1.0))
    mesh.apply_translation((0.0, 0.0, 0.5))
    colours = np.full((len(mesh.vertices), 3), 200, np.uint8)
    vertices = mesh.vertices.astype(np.float32)
    asset = Asset("crate", "rock", ("crate",), vertices, mesh.faces.astype(np.int32), colours, 1.0)
    description = Description("rock", "crate", ("crate", "box"), "MIT", {})
    return Library({}, tmp_path).add(asset, description)


def crate(**changes) -> Item:
    turn = quaternion_of(upright(0.5))
    usual = {"id": "crate_1", "asset": "crate", "position": (3.0, 1.0, 0.2), "rotation": turn}
    return Item(**(usual | {"height_m": 0.8} | changes))


def test_frames_go_there_and_back():
    points = np.random.default_rng(0).normal(size=(20, 3))
    for up in ((0.0, 0.0, 1.0), (0.1, -0.9, 0.2)):
        stage = Stage(Capture(up))
        np.testing.assert_allclose(stage.to_nerf(stage.from_nerf(points)), points, atol=1e-9)
        np.testing.assert_allclose(stage.to_world(stage.from_world(points)), points, atol=1e-9)
        np.testing.assert_allclose(stage.turn_33 @ stage.up_3, [0, 0, 1], atol=1e-9)
        back = stage.directions_to_nerf(stage.directions_from_nerf(points))
        np.testing.assert_allclose(back, points, atol=1e-9)
        step = stage.from_nerf(points + [[1.0, 0.0, 0.0]]) - stage.from_nerf(points)
        np.testing.assert_allclose(np.linalg.norm(step, axis=1), stage.metres_per_nerf)


def slow_hit(vertices, faces, origin, direction):
    """Nearest crossing of one ray with triangles (Moeller and Trumbore), in a loop."""
    best = math.inf
    for a, b, c in vertices[faces].astype(np.float64):
        p = np.cross(direction, c - a)
        det = p @ (b - a)
        if abs(det) < 1e-12:
            continue
        u = (origin - a) @ p / det
        q = np.cross(origin - a, b - a)
        v, t = direction @ q / det, (c - a) @ q / det
        if u >= 0 and v >= 0 and u + v <= 1 and t > 0:
            best = min(best, t)
    return best


def test_traced_distances_are_those_of_moved_triangles(tmp_path):
    library = box_library(tmp_path)
    stage = Stage(Capture())
    items = [crate(), crate(id="crate_2", position=(3.5, -2.0, 0.0), height_m=1.7)]
    standing = [stand(item, look_of(item, library), stage) for item in items]
    assert standing[0].tree is standing[1].tree
    scene = scene_of(standing)
    draw = np.random.default_rng(1)
    origins = draw.uniform(-4, 4, (200, 3))
    directions = np.array([1.6, 0.0, 0.5]) + draw.normal(size=(200, 3)) - origins
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    hits = scene.trace(origins, directions)
    for row in range(200):
        slow = [
            slow_hit(one.vertices_V3, one.look.faces_F3, origins[row], directions[row])
            for one in standing
        ]
        assert hits.distance_N[row] == pytest.approx(min(slow), abs=1e-4)
        if math.isfinite(min(slow)):
            assert hits.index_N[row] == int(np.argmin(slow))
    assert hits.hit.sum() > 20
    towards = np.einsum("nc,nc->n", hits.normals_N3, directions)
    assert (towards[hits.hit] <= 1e-6).all()
    blocked = scene.occluded(origins, directions)
    np.testing.assert_array_equal(blocked, hits.hit)


def test_an_empty_scene_hits_nothing():
    hits = scene_of([]).trace(np.zeros((3, 3)), np.eye(3))
    assert not hits.hit.any() and np.isinf(hits.distance_N).all()


def test_an_animal_stands_with_its_withers_at_its_height():
    look = animal_look(Animal("red deer", "stand", seed=1))
    assert abs(float(look.vertices_V3[:, 2].min())) < 0.02
    assert 0.9 < float(look.vertices_V3[:, 2].max()) < 2.2
    assert look.keypoints_P3.shape[0] == len(look.keypoint_names) > 10
    assert "red deer" in look.phrases
    walking = animal_look(Animal("red deer", "walk", phase=0.25))
    assert not np.allclose(walking.vertices_V3, look.vertices_V3)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (crate(asset="none_such"), "none_such"),
        (crate(provenance=Provenance(licence="CC0-1.0")), "MIT"),
        (Item(id="a", animal=Animal("dragon"), position=(0, 0, 0), height_m=1.0), "dragon"),
        (
            Item(id="a", animal=Animal("wolf", "dance"), position=(0, 0, 0), height_m=1.0),
            "dance",
        ),
        (Item(id="a", animal=Animal("wolf", pose=(0.0,)), position=(0, 0, 0), height_m=1), "105"),
    ],
)
def test_what_cannot_be_shown_says_why(tmp_path, item, words):
    with pytest.raises(WildlifeError, match=words) as caught:
        look_of(item, box_library(tmp_path))
    assert item.id in str(caught.value)


def test_starters_have_looks():
    entry = next(iter(starter_library()))
    item = Item(id="one", asset=entry.name, position=(0.0, 0.0, 0.0), height_m=0.9)
    look = look_of(item, starter_library())
    assert float(look.vertices_V3[:, 2].max()) == pytest.approx(1.0, abs=1e-5)
    assert look.licence == entry.licence


def test_rays_near_items_are_those_that_pass_their_spheres(tmp_path, monkeypatch):
    library, stage = box_library(tmp_path), Stage(Capture())
    draw = np.random.default_rng(5)
    items = [crate(id=f"crate_{k}", position=tuple(draw.uniform(-6, 6, 3).tolist())) for k in "abc"]
    scene = scene_of([stand(item, look_of(item, library), stage) for item in items])
    origins = draw.uniform(-3, 3, (300, 3))
    directions = draw.normal(size=(300, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    monkeypatch.setattr(tracing, "NEAR_PAIRS", 100)
    for one, rows in zip(scene.standing, scene.near(origins, directions)):
        expected = []
        for row, (origin, direction) in enumerate(zip(origins, directions)):
            along = max((one.middle_3 - origin) @ direction, 0.0)
            if np.linalg.norm(origin + along * direction - one.middle_3) < one.radius:
                expected.append(row)
        assert rows.tolist() == expected and len(expected) > 3
    found, again = (
        scene.trace(origins, directions),
        scene.trace(origins, directions, scene.near(origins, directions)),
    )
    np.testing.assert_array_equal(found.distance_N, again.distance_N)
    assert scene_of([]).near(origins, directions) == []
