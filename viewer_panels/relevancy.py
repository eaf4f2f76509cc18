"""The panel in which phrases are typed, in `ns-train`, `ns-viewer` and `lerf-wild view`.

Threads: viser calls back in its own; a change makes a new state there and wakes `asker`, which
embeds the texts and publishes one immutable question to the model; the render thread answers it
and wakes `teller`, which writes the verdicts. `jobs` loads the encoder, makes the scene's table,
works ahead on still views and exports.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from nerfstudio.utils.rich_utils import CONSOLE
from nerfstudio.viewer.render_state_machine import RenderAction
from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO
from nerfstudio.viewer.viewer_elements import ViewerControl

from lerf_wild.cli.runs import run_of
from lerf_wild.cli.view import is_loopback
from lerf_wild.language.thresholds import EXISTENCE_RELEVANCY
from lerf_wild.live import phrase_sets, state
from lerf_wild.live.painting import look_of
from lerf_wild.live.question import Question
from lerf_wild.live.state import PanelState
from lerf_wild.live.texts import TextMemory
from lerf_wild.live.verdicts import Verdict, plain, verdict_markdown
from lerf_wild.methods.lerf_wild.live_views import LiveAnswer
from lerf_wild.viewer_panels.cloud import show_points
from lerf_wild.viewer_panels.exporting import write_cloud_of
from lerf_wild.viewer_panels.going import look_at_place
from lerf_wild.viewer_panels.guards import GuardedMachines, trouble_text
from lerf_wild.viewer_panels.pointing import Pointer
from lerf_wild.viewer_panels.scene_table import SceneTable, TableAnswer, TurnTaking
from lerf_wild.viewer_panels.widgets import Actions, Widgets
from lerf_wild.viewer_panels.workers import Jobs, Latest

MIN_CHUNK = 256
"""Smallest number of rays that an out-of-memory makes of a chunk."""

OPEN_TO_ALL = (
    "⚠️ **This viewer listens on {host}.** Whoever reaches it can read files of this machine. "
    "Start it with `--viewer.websocket-host 127.0.0.1` and come through `ssh -L`."
)


class RelevancyPanel(ViewerControl):
    """Found by nerfstudio's viewer on the pipeline; builds itself when a viewer starts."""

    def __init__(self, pipeline: Any) -> None:
        # In a list, so that nothing walks from the panel back into the pipeline.
        self._pipeline = [pipeline]
        self._lock = threading.RLock()
        self.state = PanelState()

    def _setup(self, viewer: Any) -> None:
        super()._setup(viewer)
        try:
            self._build(viewer)
        # A panel that can't be built must not take the training with it.
        except Exception as error:
            CONSOLE.print(f"The relevancy panel can't be shown: {error}", markup=False)

    # Construction.

    def _build(self, viewer: Any) -> None:
        pipeline = self._pipeline[0]
        self._viewer, self._model = viewer, pipeline.model
        self._folder = run_folder(pipeline, viewer)
        settings = SimpleNamespace(
            pipeline=pipeline.config, experiment_name=self._folder.parent.parent.name
        )
        self._run = run_of(self._folder / "config.yml", settings, pipeline, 0)
        self._turns = TurnTaking(self._model, viewer.train_lock)
        self._texts = TextMemory(self._model.encoder)
        self._table = SceneTable(self._run, self._turns)
        self._pointer = Pointer(self._model, self._run, self._texts, self._table)
        self._answer: LiveAnswer | None = None
        self._scene: tuple[Question, TableAnswer] | None = None
        self._points: Any = None
        self._awaited: tuple[str, Any] | None = None
        self._live = self._model.go_live()
        self._live.on_answer = self._answered
        machines = GuardedMachines(self._live, self._render_trouble)
        for client_id, machine in viewer.render_statemachines.items():
            machines[client_id] = machine
        viewer.render_statemachines = machines
        self._widgets = Widgets(self.viser_server.gui, self._actions())
        warning = reach_warning(viewer.config.websocket_host)
        self._widgets.build(self._set_names(), self._run.unit, warning)
        self._asker = Latest(self._ask, self.trouble, "phrases")
        self._teller = Latest(lambda _: self._tell(), self.trouble, "verdicts")
        self._jobs = Jobs(self._work_ahead, self.trouble, "panel jobs")
        self._jobs.put(lambda: self._texts.embed(self.state.canonical))
        if viewer.trainer is None:
            # nerfstudio offers to pause a training that isn't there.
            viewer.pause_train.visible = False
        self._adopt(self._model.query)
        self._teller.put(None)

    def _actions(self) -> Actions:
        safe = self._safely
        return Actions(
            typed=safe(self._typed),
            add=safe(self._add),
            clear=safe(lambda: self._change(lambda old: replace(old, phrases=()))),
            change=safe(lambda **changes: self._change(lambda old: replace(old, **changes))),
            change_phrase=safe(
                lambda text, **changes: self._change(
                    lambda old: state.with_changed(old, text, **changes)
                )
            ),
            canonical=safe(lambda text: self._change(lambda old: state.with_canonical(old, text))),
            remove=safe(lambda text: self._change(lambda old: state.without(old, text))),
            go_to_peak=safe(self._go_to_peak),
            pick=safe(self._pick),
            more_like=safe(self._more_like),
            save_set=safe(self._save_set),
            load_set=safe(self._load_set),
            delete_set=safe(self._delete_set),
            export=safe(self._export),
        )

    def _safely(self, act: Callable[..., None]) -> Callable[..., None]:
        """Says what went wrong instead of raising in a thread of viser's."""

        def safe(*values: Any, **changes: Any) -> None:
            try:
                self._widgets.say("")
                act(*values, **changes)
            except Exception as error:
                self.trouble(error)

        return safe

    def _adopt(self, query: Any) -> None:
        """Takes over the phrases that a run starts with."""
        if query is not None:
            self._change(lambda old: state.with_phrases(old, query.phrases))

    def trouble(self, error: BaseException) -> None:
        """Says in the panel what went wrong, and takes away what made it go wrong."""
        text = trouble_text(error)
        CONSOLE.print(f"Relevancy panel: {text}", markup=False)
        if isinstance(error, torch.OutOfMemoryError | MemoryError):
            self._live.forget()
            config = self._model.config
            config.eval_num_rays_per_chunk = max(MIN_CHUNK, config.eval_num_rays_per_chunk // 2)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        self._widgets.say(f"⚠️ {plain(text)}")

    def _render_trouble(self, error: BaseException) -> None:
        """The picture has to come back, if need be without what was asked."""
        if not isinstance(error, torch.OutOfMemoryError | MemoryError):
            self._model.ask(None)
            self._live.forget()
        self.trouble(error)

    # From a change to an answer.

    def _change(self, change: Callable[[PanelState], PanelState]) -> None:
        with self._lock:
            self.state = change(self.state)
            self._asker.put(self.state)

    def _ask(self, wanted: PanelState) -> None:
        self._widgets.show_phrases(wanted.phrases)
        if not wanted.phrases:
            self._model.ask(None)
            self._scene = None
            self._take(None)
        else:
            query = self._texts.query(wanted)
            told = self._table.answer(query, wanted.size)
            question = Question(query, look_of(wanted), self._sizes(wanted, told))
            self._model.ask(question)
            self._scene = None if told is None else (question, told)
            self._keep_promise()
        self._rerender()
        self._show_points(wanted)
        self._teller.put(None)

    def _sizes(self, wanted: PanelState, told: TableAnswer | None) -> tuple[float, ...] | None:
        """The size that was set, else those of the whole scene, which no camera changes."""
        if wanted.size is not None:
            return (wanted.size / self._run.length_per_nerf,) * len(wanted.phrases)
        if told is None:
            return None
        return tuple((told.found.size_P / self._run.length_per_nerf).tolist())

    def _rerender(self) -> None:
        for client_id, machine in list(self._viewer.render_statemachines.items()):
            client = self.viser_server.get_clients().get(client_id)
            if client is not None and self._viewer.ready:
                camera = self._viewer.get_camera_state(client)
                machine.action(RenderAction("rerender", camera))

    def _answered(self, answer: LiveAnswer) -> None:
        self._take(answer)
        self._teller.put(None)

    def _take(self, answer: LiveAnswer | None) -> None:
        """Keeps the newest answer. One that was under way when the last phrase went is let go."""
        with self._lock:
            self._answer = answer if self.state.phrases else None

    def _tell(self) -> None:
        verdicts = self.verdicts()
        self._widgets.answers.content = verdict_markdown(verdicts, self._run.unit)

    def verdicts(self) -> list[Verdict]:
        """What is known of each phrase in the list: of the scene, else of the view."""
        answer, scene, phrases = self._answer, self._scene, self.state.phrases
        if answer is None:
            return []
        seen = dict(zip(answer.question.query.phrases, zip(answer.score_P, answer.size_P)))
        found = {}
        if scene is not None:
            told = scene[1].found
            values = zip(told.score_P.tolist(), told.size_P.tolist())
            found = dict(zip(scene[0].query.phrases, values))
        verdicts = []
        for phrase in phrases:
            is_of_scene = phrase.text in found
            if not is_of_scene and phrase.text not in seen:
                continue
            score, size = found[phrase.text] if is_of_scene else seen[phrase.text]
            size = size if is_of_scene else size * self._run.length_per_nerf
            is_there = score > EXISTENCE_RELEVANCY
            time_ms = answer.milliseconds
            verdicts.append(
                Verdict(phrase.text, phrase.colour, score, size, is_there, time_ms, is_of_scene)
            )
        return verdicts

    def _work_ahead(self) -> bool:
        """Makes the scene's table and fills the still view; True while there is more to do."""
        if self._is_training() and not (self.state.phrases and self._table.is_due()):
            return False
        if self._table.is_due() and not self._viewer.step == 0:
            self._table.make()
            self._asker.put(self.state)
            return True
        view = self._live.latest()
        return view is not None and not self._is_training() and view.fill_one()

    def _is_training(self) -> bool:
        trainer = self._viewer.trainer
        return trainer is not None and trainer.training_state == "training"

    # What the controls do.

    def _typed(self, text: str) -> None:
        done, separator, rest = text.rpartition(";")
        if separator:
            self._change(lambda old: state.with_typed(old, done))
            self._widgets.text.value = rest.lstrip()

    def _add(self) -> None:
        text = self._widgets.text.value
        self._change(lambda old: state.with_typed(old, text))
        self._widgets.text.value = ""

    def _go_to_peak(self, text: str, client: Any) -> None:
        self._awaited = (text, client)
        if self._scene is None:
            self._widgets.say("The camera goes there when the scene has been looked through.")
        self._keep_promise()

    def _keep_promise(self) -> None:
        """Goes where the camera was asked to go, once the scene says where that is."""
        scene, awaited = self._scene, self._awaited
        if scene is None or awaited is None or awaited[0] not in scene[0].query.phrases:
            return
        self._awaited = None
        self._widgets.say("")
        self._jobs.put(lambda: self._look_at_peak(scene, *awaited))

    def _look_at_peak(self, scene: tuple[Question, TableAnswer], text: str, client: Any) -> None:
        question, (found, points_N3) = scene
        row = question.query.phrases.index(text)
        peak_3 = points_N3[found.peak_P[row]]
        size = float(found.size_P[row]) / self._run.length_per_nerf
        cameras = self._run.dataset("train").cameras
        clients = [client] if client is not None else self.viser_server.get_clients().values()
        for one in clients:
            look_at_place(one, peak_3, size, cameras, VISER_NERFSTUDIO_SCALE_RATIO)

    def _pick(self) -> None:
        self._widgets.say("Click a place in the picture.")
        self.register_pointer_cb("click", self._clicked)

    def _clicked(self, click: Any) -> None:
        self.unregister_pointer_cb()
        self._jobs.put(lambda: self._describe(click))

    def _describe(self, click: Any) -> None:
        self._widgets.say("")
        with self._turns.turns():
            words = self._pointer.point(click.origin, click.direction, self.state)
        self._widgets.here.content = words
        self._widgets.here.visible = True
        self._widgets.more.visible = self._pointer.has_place

    def _more_like(self) -> None:
        name, embedding = self._pointer.likeness(self.state)
        self._change(lambda old: state.with_place(old, name, embedding))

    def _set_names(self) -> list[str]:
        try:
            return sorted(phrase_sets.read_sets(self._folder))
        except ValueError as error:
            CONSOLE.print(str(error), markup=False)
            return []

    def _save_set(self, name: str) -> None:
        saved = phrase_sets.save_set(self._folder, name, phrase_sets.set_of(self.state))
        self._widgets.show_sets(self._set_names())
        self._widgets.sets.value = saved
        self._widgets.say(f"Saved: `--phrase-set` {plain(saved)}")

    def _load_set(self, name: str) -> None:
        chosen = phrase_sets.read_set(self._folder, name)
        self._change(lambda old: phrase_sets.with_set(old, chosen))
        self._widgets.set_rows(self.state.phrases)
        self._widgets.canonical.value = "; ".join(chosen.canonical)

    def _delete_set(self, name: str) -> None:
        phrase_sets.delete_set(self._folder, name)
        self._widgets.show_sets(self._set_names())

    def _export(self, kind: str, num_points: int) -> None:
        wanted = self.state
        run = replace(self._run, step=self._viewer.step)
        self._jobs.put(
            lambda: write_cloud_of(
                run, wanted, self._texts, self._turns, self._widgets, kind, num_points
            )
        )

    def _show_points(self, wanted: PanelState) -> None:
        scene = self._scene if wanted.mode == "points" else None
        self._points = show_points(
            self.viser_server, self._points, scene, VISER_NERFSTUDIO_SCALE_RATIO
        )


def reach_warning(host: str) -> str:
    """Returns a warning, in markdown, when others than this machine can reach an address."""
    shown = "".join(letter for letter in host if letter.isalnum() or letter in ".:-")
    return "" if is_loopback(host) else OPEN_TO_ALL.format(host=shown)


def run_folder(pipeline: Any, viewer: Any) -> Path:
    """The run's folder: what the training wrote down if it is still there, else the viewer's."""
    written = pipeline.config.run_dir
    if written is not None and (Path(written) / "config.yml").is_file():
        return Path(written).resolve()
    return Path(viewer.log_filename).parent.resolve()
