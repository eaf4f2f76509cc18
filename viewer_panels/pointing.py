"""What is at a place that was clicked, in words, and looking for more of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from lerf_wild.cli.runs import Run
from lerf_wild.errors import QueryError
from lerf_wild.language.wild_clip import vocabulary
from lerf_wild.live.likeness import more_like
from lerf_wild.live.state import PanelState
from lerf_wild.live.texts import TextMemory
from lerf_wild.live.verdicts import plain, size_text
from lerf_wild.methods.lerf_wild.pointing import Place, place_at
from lerf_wild.viewer_panels.scene_table import SceneTable

TOP_WORDS = 5


class Pointer:
    """Names what was clicked and remembers it."""

    def __init__(self, model: Any, run: Run, texts: TextMemory, table: SceneTable) -> None:
        self._model = model
        self._run = run
        self._texts = texts
        self._table = table
        self._picked: tuple[Place, int, str] | None = None

    @property
    def has_place(self) -> bool:
        """Whether the latest click met something."""
        return self._picked is not None

    def point(self, origin: Sequence[float], direction: Sequence[float], state: PanelState) -> str:
        """Returns markdown with the top words of the place at the end of a ray (nerf frame)."""
        self._picked = None
        place = place_at(self._model, origin, direction)
        if place is None:
            return "*There is nothing there, or too few photos show it.*"
        typed = [phrase.text for phrase in state.phrases if phrase.embedding is None]
        words = [*dict.fromkeys([*typed, *vocabulary()])]
        texts_WD = self._texts.embed(words).to(place.units_SD)
        canonical_CD = self._texts.embed(state.canonical).to(place.units_SD)
        hardest_S1 = (place.units_SD @ canonical_CD.T).amax(dim=1, keepdim=True)
        margins_SW = place.units_SD @ texts_WD.T - hardest_S1
        relevancy_W = torch.sigmoid(10.0 * margins_SW.amax(dim=0))
        best = relevancy_W.topk(min(TOP_WORDS, len(words))).indices.tolist()
        size_index = int(margins_SW[:, best[0]].argmax())
        self._picked = (place, size_index, words[best[0]])
        size = float(self._model.query_sizes()[size_index]) * self._run.length_per_nerf
        where = ", ".join(f"{value:.2f}" for value in self._world(place))
        lines = [f"**{plain(words[one])}** {float(relevancy_W[one]):.2f}" for one in best]
        what = f"at {size_text(size, self._run.unit)}, place {where}"
        return "<br />".join([*lines, plain(what)])

    def likeness(self, state: PanelState) -> tuple[str, Sequence[float]]:
        """Returns a name and an embedding that finds more of the place that was clicked.

        Raises QueryError when there is none, or no table of the scene yet.
        """
        if self._picked is None:
            raise QueryError("Click a place first.")
        if not self._table.is_there:
            raise QueryError("The scene is still being looked through. Try again in a moment.")
        place, index, word = self._picked
        size = float(self._model.query_sizes()[index]) * self._run.length_per_nerf
        canonical_CD = self._texts.embed(state.canonical).cpu().numpy()
        picked_D = place.units_SD[index].cpu().numpy()
        found_D = more_like(picked_D, self._table.embeddings(size), canonical_CD)
        return f"like this {word}", found_D.tolist()

    def _world(self, place: Place) -> Sequence[float]:
        return self._run.to_world([place.position_3])[0].tolist()
