"""The wildlife panel's controls; what they do is told by the functions they are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lerf_wild.animals.poses.gaits import GAITS
from lerf_wild.animals.poses.postures import POSTURES
from lerf_wild.live.verdicts import plain
from lerf_wild.program.statements import KINDS
from lerf_wild.viewer_panels.widgets import on_press, on_user
from lerf_wild.wildlife.items import Animal, Item

ORDER = 0.6
"""Place among nerfstudio's own controls, below the panel of phrases."""
NONE = "nothing yet"
TALLEST_M, SHORTEST_M = 30.0, 0.05
MESHES, PHOTOS = ".glb,.ply,.obj", "image/*"
"""What a browser's dialogue for files offers."""
INTRODUCTION = (
    "Write what to place and by what, such as *a red deer grazing by the log*; or what to take out."
)


@dataclass
class WildlifeActions:
    """What the controls call; each runs safely."""

    place: Callable[[str], None]
    where: Callable[[str], None]
    clear: Callable[[str], None]
    add_mesh: Callable[[str, bytes], None]
    add_photo: Callable[[str, bytes], None]
    choose: Callable[[str], None]
    turn: Callable[[float], None]
    scale: Callable[[float], None]
    show: Callable[[bool], None]
    swap: Callable[[str], None]
    act: Callable[[str], None]
    phase: Callable[[float], None]
    remove: Callable[[], None]
    undo: Callable[[], None]
    redo: Callable[[], None]
    export: Callable[[], None]


@dataclass
class WildlifeWidgets:
    """All controls of the panel."""

    gui: Any
    actions: WildlifeActions

    def build(self) -> None:
        """Makes the controls."""
        gui, actions = self.gui, self.actions
        self.root = gui.add_folder("Wildlife", order=ORDER)
        with self.root:
            gui.add_markdown(INTRODUCTION)
            self.text = gui.add_text("Place what", "")
            self.place = gui.add_button("Place")
            on_press(self.place, lambda _: actions.place(self.text.value))
            self.where = gui.add_button("Where could it stand?")
            on_press(self.where, lambda _: actions.where(self.text.value))
            self.clear = gui.add_button(
                "Take out of the photos", hint="Empties the place of the thing that is written."
            )
            on_press(self.clear, lambda _: actions.clear(self.text.value))
            self._build_uploads()
            self.item = gui.add_dropdown("Item", (NONE,))
            on_user(self.item, lambda _: actions.choose(self.item.value))
            self.about = gui.add_markdown("")
            self.yaw = gui.add_slider("Heading (deg)", -180.0, 180.0, 1.0, 0.0)
            on_user(self.yaw, lambda _: actions.turn(self.yaw.value))
            self.height = gui.add_number(
                "Height (m)", 1.0, min=SHORTEST_M, max=TALLEST_M, step=0.01
            )
            on_user(self.height, lambda _: actions.scale(self.height.value))
            self.is_shown = gui.add_checkbox("Shown", True)
            on_user(self.is_shown, lambda _: actions.show(self.is_shown.value))
            self._build_changes()
            self.remove = gui.add_button("Remove")
            on_press(self.remove, lambda _: actions.remove())
            self.undo = gui.add_button("Undo")
            on_press(self.undo, lambda _: actions.undo())
            self.redo = gui.add_button("Redo")
            on_press(self.redo, lambda _: actions.redo())
            self.export = gui.add_button("Export GLB")
            on_press(self.export, lambda _: actions.export())
            self.message = gui.add_markdown("", visible=False)

    def _build_uploads(self) -> None:
        gui, actions = self.gui, self.actions
        with gui.add_folder("From a file", expand_by_default=False):
            self.kind = gui.add_dropdown("Kind", tuple(KINDS))
            self.licence = gui.add_text("Licence", "")
            self.mesh = gui.add_upload_button("Add a mesh (GLB, PLY, OBJ)", mime_type=MESHES)
            self.photo = gui.add_upload_button("Add what a photo shows", mime_type=PHOTOS)
        for handle, act in ((self.mesh, actions.add_mesh), (self.photo, actions.add_photo)):
            handle.on_upload(lambda event, act=act: act(*_file_of(event.target)))

    def _build_changes(self) -> None:
        gui, actions = self.gui, self.actions
        self.becomes = gui.add_text("Becomes", "")
        self.swap = gui.add_button("Swap")
        on_press(self.swap, lambda _: actions.swap(self.becomes.value))
        self.does = gui.add_dropdown("Does", (*GAITS, *POSTURES), visible=False)
        on_user(self.does, lambda _: actions.act(self.does.value))
        self.phase = gui.add_slider("Moment of the gait", 0.0, 1.0, 0.01, 0.0, visible=False)
        on_user(self.phase, lambda _: actions.phase(self.phase.value))

    def say(self, text: str) -> None:
        """Shows a line of markdown, or none."""
        self.message.content = text
        self.message.visible = bool(text)

    def show(
        self,
        names: Sequence[str],
        item: Item | None,
        yaw_deg: float,
        can_undo: bool,
        can_redo: bool,
    ) -> None:
        """Shows the list and the chosen item."""
        self.item.options = tuple(names) or (NONE,)
        self.item.value = NONE if item is None else item.id
        for handle in (self.yaw, self.height, self.is_shown, self.swap, self.remove):
            handle.disabled = item is None
        self.undo.disabled, self.redo.disabled = not can_undo, not can_redo
        self.about.content = "" if item is None else _about(item)
        if item is not None:
            self.yaw.value = float(round(yaw_deg))
            self.height.value = round(item.height_m, 2)
            self.is_shown.value = item.visible
        self._show_animal(None if item is None else item.animal)

    def _show_animal(self, animal: Animal | None) -> None:
        """Shows what an animal does; a pose of its own is none of the list."""
        self.does.visible = animal is not None
        self.phase.visible = animal is not None and animal.action in GAITS and not animal.pose
        if animal is not None:
            self.does.value = animal.action
            self.phase.value = animal.phase


def _file_of(handle: Any) -> tuple[str, bytes]:
    return str(handle.value.name), bytes(handle.value.content)


def _about(item: Item) -> str:
    where = ", ".join(f"{value:.2f}" for value in item.position)
    source = item.provenance.text or item.provenance.source
    return f"{plain(item.what)} at {where}<br />from: {plain(source)}"
