"""What the whole scene says of phrases, beside what the view in front of the camera says.

A table of the scene's surfaces is made once in the background, with the model's lock held for a
view at a time, and again when training has moved on or a place was cleared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from lerf_wild.baked.field import Answerer, BakedAnswer
from lerf_wild.cli.answers import Answer, answers
from lerf_wild.cli.bake import cloud_of_surface, gaussian_cloud
from lerf_wild.cli.baked import scored_by
from lerf_wild.cli.runs import Run
from lerf_wild.cli.sampling import sample_surface
from lerf_wild.cli.scored import ScoredScene
from lerf_wild.cli.second_look import second_look
from lerf_wild.language.relevancy import Query
from lerf_wild.methods.lerf_wild.baking import BakeSpec, Cloud, bake
from lerf_wild.methods.lerf_wild.live_views import weights_version

POINTS = 12_000
REST_S = 30.0
"""Shortest time from one table to the next while training goes on."""


class TurnTaking:
    """Holds the model's lock and its evaluation mode, and lets others in between two pieces."""

    def __init__(self, model: Any, lock: Lock | None) -> None:
        self._model = model
        self._lock = lock or Lock()

    @contextmanager
    def turns(self) -> Iterator[Callable[[], None]]:
        """Within the block the model is ours; calling what is yielded lets others in briefly."""
        was_training = self._enter()

        def let_others_in() -> None:
            nonlocal was_training
            self._leave(was_training)
            was_training = self._enter()

        try:
            yield let_others_in
        finally:
            self._leave(was_training)

    def _enter(self) -> bool:
        self._lock.acquire()
        was_training = self._model.training
        self._model.eval()
        return was_training

    def _leave(self, was_training: bool) -> None:
        self._model.train(was_training)
        self._lock.release()
        # The lock is unfair: without a pause this thread would take it again before any other.
        time.sleep(0.005)


class TableAnswer(NamedTuple):
    """What a table says of phrases."""

    found: BakedAnswer
    points_N3: Float[np.ndarray, "N 3"]
    """The table's points in the nerf frame."""


class SceneTable:
    """The latest table of a scene and its answers."""

    def __init__(self, run: Run, turn_taking: TurnTaking) -> None:
        self._run = run
        self._turns = turn_taking
        self._answerer: Answerer | None = None
        self._version: Hashable = None
        self._made_at = -REST_S

    @property
    def is_there(self) -> bool:
        """Whether there is a table to ask."""
        return self._answerer is not None

    def is_due(self) -> bool:
        """Whether the field has changed since the table was made, and some time has passed."""
        is_old = self._version != _surfaces_version(self._run.model)
        return is_old and time.monotonic() - self._made_at > REST_S

    def make(self) -> None:
        """Samples the scene and bakes it; raises ExportError when there is no surface yet."""
        self._made_at = time.monotonic()
        version = _surfaces_version(self._run.model)
        with self._turns.turns() as let_others_in:
            cloud = self._cloud(let_others_in)
            baked = bake(
                self._run.model,
                self._run,
                cloud,
                BakeSpec(self._run.model.config.query_scales, max_voxels=POINTS),
                texts={},
                metadata={},
                on_share=lambda share: let_others_in(),
            )
        self._answerer = Answerer(baked)
        self._version = version

    def _cloud(self, let_others_in: Callable[[], None]) -> Cloud:
        if hasattr(self._run.model, "surface"):
            return gaussian_cloud(self._run, POINTS)
        cameras = self._run.dataset("train").cameras
        points = sample_surface(self._run.model, cameras, POINTS, on_view=let_others_in)
        return cloud_of_surface(points)

    def answer(self, query: Query, size: float | None) -> TableAnswer | None:
        """Scores the scene's surfaces at a size (metres or world units); None without a table."""
        # Training may put another table in its place meanwhile.
        answerer = self._answerer
        if answerer is None:
            return None
        points_N3 = self._run.to_nerf(answerer.baked.positions_N3)
        return TableAnswer(_asked(answerer, query, size), points_N3)

    def places(self, query: Query) -> tuple[ScoredScene, list[Answer]]:
        """The table's points with their scores, and where things are, as the commands say it."""
        answerer = self._answerer
        assert answerer is not None
        found = _asked(answerer, query, None)
        scored = scored_by(answerer.baked, found, query.phrases, query.canonical)
        return scored, answers(self._run, scored, second_look(self._run, query, scored))

    def embeddings(self, size: float) -> Float[np.ndarray, "V D"]:
        """Unit embeddings of the surfaces at the size (metres or world units) nearest to one."""
        assert self._answerer is not None
        baked = self._answerer.baked
        nearest = int(np.abs(np.log(baked.sizes_S / max(size, 1e-9))).argmin())
        codes_VK = baked.codes_SKV[nearest].T.astype(np.float32) * baked.steps_K
        return codes_VK @ baked.basis_DK.T


def _asked(answerer: Answerer, query: Query, size: float | None) -> BakedAnswer:
    return answerer.answer(
        query.embeddings_PD.float().cpu().numpy(),
        query.canonical_CD.float().cpu().numpy(),
        size,
        query.temperature,
    )


def _surfaces_version(model: Any) -> Hashable:
    """Changes whenever the field does, or a place in it is cleared."""
    return weights_version(model), model.clearings_version
