"""The panel in which items are placed: by words, by dragging, turning, scaling, and taken back.

Threads: viser calls back in its own; each change is written to the run's population file there, and
what takes long (looking for a named thing, exporting) goes to `jobs`. The model reads the file
anew when it has changed, so that the panel, the command line and Python may edit it in turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from nerfstudio.utils.rich_utils import CONSOLE
from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO
from nerfstudio.viewer.viewer_elements import ViewerControl

from lerf_wild.cli.answers import Answer
from lerf_wild.cli.scored import SurfacePoints
from lerf_wild.cli.wildlife_clear import clearing_around
from lerf_wild.errors import WildlifeError
from lerf_wild.language.phrases import clean_phrases
from lerf_wild.live.verdicts import plain
from lerf_wild.viewer_panels.guards import trouble_text
from lerf_wild.viewer_panels.wildlife_widgets import WildlifeActions, WildlifeWidgets
from lerf_wild.viewer_panels.workers import Jobs
from lerf_wild.wildlife.choosing import Choice, choose_each
from lerf_wild.wildlife.items import Item, Provenance
from lerf_wild.wildlife.place_costs import Aim, middle_of
from lerf_wild.wildlife.population import (
    Population,
    redone,
    undone,
    with_change,
    with_clearing,
    with_swap,
    without,
)
from lerf_wild.wildlife.population_files import edit_population, read_population
from lerf_wild.wildlife.sentences import Sentence, read_sentence, read_sentences
from lerf_wild.wildlife.settling import (
    Scene,
    by_thing,
    places_for,
    settle_each,
    settle_program,
    settled_again,
    swapped,
    yaw_in,
)
from lerf_wild.wildlife.uploads import add_upload, program_of_photo

GIZMO, PLACES = "/wildlife/gizmo", "/wildlife/places"
MARK_3, MARK_M = np.array([255.0, 170.0, 40.0]), 0.12
"""Colour and size of the marks where something could stand."""
FOLDER = "exports"


class WildlifePanel(ViewerControl):
    """Found by nerfstudio's viewer on the pipeline; builds itself when a viewer starts."""

    def __init__(self, pipeline: Any) -> None:
        # In a list, so that nothing walks from the panel back into the pipeline.
        self._pipeline = [pipeline]
        self._chosen: str | None = None
        self._gizmo: Any = None
        self._places: Any = None
        self._dragged_at = 0.0

    def _setup(self, viewer: Any) -> None:
        super()._setup(viewer)
        try:
            self._build()
        # A panel that can't be built must not take the viewer with it.
        except Exception as error:
            CONSOLE.print(f"The wildlife panel can't be shown: {error}", markup=False)

    def _build(self) -> None:
        self._items = self._pipeline[0].model.items
        self._widgets = WildlifeWidgets(self.viser_server.gui, self._actions())
        self._widgets.build()
        self._items.on_trouble = lambda line: self._widgets.say(plain(line))
        self._jobs = Jobs(lambda: False, self.trouble, "wildlife panel")
        self.refresh()

    def _actions(self) -> WildlifeActions:
        safe = self._safely
        return WildlifeActions(
            place=safe(lambda text: self._jobs.put(lambda: self._place(text))),
            where=safe(lambda text: self._jobs.put(lambda: self._where(text))),
            clear=safe(lambda text: self._jobs.put(lambda: self._clear(text))),
            add_mesh=safe(lambda *file: self._jobs.put(lambda: self._add_mesh(*file))),
            add_photo=safe(lambda *file: self._jobs.put(lambda: self._add_photo(*file))),
            choose=safe(self._choose),
            turn=safe(lambda degrees: self._settle_again(yaw_rad=float(np.radians(degrees)))),
            scale=safe(lambda height_m: self._settle_again(height_m=float(height_m))),
            show=safe(lambda is_shown: self._change("show or hide", visible=bool(is_shown))),
            swap=safe(self._asked_to_swap),
            act=safe(lambda action: self._pose(action=action)),
            phase=safe(lambda phase: self._pose(phase=float(phase))),
            remove=safe(self._remove),
            undo=safe(lambda: self._edit(undone)),
            redo=safe(lambda: self._edit(redone)),
            export=safe(lambda: self._jobs.put(self._export)),
        )

    def _safely(self, act: Callable[..., None]) -> Callable[..., None]:
        """Says what went wrong instead of raising in a thread of viser's."""

        def safe(*values: Any) -> None:
            try:
                self._widgets.say("")
                act(*values)
            except Exception as error:
                self.trouble(error)

        return safe

    def trouble(self, error: BaseException) -> None:
        """Says in the panel what went wrong."""
        self._widgets.say(f"⚠️ {plain(trouble_text(error))}")

    @property
    def population(self) -> Population:
        """The items as the file has them."""
        return read_population(self._items.path)

    def refresh(self) -> None:
        """Shows the items as the file has them."""
        population = self.population
        names = [item.id for item in population.items]
        if self._chosen not in names:
            self._chosen = names[-1] if names else None
        item = None if self._chosen is None else population.item(self._chosen)
        yaw = 0.0 if item is None else np.degrees(yaw_in(self._items.stage, item))
        self._widgets.show(names, item, float(yaw), bool(population.undo), bool(population.redo))
        self._show_gizmo(item)
        self._items.shown()
        panel = getattr(self._pipeline[0], "relevancy_panel", None)
        if panel is not None:
            panel._rerender()

    def _scene(self) -> Scene:
        items = self._items
        return Scene(items.stage, items.ground(), items.library())

    def _edit(self, change: Callable[[Population], Population]) -> None:
        edit_population(self._items.path, change)
        self.refresh()

    def _change(self, label: str, **changes: Any) -> None:
        name = self._needed()
        self._edit(lambda old: with_change(old, name, f"{label} {name}", **changes))

    def _needed(self) -> str:
        if self._chosen is None:
            raise WildlifeError("Nothing is placed yet. Write what to place.")
        return self._chosen

    def _choose(self, name: str) -> None:
        self._chosen = name
        self.refresh()

    def _remove(self) -> None:
        name = self._needed()
        self._edit(lambda old: without(old, name))

    def _settle_again(self, **changes: Any) -> None:
        item = self.population.item(self._needed())
        wanted = {"at_world": None, "yaw_rad": None, "height_m": None} | changes
        new = settled_again(self._scene(), self.population, item, **wanted)
        self._change("change", position=new.position, rotation=new.rotation, height_m=new.height_m)

    def _asked_to_swap(self, text: str) -> None:
        # The item that is chosen now, whatever is chosen once there is time for it.
        name = self._needed()
        self._jobs.put(lambda: self._swap(name, text))

    def _swap(self, name: str, text: str) -> None:
        scene, population = self._scene(), self.population
        choice = self._choices(scene, [read_sentence(text)])[0]
        new = swapped(scene, population, population.item(name), choice)
        self._edit(lambda old: with_swap(old, new))

    def _pose(self, **changes: Any) -> None:
        item = self.population.item(self._needed())
        if item.animal is None:
            raise WildlifeError(f"{item.id} is no animal that could be posed.")
        # What an animal does takes the place of a pose of its own.
        animal = msgspec.structs.replace(item.animal, pose=(), **changes)
        self._change("pose", animal=animal)

    # Placing by words and from files.

    def _place(self, text: str) -> None:
        self._widgets.say("Looking for room ...")
        sentences, scene = read_sentences(text), self._scene()
        choices, anchor = self._choices(scene, sentences), sentences[0].anchor
        scene, aim, others = self._aim(scene, anchor)
        source = Provenance("text", text, anchor=anchor)
        self._settle(scene, choices, aim, source, others)

    def _settle(
        self,
        scene: Scene,
        choices: Sequence[Choice],
        aim: Aim,
        source: Provenance,
        others: str | None = None,
    ) -> None:
        self._took_all(lambda old: settle_each(scene, old, choices, aim, source), others)

    def _took_all(self, settled: Callable[[Population], Any], others: str | None = None) -> None:
        """Writes what can be placed and shows it; raises WildlifeError where nothing can."""
        placed: list[Item] = []
        refused: list[str] = []

        def change(population: Population) -> Population:
            population, found, left = settled(population)
            placed.extend(found)
            refused.extend(left)
            return population

        edit_population(self._items.path, change)
        if not placed:
            raise WildlifeError(refused[0] if refused else "The photo shows nothing to place.")
        self._took(placed, others, refused)

    def _took(
        self, placed: Sequence[Item], others: str | None = None, refused: Sequence[str] = ()
    ) -> None:
        """Shows the first of the items that were placed just now, and where else was meant."""
        self._show_places(None)
        self._chosen = placed[0].id
        self.refresh()
        lines = [f"{one.id}: {plain(one.what)}" for one in placed]
        lines += [] if others is None else [f"{plain(others)}. Drag it to another."]
        lines += [f"not placed: {plain(one)}" for one in refused]
        self._widgets.say("<br />".join(lines))

    def _add_mesh(self, name: str, content: bytes) -> None:
        widgets = self._widgets
        library, choice = add_upload(
            self._items.library(),
            name,
            content,
            widgets.text.value,
            widgets.kind.value,
            widgets.licence.value,
        )
        self._items.library = lambda: library
        scene = self._scene()
        source = Provenance("hand", str(choice.asset), licence=choice.licence)
        self._settle(scene, [choice], self._looked_at(scene), source)

    def _add_photo(self, name: str, content: bytes) -> None:
        self._widgets.say("Reading the photo ...")
        program, scene = program_of_photo(name, content), self._scene()
        aim, source = self._looked_at(scene), Provenance("photo", name[:256] or "photo")
        self._took_all(lambda old: settle_program(scene, old, program, aim, source))

    def _where(self, text: str) -> None:
        """Shows where what is written, or else the chosen item, has room."""
        self._widgets.say("Looking for room ...")
        scene, population = self._scene(), self.population
        words = text if text.strip() else population.item(self._needed()).what.split(",")[0]
        sentence = read_sentence(words)
        choice = self._choices(scene, [sentence])[0]
        aim = None
        if sentence.anchor is not None:
            scene, aim, _ = self._aim(scene, sentence.anchor)
        found = places_for(scene, population, choice, aim)
        self._show_places(np.array([place.foot_3 for place in found]).reshape(-1, 3))
        by = "" if aim is None else f"; the brighter, the nearer to {plain(str(sentence.anchor))}"
        self._widgets.say(f"{len(found)} places for {plain(sentence.item)}{by}.")

    def _clear(self, text: str) -> None:
        """Takes what is written, a thing that the photos show, out of the scene."""
        (thing,) = clean_phrases([text])
        (points, found), stage = self._found(thing), self._items.stage
        on_stage_N3 = stage.from_nerf(points.positions_N3)
        peak_3 = stage.from_world(np.array([found.position]))[0]
        relevancy_N = points.relevancy_NP[:, 0]
        clearing = clearing_around(self._items, on_stage_N3, relevancy_N, peak_3, thing)
        self._edit(lambda old: with_clearing(old, clearing))
        self._widgets.say(f"{clearing.id}: Undo brings it back.")

    def _show_places(self, feet_N3: np.ndarray | None) -> None:
        """Marks places, those that come first the brightest; None takes the marks away."""
        if self._places is not None:
            self._places.remove()
            self._places = None
        if feet_N3 is None or len(feet_N3) == 0:
            return
        stage = self._items.stage
        share = np.linspace(1.0, 0.3, len(feet_N3))[:, None]
        self._places = self.viser_server.scene.add_point_cloud(
            PLACES,
            np.float32(stage.to_nerf(feet_N3) * VISER_NERFSTUDIO_SCALE_RATIO),
            np.uint8(share * MARK_3),
            point_size=MARK_M / stage.metres_per_nerf * VISER_NERFSTUDIO_SCALE_RATIO,
            point_shape="circle",
        )

    def _choices(self, scene: Scene, sentences: Sequence[Sentence]) -> list[Choice]:
        return choose_each(sentences, scene.library, lambda words: self._search(scene, words))

    def _search(self, scene: Scene, words: str) -> Any:
        from lerf_wild.assets.template_index import build_index
        from lerf_wild.assets.words import find_by_words

        encoder = self._pipeline[0].model.encoder()
        index = build_index(scene.library, encoder)
        return find_by_words(index, scene.library, [words], encoder)[0]

    def _aim(self, scene: Scene, anchor: str | None) -> tuple[Scene, Aim, str | None]:
        """The place and where in it the named thing is, else where a browser looks; and a line on
        other things that go by that name."""
        if anchor is None:
            return scene, self._looked_at(scene), None
        found = self._found(anchor)[1]
        return *by_thing(scene, found.position, found.core_M3), found.others()

    def _found(self, words: str) -> tuple[SurfacePoints, Answer]:
        """Points of the scene's table with how relevant each is for a thing, and where it is."""
        panel = getattr(self._pipeline[0], "relevancy_panel", None)
        table = getattr(panel, "_table", None)
        if table is None or not table.is_there:
            raise WildlifeError("The scene is still being looked through. Try again shortly.")
        from lerf_wild.language.relevancy import make_query

        query = make_query([words], self._pipeline[0].model.encoder())
        scored, (answer,) = table.places(query)
        if not answer.present:
            raise WildlifeError(f"Nothing in the scene looks like {words[:60]!r}.")
        return scored.points, answer

    def _looked_at(self, scene: Scene) -> Aim:
        """Ground in the middle of a browser's view, or of the place where none shows any."""
        for client in self.viser_server.get_clients().values():
            places = np.array([client.camera.position, client.camera.look_at], np.float64)
            eye, point = scene.stage.from_nerf(places / VISER_NERFSTUDIO_SCALE_RATIO)
            towards = (point - eye) / max(float(np.linalg.norm(point - eye)), 1e-9)
            foot = scene.ground.under(eye[None], towards[None])
            if np.isfinite(foot).all() and scene.ground.is_known(foot[:, :2])[0]:
                return Aim(foot[0, :2])
        return Aim(middle_of(scene.ground))

    # Dragging.

    def _show_gizmo(self, item: Item | None) -> None:
        if self._gizmo is not None:
            self._gizmo.remove()
            self._gizmo = None
        if item is None or not item.visible:
            return
        stage = self._items.stage
        foot = stage.from_world(np.array([item.position]))
        place = stage.to_nerf(foot)[0] * VISER_NERFSTUDIO_SCALE_RATIO
        size = item.height_m / stage.metres_per_nerf * VISER_NERFSTUDIO_SCALE_RATIO
        self._gizmo = self.viser_server.scene.add_transform_controls(
            GIZMO, scale=float(size), position=tuple(place), disable_rotations=True
        )
        gizmo = self._gizmo
        gizmo.on_update(lambda _: self._drag(item.id, gizmo.position))

    def _drag(self, name: str, place_3: Any) -> None:
        """Moves an item under its gizmo, down on the ground."""
        now = time.monotonic()
        self._dragged_at = now
        self._jobs.put(lambda: self._drop(name, np.asarray(place_3, np.float64), now))

    def _drop(self, name: str, place_3: np.ndarray, asked_at: float) -> None:
        # Of the many places of one drag only the last one is worth an entry in the history.
        if asked_at != self._dragged_at:
            return
        stage = self._items.stage
        point = stage.from_nerf(place_3[None] / VISER_NERFSTUDIO_SCALE_RATIO)[0]
        scene, population = self._scene(), self.population
        item = population.item(name)
        foot = np.array([*point[:2], scene.ground.height(point[None, :2])[0]])
        world = stage.to_world(foot[None])[0]
        new = settled_again(scene, population, item, tuple(world), None, None)
        self._edit(lambda old: with_change(old, name, f"move {name}", position=new.position))

    def _export(self) -> None:
        from lerf_wild.wildlife.scene_glb import write_scene_glb

        folder = Path(self._items.path).parent / FOLDER
        path = folder / f"scene_{time.strftime('%Y-%m-%d_%H%M%S')}.glb"
        around = self._items.surroundings()
        standing = self._items.shown().scene.standing
        write_scene_glb(path, standing, around.points_N3, around.colours_N3)
        self._widgets.say(f"Written: <code>{plain(str(path))}</code>")
