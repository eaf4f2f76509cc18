"""The panel in a real viewer, driven by what its controls call."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from waiting import wait_until

from lerf_wild.cli import main
from lerf_wild.export.ply import read_cloud
from lerf_wild.live.phrase_sets import read_set
from lerf_wild.viewer_panels import relevancy, widgets
from lerf_wild.viewer_panels.going import standpoint


def settle(machine, count=1):
    """Waits for the next pictures."""
    before = len(machine.client.pictures)
    wait_until(lambda: len(machine.client.pictures) >= before + count)
    return machine.client.pictures[-1]


def lines(panel):
    return panel._widgets.answers.content


def test_a_phrase_changes_the_picture_and_gets_a_verdict(panel, screen):
    before = screen.client.pictures[-1]
    panel._widgets.text.value = "red"
    panel._widgets.actions.add()
    wait_until(lambda: "red" in lines(panel))
    after = settle(screen, 0)
    wait_until(lambda: not np.array_equal(screen.client.pictures[-1], before))
    assert panel._widgets.text.value == ""
    assert after.shape[-1] == 3
    assert " ms" in lines(panel)
    assert re.search(r"[0-9.]+ c?m,", lines(panel))


def test_semicolons_add_while_typing(panel):
    panel._widgets.actions.typed("red; gre")
    assert panel.state.texts == ("red",)
    assert panel._widgets.text.value == "gre"
    wait_until(lambda: set(panel._widgets.rows) == {"red"})
    panel._widgets.actions.remove("red")
    wait_until(lambda: not panel._widgets.rows)


def test_new_phrases_on_a_still_view_come_in_full_and_without_shading(panel, screen, monkeypatch):
    wait_until(lambda: screen.client.pictures[-1].shape[0] == 64)
    model, shaded = panel._model, []
    shade = model.shade
    wait_until(lambda: panel._table.is_there)
    monkeypatch.setattr(model, "shade", lambda rays: shaded.append(1) or shade(rays))
    panel._widgets.actions.change(threshold=0.4)
    panel._change(lambda old: old)
    panel._widgets.text.value = "blue"
    panel._widgets.actions.add()
    wait_until(lambda: "blue" in lines(panel))
    assert screen.client.pictures[-1].shape[0] == 64
    assert not shaded


def test_the_scene_says_what_is_not_there(panel, screen):
    wait_until(lambda: panel._table.is_there)
    panel._widgets.text.value = "red;green"
    panel._widgets.actions.add()
    wait_until(lambda: len(panel.verdicts()) == 2)
    wait_until(lambda: all(verdict.is_of_scene for verdict in panel.verdicts()))


def test_a_click_says_what_is_there_and_finds_more(panel, screen):
    wait_until(lambda: panel._table.is_there)
    camera = panel._run.dataset("train").cameras[0:1]
    ray = camera.generate_rays(0, keep_shape=True)[16, 16]
    click = type("Click", (), {})()
    click.origin, click.direction = ray.origins.tolist(), ray.directions.tolist()
    panel._describe(click)
    assert "<br />" in panel._widgets.here.content
    assert panel._widgets.more.visible
    panel._widgets.actions.more_like()
    assert panel.state.texts[0].startswith("like this")
    wait_until(lambda: panel.verdicts())
    assert panel.verdicts()[0].score > 0.5
    click.direction = [0.0, 0.0, 1.0]
    click.origin = [0.0, 0.0, 50.0]
    panel._describe(click)
    assert not panel._widgets.more.visible


def test_sets_are_saved_loaded_and_deleted(panel):
    panel._widgets.text.value = "red;blue"
    panel._widgets.actions.add()
    panel._widgets.actions.save_set("colours; of the {wall}")
    name = "colours; of the {wall}"
    assert read_set(panel._folder, name).texts == ("red", "blue")
    assert name in panel._widgets.sets.options
    wait_until(lambda: "red" in panel._widgets.rows)
    panel._widgets.actions.change_phrase("red", weight=0.4)
    panel._widgets.rows["red"].weight.value = 0.4
    panel._widgets.actions.load_set(name)
    assert panel._widgets.rows["red"].weight.value == 1.0
    panel._widgets.actions.clear()
    panel._widgets.actions.load_set(name)
    assert panel.state.texts == ("red", "blue")
    panel._widgets.actions.delete_set(name)
    assert panel._widgets.sets.options == ("none yet",)
    panel._widgets.actions.load_set("nothing")
    assert panel._widgets.status.visible


def test_the_export_button_writes_what_its_command_writes(panel, screen, tmp_path):
    panel._widgets.text.value = "red;blue"
    panel._widgets.actions.add()
    before = set(panel._folder.glob("exports/*/relevancy.ply"))
    panel._widgets.exported.visible = False
    panel._widgets.actions.export("ply", 1000)
    wait_until(lambda: panel._widgets.exported.visible)
    (path,) = set(panel._folder.glob("exports/*/relevancy.ply")) - before
    cloud = read_cloud(path)
    assert cloud.phrases == ("red", "blue") and len(cloud) == 1000
    import html

    said = html.unescape(panel._widgets.exported.content)
    command = said.rpartition("<code>")[2].removesuffix("</code>")
    words = shlex.split(command)
    words[words.index("--output-dir") + 1] = str(tmp_path)
    main(words[1:])
    again = read_cloud(tmp_path / "relevancy.ply")
    np.testing.assert_array_equal(again.positions_N3, cloud.positions_N3)
    np.testing.assert_allclose(again.relevancy_NP, cloud.relevancy_NP, atol=1e-5)


def test_points_are_shown_in_3d_and_taken_away(panel, screen):
    wait_until(lambda: panel._table.is_there)
    panel._widgets.text.value = "red;green;blue"
    panel._widgets.actions.add()
    panel._widgets.actions.change(mode="points", threshold=0.3)
    wait_until(lambda: panel._points is not None)
    panel._widgets.actions.change(mode="overlay")
    wait_until(lambda: panel._points is None)


def test_a_size_in_metres_is_used_for_all(panel, screen):
    panel._widgets.text.value = "red"
    panel._widgets.actions.add()
    panel._widgets.actions.change(size=0.5)
    length = panel._run.length_per_nerf
    wait_until(
        lambda: panel._answer and panel._answer.size_P == pytest.approx((0.5 / length,), rel=0.1)
    )


def test_the_camera_goes_there_once_the_scene_says_where(panel, screen, monkeypatch):
    wait_until(lambda: panel._table.is_there)
    monkeypatch.setattr(panel._table, "answer", lambda *_: None)
    panel._widgets.text.value = "red"
    panel._widgets.actions.add()
    wait_until(lambda: panel.verdicts() and not panel.verdicts()[0].is_of_scene)
    went = []
    monkeypatch.setattr(relevancy, "look_at_place", lambda *of: went.append(of[1]))
    panel._widgets.actions.go_to_peak("red", object())
    assert panel._widgets.status.visible and not went
    monkeypatch.undo()
    monkeypatch.setattr(relevancy, "look_at_place", lambda *of: went.append(of[1]))
    panel._change(lambda old: old)
    wait_until(lambda: went)
    assert not panel._widgets.status.visible


def test_every_control_has_a_hint():
    kinds = {"button", "text", "slider", "number", "checkbox", "dropdown", "rgb"}
    calls = [
        node
        for node in ast.walk(ast.parse(Path(widgets.__file__).read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "")[4:] in kinds
    ]
    assert len(calls) > 15
    assert all("hint" in {word.arg for word in call.keywords} for call in calls)


def test_canonical_phrases_can_be_edited(panel):
    panel._widgets.actions.canonical("wall; floor")
    assert panel.state.canonical == ("wall", "floor")


def test_standing_before_a_place_is_towards_a_camera_that_sees_it():
    places = np.array([[0.0, 0.0, 2.0], [2.0, 0.0, 0.0]])
    looks = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    stand = standpoint(np.zeros(3), 0.1, places, looks)
    np.testing.assert_allclose(stand, [0, 0, 0.7], atol=1e-6)
    far = standpoint(np.zeros(3), 10.0, places, looks)
    np.testing.assert_allclose(far, [0, 0, 2.0], atol=1e-6)
