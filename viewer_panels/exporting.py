"""The export button: a cloud in the run's folder, with progress and the command that equals it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from lerf_wild.cli.export import source_of, write_found
from lerf_wild.cli.runs import Run
from lerf_wild.cli.sampling import as_cloud, sample_scene
from lerf_wild.errors import QueryError
from lerf_wild.live.commands import export_command
from lerf_wild.live.state import PanelState
from lerf_wild.live.texts import TextMemory
from lerf_wild.live.verdicts import plain
from lerf_wild.viewer_panels.scene_table import TurnTaking
from lerf_wild.viewer_panels.widgets import Widgets

FOLDER = "exports"


def write_cloud_of(
    run: Run,
    state: PanelState,
    texts: TextMemory,
    turn_taking: TurnTaking,
    widgets: Widgets,
    kind: str,
    num_points: int,
) -> None:
    """Samples and writes the cloud of a panel's visible phrases while others go on rendering.

    Raises QueryError and ExportError.
    """
    shown = replace(state, phrases=tuple(one for one in state.phrases if one.is_visible))
    if not shown.phrases:
        raise QueryError("There is no phrase to export. Add one first.")
    folder = run.folder / FOLDER / time.strftime("%Y-%m-%d_%H%M%S")
    with _progress(widgets) as advance:
        views = len(run.dataset("train"))
        with turn_taking.turns() as let_others_in:

            def on_view() -> None:
                advance(1 / views)
                let_others_in()

            found = sample_scene(run, texts.query(shown), num_points, on_view=on_view)
        cloud = as_cloud(run, found)
        figures = write_found(run, found, cloud, folder, kind, source_of(run))
    widgets.exported.content = _said(run, shown, figures, folder, kind, num_points)
    widgets.exported.visible = True


def _said(
    run: Run, shown: PanelState, figures: dict, folder: Path, kind: str, num_points: int
) -> str:
    done = f"{figures['points']:,} points are in<br />{_code(str(figures['file']))}"
    typed = [one.text for one in shown.phrases if one.embedding is None]
    if len(typed) < len(shown.phrases):
        return f"{done}<br />Places that were clicked can only be exported from here."
    command = export_command(run.config_path, typed, shown.canonical, folder, kind, num_points)
    return f"{done}<br />The same from a terminal:<br />{_code(command)}"


def _code(text: str) -> str:
    return f"<code>{plain(text)}</code>"


class _progress:
    """Shows the bar while the block runs."""

    def __init__(self, widgets: Widgets) -> None:
        self._widgets = widgets
        self._done = 0.0

    def __enter__(self) -> Any:
        self._widgets.export.disabled = True
        self._widgets.exported.visible = False
        self._widgets.progress.value = 0.0
        self._widgets.progress.visible = True
        return self._advance

    def _advance(self, share: float) -> None:
        self._done += share
        self._widgets.progress.value = min(100.0, 100.0 * self._done)

    def __exit__(self, *_: object) -> None:
        self._widgets.progress.visible = False
        self._widgets.export.disabled = False
