"""The panel of items on a made-up clearing, in a viser server without a browser or a field."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
import viser
from waiting import wait_until

from lerf_wild.assets.library import Library, starter_library
from lerf_wild.frames import Placed
from lerf_wild.methods.wildlife.item_field import ItemField
from lerf_wild.program.types import Program, SceneObject, Settings
from lerf_wild.viewer_panels import wildlife
from lerf_wild.viewer_panels.wildlife import WildlifePanel
from lerf_wild.viewer_panels.wildlife_widgets import NONE
from lerf_wild.wildlife.population_files import read_population
from lerf_wild.wildlife.stage import Stage
from lerf_wild.wildlife.surroundings import Surroundings


class World(Placed):
    """A capture in metres that training made a quarter of its size."""

    transform_34 = np.eye(4)[:3]
    scale, meters_per_unit = 0.25, 1.0


@pytest.fixture()
def panel(tmp_path):
    draw = np.random.default_rng(0)
    xy = draw.uniform(-5, 5, (15_000, 2))
    around = Surroundings(np.column_stack([xy, 0.0 * xy[:, 0]]), np.zeros((15_000, 3), np.uint8))
    library = starter_library()
    items = ItemField(tmp_path / "wildlife.json", Stage(World()), lambda: library, lambda: around)
    model = SimpleNamespace(items=items, encoder=lambda: None)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = viser.ViserServer(host="127.0.0.1", port=port, verbose=False)
    panel = WildlifePanel(SimpleNamespace(model=model))
    panel._setup(SimpleNamespace(viser_server=server))
    yield panel
    server.stop()


def names(panel):
    return [item.id for item in read_population(panel._items.path).items]


def test_words_place_and_every_control_changes_the_file(panel):
    controls, act = panel._widgets, panel._widgets.actions
    assert controls.item.value == NONE and controls.remove.disabled
    act.place("a raven")
    wait_until(lambda: controls.item.value == "raven_1")
    act.turn(90.0)
    act.scale(0.8)
    act.show(False)
    item = panel.population.item("raven_1")
    assert item.height_m == 0.8 and not item.visible
    np.testing.assert_allclose(item.turn_33 @ [1, 0, 0], [0, 1, 0], atol=1e-5)
    assert len(panel._items.shown().scene) == 0
    act.undo()
    assert panel.population.item("raven_1").visible
    assert len(panel._items.shown().scene) == 1
    act.redo()
    act.remove()
    assert names(panel) == [] and controls.item.value == NONE
    act.undo()
    assert names(panel) == ["raven_1"]


def test_a_drag_ends_on_the_ground_as_one_change(panel):
    act = panel._widgets.actions
    act.place("a raven")
    wait_until(lambda: names(panel) == ["raven_1"])
    steps = len(panel.population.undo)
    for x in (1.0, 1.5, 2.0):
        panel._drag("raven_1", np.array([x, 0.5, 0.3]) * 0.25 * 10.0)
    wait_until(lambda: abs(panel.population.item("raven_1").position[0] - 2.0) < 1e-3)
    position = panel.population.item("raven_1").position
    assert position[1] == pytest.approx(0.5, abs=1e-3)
    assert position[2] == pytest.approx(0.0, abs=0.01)
    assert 1 <= len(panel.population.undo) - steps <= 3


def test_what_was_asked_of_an_item_is_not_done_to_one_chosen_since(panel):
    act = panel._widgets.actions
    act.place("a raven")
    wait_until(lambda: names(panel) == ["raven_1"])
    act.place("a grey rock")
    act.swap("a badger")
    panel._drag("raven_1", np.array([2.0, 0.5, 0.3]) * 0.25 * 10.0)
    wait_until(lambda: len(names(panel)) == 2)
    wait_until(lambda: panel.population.items[0].asset != "raven")
    wait_until(lambda: abs(panel.population.items[0].position[0] - 2.0) < 1e-3)
    assert panel.population.items[1].asset == "grey_rock"
    assert panel._widgets.item.value == panel.population.items[1].id


def test_an_item_becomes_something_else_that_does_what_is_asked(panel):
    controls, act = panel._widgets, panel._widgets.actions
    act.place("a raven")
    wait_until(lambda: names(panel) == ["raven_1"])
    assert not controls.does.visible and not controls.phase.visible
    act.act("walk")
    assert "no animal" in controls.message.content
    act.swap("a red deer grazing")
    wait_until(lambda: panel.population.item("raven_1").animal is not None)
    wait_until(lambda: controls.does.visible)
    assert controls.does.value == "graze" and not controls.phase.visible
    act.act("walk")
    act.phase(0.4)
    animal = panel.population.item("raven_1").animal
    assert (animal.species, animal.action, animal.phase) == ("red deer", "walk", 0.4)
    assert controls.phase.visible and controls.phase.value == 0.4
    for _ in range(3):
        act.undo()
    assert panel.population.item("raven_1").asset == "raven" and not controls.does.visible


def test_places_are_marked_until_something_is_placed(panel):
    act = panel._widgets.actions
    act.where("a raven")
    wait_until(lambda: "places for raven" in panel._widgets.message.content)
    assert panel._places is not None
    count = int(panel._widgets.message.content.split()[0])
    assert count > 50
    act.place("a raven")
    wait_until(lambda: names(panel) == ["raven_1"] and panel._places is None)
    act.where("")
    wait_until(lambda: "places for raven" in panel._widgets.message.content)


def test_an_uploaded_mesh_goes_into_the_library_and_stands(panel, tmp_path):
    library = Library({}, tmp_path / "assets")
    panel._items.library = lambda: library
    controls, act = panel._widgets, panel._widgets.actions
    mesh = trimesh.creation.box((0.4, 0.6, 0.3))
    mesh.visual.vertex_colors = np.tile([200, 60, 50, 255], (8, 1))
    controls.licence.value = "CC0-1.0"
    act.add_mesh("../My crate.glb", trimesh.Scene([mesh]).export(file_type="glb"))
    wait_until(lambda: names(panel) == ["my_crate_1"])
    item = panel.population.item("my_crate_1")
    assert item.asset == "my_crate" and item.provenance.licence == "CC0-1.0"
    assert item.height_m == pytest.approx(0.6, rel=0.02) and item.phrases == ("My crate",)
    assert len(panel._items.shown().scene) == 1
    act.add_mesh("notes.txt", b"hello")
    wait_until(lambda: "notes.txt" in controls.message.content)
    assert names(panel) == ["my_crate_1"]


def test_a_photo_places_what_it_shows(panel, monkeypatch):
    objects = (
        SceneObject(10, (-1.0, -1.5, -4.0), 0.5, asset="raven"),
        SceneObject(10, (1.0, -1.5, -4.0), 0.6, asset="egret"),
    )
    program = Program(Settings(camera_pitch_deg=90.0), objects)
    monkeypatch.setattr(wildlife, "program_of_photo", lambda name, content: program)
    panel._widgets.actions.add_photo("two birds.jpg", b"")
    wait_until(lambda: names(panel) == ["raven_1", "egret_1"])
    assert panel.population.item("egret_1").provenance.text == "two birds.jpg"


def test_what_goes_wrong_is_said_and_nothing_is_placed(panel):
    act = panel._widgets.actions
    act.place("a red deer by the log")
    wait_until(lambda: "looked through" in panel._widgets.message.content)
    act.place("the")
    wait_until(lambda: "nothing to place" in panel._widgets.message.content)
    act.remove()
    assert "Nothing is placed" in panel._widgets.message.content
    assert names(panel) == []


def test_the_export_opens_with_the_items(panel):
    act = panel._widgets.actions
    act.place("a raven")
    wait_until(lambda: names(panel) == ["raven_1"])
    act.export()
    folder = panel._items.path.parent / "exports"
    wait_until(lambda: list(folder.glob("scene_*.glb")) != [])
    (path,) = folder.glob("scene_*.glb")
    assert {"raven_1", "field"} <= set(trimesh.load_scene(path).graph.nodes)


def test_a_thing_of_the_photos_is_taken_out_and_comes_back(panel, monkeypatch):
    draw = np.random.default_rng(1)
    fox = draw.uniform(-0.4, 0.4, (300, 3)) * [1.0, 0.4, 0.5] + [1.0, 2.0, 0.4]
    rest = np.column_stack([draw.uniform(-5, 5, (500, 2)), np.full(500, 0.5)])
    points = panel._items.stage.to_nerf(np.concatenate([fox, rest]))
    relevancy = np.concatenate([np.full(300, 0.8), np.full(500, 0.2)])
    seen = SimpleNamespace(positions_N3=points, relevancy_NP=relevancy[:, None])
    where = SimpleNamespace(position=tuple(World().to_world(points[:1])[0]))
    monkeypatch.setattr(panel, "_found", lambda words: (seen, where))
    act = panel._widgets.actions
    act.clear("red fox")
    wait_until(lambda: panel.population.clearings)
    (gone,) = panel.population.clearings
    assert gone.id == "cleared_red_fox_1" and gone.provenance.text == "red fox"
    assert np.hypot(gone.position[0] - 1.0, gone.position[1] - 2.0) < 0.1
    assert panel._items.cleared_ground() is not None
    act.undo()
    assert panel.population.clearings == () and panel._items.cleared_ground() is None
    act.clear(" ")
    wait_until(lambda: panel._widgets.message.visible)
    assert panel.population.clearings == ()
