"""Commands on a baked scene: numpy alone, without torch or nerfstudio.

N points, P phrases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lerf_wild.baked.field import BakedAnswer, BakedField
from lerf_wild.baked.scene import BakedScene, open_baked
from lerf_wild.cli.scored import ScoredScene, SurfacePoints
from lerf_wild.errors import InputError
from lerf_wild.language.phrases import clean_phrases


@dataclass(frozen=True)
class BakedRun:
    """A baked scene in the place of a run."""

    path: Path
    scene: BakedScene

    @property
    def baked(self) -> BakedField:
        """The table of the scene."""
        return self.scene.baked

    def score(self, phrases: Sequence[str], canonical: Sequence[str]) -> ScoredScene:
        """Scores all points; raises QueryError and EncoderError as `BakedScene.ask` does."""
        found = self.scene.ask(phrases, canonical)
        return scored_by(self.baked, found, clean_phrases(phrases), clean_phrases(canonical))


def scored_by(
    baked: BakedField, found: BakedAnswer, phrases: tuple[str, ...], canonical: tuple[str, ...]
) -> ScoredScene:
    """The points of a table and what it says of phrases, in the nerf frame."""
    normals_N3 = baked.normals_N3.astype(np.float64) / 127
    points = SurfacePoints(
        positions_N3=baked.to_nerf(baked.positions_N3),
        # From the world frame back: the inverse of a rotation is its transpose.
        normals_N3=normals_N3 @ baked.transform_34[:, :3].T,
        colours_N3=baked.colours_N3,
        relevancy_NP=found.relevancy_PN.T,
        views_N=baked.views_N,
    )
    return ScoredScene(points, phrases, canonical, found.size_P / baked.length_per_nerf)


def open_baked_run(path: Path) -> BakedRun:
    """Opens a baked scene; raises ModelFileError when the file is none."""
    return BakedRun(path, open_baked(path))


def one_of(load_config: Path | None, baked: Path | None) -> Path:
    """Returns the one path that was given; raises InputError unless it is exactly one."""
    given = [path for path in (load_config, baked) if path is not None]
    if len(given) != 1:
        raise InputError("Pass either --load-config with a run or --baked with a baked scene.")
    return given[0]
