"""The panel in a real viewer, driven by what its controls call."""

from __future__ import annotations

import ast
import random
import shlex
import threading
import time
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from nerfstudio.viewer.render_state_machine import RenderAction, RenderStateMachine
from waiting import wait_until

from lerf_wild.cli import main
from lerf_wild.export.ply import read_cloud
from lerf_wild.live.phrase_sets import read_set
from lerf_wild.live.state import with_phrases, without
from lerf_wild.viewer_panels import relevancy, widgets
from lerf_wild.viewer_panels.going import standpoint
from lerf_wild.viewer_panels.guards import GuardedMachines, trouble_text


class FakeClient:
    """Stands where a browser is connected: takes pictures and counts them."""

    client_id = 99

    def __init__(self, camera):
        self.pictures = []
        self.camera = type("Camera", (), {"aspect": 1.0})()
        self.scene = self
        self.pose = camera

    def set_background_image(self, picture, **_):
        self.pictures.append(picture)


@pytest.fixture()
def screen(viewer, panel, monkeypatch):
    """A render thread as nerfstudio starts it for a browser, guarded by the panel."""
    from nerfstudio.cameras.cameras import CameraType
    from nerfstudio.viewer.utils import CameraState
    from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO

    pose = viewer.pipeline.datamanager.train_dataset.cameras.camera_to_worlds[0]
    client = FakeClient(pose)
    state = CameraState(fov=0.9, aspect=1.0, c2w=pose, camera_type=CameraType.PERSPECTIVE)
    monkeypatch.setattr(viewer, "get_camera_state", lambda client: state)
    monkeypatch.setattr(viewer.viser_server, "get_clients", lambda: {client.client_id: client})
    viewer.control_panel._max_res.value = 64
    machine = RenderStateMachine(viewer, VISER_NERFSTUDIO_SCALE_RATIO, client)
    viewer.render_statemachines[client.client_id] = machine
    machine.start()
    machine.action(RenderAction("rerender", state))
    wait_until(lambda: client.pictures)
    yield machine
    machine.running = False
    machine.join(10)
    viewer.render_statemachines.pop(client.client_id)


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
    assert " m," in lines(panel)


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


def test_two_hundred_odd_phrases_leave_a_living_viewer(panel, screen):
    letters = random.Random(0)
    for _ in range(200):
        text = "".join(
            chr(letters.choice([*range(1, 0xD7FF), *range(0xE000, 0x1F9FF)])) for _ in range(8)
        )
        panel._widgets.text.value = text
        panel._widgets.actions.add()
        if len(panel.state.phrases) > 5:
            panel._widgets.actions.remove(panel.state.phrases[0].text)
    panel._widgets.actions.clear()
    panel._widgets.text.value = "green"
    panel._widgets.actions.add()
    wait_until(lambda: [verdict.text for verdict in panel.verdicts()] == ["green"])
    assert screen.is_alive()


@pytest.mark.parametrize(
    "error", [ValueError("odd"), torch.OutOfMemoryError("full"), KeyError("x")]
)
def test_exceptions_while_rendering_are_said_and_survived(panel, screen, monkeypatch, error):
    live, chunk = panel._live, panel._model.config.eval_num_rays_per_chunk
    layers, failures = live.layers, [error]

    def failing(camera, question):
        if failures and question is not None:
            raise failures.pop()
        return layers(camera, question)

    monkeypatch.setattr(live, "layers", failing)
    panel._widgets.text.value = "red"
    panel._widgets.actions.add()
    wait_until(lambda: not failures)
    wait_until(lambda: panel._widgets.status.visible)
    monkeypatch.setattr(live, "layers", layers)
    panel._widgets.text.value = "blue"
    panel._widgets.actions.add()
    wait_until(lambda: {one.text for one in panel.verdicts()} >= {"blue"})
    assert screen.is_alive()
    is_memory = isinstance(error, torch.OutOfMemoryError)
    assert (panel._model.config.eval_num_rays_per_chunk < chunk) == is_memory
    panel._model.config.eval_num_rays_per_chunk = chunk


def test_exceptions_while_sending_are_survived(panel, screen, monkeypatch):
    failures = [RuntimeError("gone"), RuntimeError("gone again")]
    send = screen._send_output_to_viewer

    def failing(*values, **names):
        if failures:
            raise failures.pop()
        return send(*values, **names)

    monkeypatch.setattr(screen, "_send_output_to_viewer", failing)
    panel._rerender()
    wait_until(lambda: len(failures) < 2)
    wait_until(lambda: panel._rerender() or not failures)
    monkeypatch.undo()
    assert screen.is_alive()


def test_eight_threads_change_phrases_while_rendering(panel, screen):
    failures, words = [], ["red", "green", "blue", "red thing", "blue sky"]
    seen, wrong = 0, []
    answered = panel._live.on_answer

    def checked(answer):
        nonlocal seen
        seen += 1
        query, look = answer.question.query, answer.question.look
        lengths = {
            len(query.phrases),
            len(query.embeddings_PD),
            len(look.colours),
            len(answer.score_P),
        }
        if len(lengths) != 1:
            wrong.append(lengths)
        answered(answer)

    panel._live.on_answer = checked

    def change(own):
        dice = random.Random(own)
        try:
            for turn in range(1000):
                time.sleep(0.002 * (turn % 10 == 0))
                panel._change(partial(dice.choice([_with, _without]), dice.choice(words)))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=change, args=(own,)) for own in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    panel._widgets.actions.clear()
    panel._widgets.text.value = "green"
    panel._widgets.actions.add()
    wait_until(lambda: [verdict.text for verdict in panel.verdicts()] == ["green"])
    panel._live.on_answer = answered
    assert not failures and not wrong and seen > 0
    assert screen.is_alive()
    assert not any(thread.is_alive() for thread in threads)


def _with(word, old):
    return with_phrases(old, (word,))


def _without(word, old):
    return without(old, word)


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


@pytest.mark.parametrize(("host", "is_open"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_a_viewer_that_all_can_reach_is_warned_of(host, is_open):
    gui = mock.MagicMock()
    built = widgets.Widgets(gui, mock.MagicMock())
    built.build((), "m", relevancy.reach_warning(host))
    first = gui.add_markdown.call_args_list[0]
    assert first.kwargs["visible"] == is_open
    assert (host in first.args[0]) == is_open


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


def test_troubles_are_one_line():
    assert trouble_text(KeyError("")) == "''"
    assert "memory" in trouble_text(MemoryError())
    assert "\n" not in trouble_text(ValueError("a\nb"))


def test_open_addresses_are_warned_of(panel):
    from lerf_wild.cli.view import is_loopback

    assert not panel._widgets.warning.visible
    assert not is_loopback("0.0.0.0") and is_loopback("127.0.0.1")


def test_machines_are_guarded_when_they_are_put_in(panel):
    class Machine:
        running = True
        state = "high"

        def __init__(self):
            self.runs = 0

        def run(self):
            self.runs += 1
            self.running = self.runs < 3
            raise KeyError("relevancy_0")

        def _render_img(self, camera):
            return {}

        def _calculate_image_res(self, aspect):
            return 10, 20

    said = []
    machines = GuardedMachines(panel._live, said.append)
    machines[1] = machine = Machine()
    start = time.monotonic()
    machine.run()
    assert machine.runs == 3 and len(said) == 3 and time.monotonic() - start < 5
    assert machine._calculate_image_res(1.0) == (10, 20)
