"""The panel under strain: odd phrases, exceptions, many threads, and who can reach it."""

from __future__ import annotations

import random
import threading
import time
from functools import partial
from unittest import mock

import pytest
import torch
from waiting import wait_until

from lerf_wild.live.state import with_phrases, without
from lerf_wild.viewer_panels import relevancy, widgets
from lerf_wild.viewer_panels.guards import GuardedMachines, trouble_text


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


@pytest.mark.parametrize(("host", "is_open"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_a_viewer_that_all_can_reach_is_warned_of(host, is_open):
    gui = mock.MagicMock()
    built = widgets.Widgets(gui, mock.MagicMock())
    built.build((), "m", relevancy.reach_warning(host))
    first = gui.add_markdown.call_args_list[0]
    assert first.kwargs["visible"] == is_open
    assert (host in first.args[0]) == is_open


def test_open_addresses_are_warned_of(panel):
    from lerf_wild.cli.view import is_loopback

    assert not panel._widgets.warning.visible
    assert not is_loopback("0.0.0.0") and is_loopback("127.0.0.1")


def test_troubles_are_one_line():
    assert trouble_text(KeyError("")) == "''"
    assert "memory" in trouble_text(MemoryError())
    assert "\n" not in trouble_text(ValueError("a\nb"))


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


def test_an_answer_that_comes_after_the_last_phrase_went_is_let_go(panel, screen):
    panel._widgets.text.value = "red"
    panel._widgets.actions.add()
    late = wait_until(lambda: panel._answer)
    panel._widgets.actions.clear()
    wait_until(lambda: panel._answer is None)
    panel._answered(late)
    assert panel._answer is None
    assert panel.verdicts() == []
