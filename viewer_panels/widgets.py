"""The panel's controls; what they do is told by the functions they are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import viser

from lerf_wild.live.state import MAX_WEIGHT, MODES, PanelState, Phrase

ON_TOP = 0.5
"""Place of the panel among nerfstudio's own controls, which are numbered from 1."""

SEARCH_LABEL = "Look for"
ADD_LABEL = "Add"

ENTER_ADDS = (
    "{(() => { if (typeof window === 'undefined' || window.lerfWildEnter) return null;"
    " window.lerfWildEnter = true;"
    " window.addEventListener('keydown', (event) => {"
    " if (event.key !== 'Enter' || event.target.tagName !== 'INPUT') return;"
    " const row = event.target.closest('.mantine-Flex-root');"
    f" if (!row || !row.textContent.includes('{SEARCH_LABEL}')) return;"
    " const add = [...document.querySelectorAll('button')]"
    f".find((one) => one.textContent.trim() === '{ADD_LABEL}');"
    " if (add) setTimeout(() => add.click(), 120); });"
    " return null; })()}"
)
"""viser 0.2.7 tells the server each letter of a text box but not the Enter key. Its markdown is a
small program that runs in the browser, and this one presses the button when Enter is pressed."""

INTRODUCTION = "Type what to look for and press Enter; `;` separates several phrases."


@dataclass
class PhraseRow:
    """The controls of one phrase."""

    folder: Any
    colour: Any
    is_visible: Any
    weight: Any


@dataclass
class Actions:
    """What the controls call; each runs safely in a thread of the panel's own."""

    typed: Callable[[str], None]
    add: Callable[[], None]
    clear: Callable[[], None]
    change: Callable[..., None]
    change_phrase: Callable[..., None]
    canonical: Callable[[str], None]
    remove: Callable[[str], None]
    go_to_peak: Callable[[str, Any], None]
    pick: Callable[[], None]
    more_like: Callable[[], None]
    save_set: Callable[[str], None]
    load_set: Callable[[str], None]
    delete_set: Callable[[str], None]
    export: Callable[[str, int], None]


def on_user(handle: Any, act: Callable[[Any], None]) -> None:
    """Calls back for what a user does, and not for what the program sets."""

    @handle.on_update
    def _(event: Any) -> None:
        if event.client_id is not None:
            act(event)


def on_press(handle: Any, act: Callable[[Any], None]) -> None:
    """Calls back when a button is pressed."""
    handle.on_click(act)


@dataclass
class Widgets:
    """All controls of the panel."""

    gui: Any
    actions: Actions
    rows: dict[str, PhraseRow] = field(default_factory=dict)
    _count: int = 0

    def build(self, set_names: Sequence[str], unit: str, warning: str) -> None:
        """Makes the controls at the top of the viewer's side bar."""
        self.root = self.gui.add_folder("Find", order=ON_TOP)
        with self.root:
            self.warning = self.gui.add_markdown(warning, visible=bool(warning))
            self.gui.add_markdown(f"{INTRODUCTION} {ENTER_ADDS}")
            self.text = self.gui.add_text(SEARCH_LABEL, "", hint="For example: red fox; fallen log")
            on_user(self.text, lambda event: self.actions.typed(self.text.value))
            self.add = self.gui.add_button(
                ADD_LABEL, icon=viser.Icon.SEARCH, hint="Look for what is typed above"
            )
            on_press(self.add, lambda event: self.actions.add())
            self.remove_all = self.gui.add_button(
                "Remove all", color="gray", hint="Forgets all phrases", visible=False
            )
            on_press(self.remove_all, lambda event: self.actions.clear())
            self.status = self.gui.add_markdown("", visible=False)
            self.answers = self.gui.add_markdown("")
            self._build_looks(unit)
            self._build_pointing()
            self._build_sets(set_names)
            self._build_export()

    def _build_looks(self, unit: str) -> None:
        defaults, act = PanelState(), self.actions
        with self.gui.add_folder("How it is shown", expand_by_default=False):
            self.mode = self.gui.add_dropdown(
                "Show",
                MODES,
                initial_value=defaults.mode,
                hint="Colours over the picture, relevancy as heat, points in 3D, or nothing",
            )
            on_user(self.mode, lambda event: act.change(mode=self.mode.value))
            self.threshold = self.gui.add_slider(
                "Threshold",
                0.3,
                0.95,
                0.01,
                defaults.threshold,
                hint="Places of a higher relevancy are coloured; 0.5 is as good as chance",
            )
            on_user(self.threshold, lambda event: act.change(threshold=self.threshold.value))
            self.opacity = self.gui.add_slider(
                "Opacity", 0.0, 1.0, 0.05, defaults.opacity, hint="Of the colours on the picture"
            )
            on_user(self.opacity, lambda event: act.change(opacity=self.opacity.value))
            self.auto_size = self.gui.add_checkbox(
                "Find the size", True, hint="Each phrase is looked for at the size that fits it"
            )
            self.size = self.gui.add_number(
                f"Size ({unit})",
                0.5,
                min=0.001,
                max=1000.0,
                step=0.001,
                hint="How large the things are that all phrases mean",
                visible=False,
            )
            on_user(self.auto_size, lambda event: self._size_changed())
            on_user(self.size, lambda event: self._size_changed())
            self.canonical = self.gui.add_text(
                "Must beat",
                "; ".join(defaults.canonical),
                hint="Canonical phrases: a place counts if a phrase fits it better than all these",
            )
            on_user(self.canonical, lambda event: act.canonical(self.canonical.value))

    def _size_changed(self) -> None:
        self.size.visible = not self.auto_size.value
        self.actions.change(size=None if self.auto_size.value else float(self.size.value))

    def _build_pointing(self) -> None:
        with self.gui.add_folder("What is here?", expand_by_default=False):
            self.pick = self.gui.add_button(
                "Click a place", icon=viser.Icon.POINTER, hint="Then click into the picture"
            )
            on_press(self.pick, lambda event: self.actions.pick())
            self.here = self.gui.add_markdown("", visible=False)
            self.more = self.gui.add_button(
                "Find more like this",
                icon=viser.Icon.ZOOM_IN,
                visible=False,
                hint="Looks for everything that resembles the place",
            )
            on_press(self.more, lambda event: self.actions.more_like())

    def _build_sets(self, names: Sequence[str]) -> None:
        act = self.actions
        with self.gui.add_folder("Saved sets", expand_by_default=False):
            self.sets = self.gui.add_dropdown(
                "Set",
                tuple(names) or ("none yet",),
                hint="Saved beside the run; `--phrase-set NAME` uses it on the command line",
            )
            load = self.gui.add_button("Load", hint="Replaces the phrases by those of the set")
            on_press(load, lambda event: act.load_set(self.sets.value))
            self.set_name = self.gui.add_text("Name", "", hint="Name of a set to save")
            save = self.gui.add_button("Save", hint="Saves the typed phrases under the name")
            on_press(save, lambda event: act.save_set(self.set_name.value))
            delete = self.gui.add_button("Delete", color="gray", hint="Deletes the chosen set")
            on_press(delete, lambda event: act.delete_set(self.sets.value))

    def _build_export(self) -> None:
        with self.gui.add_folder("Export a point cloud", expand_by_default=False):
            self.kind = self.gui.add_dropdown(
                "Format",
                ("ply", "las", "csv"),
                hint="PLY for CloudCompare, LAS for maps, CSV for tables",
            )
            self.points = self.gui.add_number(
                "Points", 200_000, min=1000, max=5_000_000, step=1000, hint="Size of the cloud"
            )
            self.export = self.gui.add_button(
                "Write the cloud",
                icon=viser.Icon.DOWNLOAD,
                hint="Writes points with a relevancy a phrase into the run's folder",
            )
            on_press(
                self.export,
                lambda event: self.actions.export(self.kind.value, int(self.points.value)),
            )
            self.progress = self.gui.add_progress_bar(0.0, visible=False, animated=True)
            self.exported = self.gui.add_markdown("", visible=False)

    def show_phrases(self, phrases: Sequence[Phrase]) -> None:
        """Brings the rows in line with the list."""
        self.remove_all.visible = len(phrases) > 1
        texts = {phrase.text for phrase in phrases}
        for text in [text for text in self.rows if text not in texts]:
            self.rows.pop(text).folder.remove()
        for phrase in phrases:
            if phrase.text not in self.rows:
                with self.root:
                    self.rows[phrase.text] = self._row(phrase)

    def set_rows(self, phrases: Sequence[Phrase]) -> None:
        """Sets the controls of phrases that are listed already; not while a person moves them."""
        for phrase in phrases:
            row = self.rows.get(phrase.text)
            if row is not None:
                row.colour.value = phrase.colour
                row.is_visible.value = phrase.is_visible
                row.weight.value = phrase.weight

    def _row(self, phrase: Phrase) -> PhraseRow:
        text, act = phrase.text, self.actions
        self._count += 1
        # Between the answers and what was made after them.
        order = self.answers.order + 1 - 1 / (1 + self._count)
        folder = self.gui.add_folder(shortened(text), order=order, expand_by_default=False)
        with folder:
            go = self.gui.add_button(
                "Go there", icon=viser.Icon.FOCUS_2, hint="Moves the camera to the best place"
            )
            on_press(go, lambda event: act.go_to_peak(text, event.client))
            colour = self.gui.add_rgb("Colour", phrase.colour, hint="Colour of this phrase")
            is_visible = self.gui.add_checkbox(
                "Shown", phrase.is_visible, hint="Hides the phrase without forgetting it"
            )
            weight = self.gui.add_slider(
                "Weight",
                0.0,
                MAX_WEIGHT,
                0.05,
                phrase.weight,
                hint="Counts for more or less where phrases compete for a place",
            )
            on_user(
                colour, lambda event: act.change_phrase(text, colour=tuple(map(int, colour.value)))
            )
            on_user(is_visible, lambda event: act.change_phrase(text, is_visible=is_visible.value))
            on_user(weight, lambda event: act.change_phrase(text, weight=weight.value))
            remove = self.gui.add_button("Remove", color="gray", hint="Forgets this phrase")
            on_press(remove, lambda event: act.remove(text))
        return PhraseRow(folder, colour, is_visible, weight)

    def show_sets(self, names: Sequence[str]) -> None:
        """Lists the saved sets."""
        self.sets.options = tuple(names) or ("none yet",)

    def say(self, text: str) -> None:
        """Shows a line of markdown above the answers, or hides it."""
        self.status.content = text
        self.status.visible = bool(text)


def shortened(text: str, room: int = 28) -> str:
    """Cuts a text for a heading."""
    return text if len(text) <= room else f"{text[: room - 1]}…"
