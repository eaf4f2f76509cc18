"""From scored points to an answer for each phrase: is it there, where, and how large.

N points, P phrases. Positions and boxes are in the capture's own coordinates; the size at which a
phrase was found is in metres where the capture has a metric scale.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Protocol

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from lerf_wild.cli.scored import ScoredScene
from lerf_wild.frames import Placed
from lerf_wild.language.regions import (
    FoundRegion,
    Sighting,
    find_regions,
    linked_size,
    point_gap,
    supported,
)
from lerf_wild.language.thresholds import EXISTENCE_RELEVANCY

SUPPORT_GAPS = 3.0
"""A place is what lies within this many usual gaps."""

TOP_SHARE = 2e-4
"""Share of the points, the most relevant ones, whose mean is the score of a phrase: a single stray
point must not make a phrase present."""


FAINT, FAINT_BAND = 0.25, 0.12
"""A phrase whose score is over the first may be a thing that the field knows faintly; it is what is
at most the second below the score."""
SEEN = 0.65
"""Evidence of field and photos from which such a thing is there."""
NO_OTHER, OTHER, TRIED = 0.5, 0.25, 3
"""A place is what a phrase names, by the photos, if its likeness is above the first, and another
thing below the second; at most so many are asked for."""
ALIKE = 0.05
"""A phrase fits another thing about as well if no more than this less speaks for it."""


class Look(Protocol):
    """A second opinion on regions (see `cli.second_look`)."""

    def __call__(self, index: int, regions: list[FoundRegion]) -> list[FoundRegion]:
        """The regions of the phrase of an index in a better order."""

    def likeness(self, index: int, region: FoundRegion) -> float | None:
        """How much what photos show there is more like the phrase than like any other name, 0 to 1;
        None if they don't say."""

    def evidence(self, index: int, region: FoundRegion) -> float:
        """How much speaks for a region, 0 to 1."""

    def sought(self, index: int) -> Sighting | None:
        """Where the photos show what a phrase names, if they do."""


@dataclass(frozen=True)
class Box:
    """An upright box around the most relevant thing."""

    centre: tuple[float, ...]
    size: tuple[float, ...]
    """Lengths along its own axes, the third one upright."""
    wxyz: tuple[float, ...]
    """Rotation from its own axes to the world's."""
    yaw_rad: float
    """Angle about z from the world's x axis to the box's longer horizontal one."""


@dataclass(frozen=True)
class Answer:
    """What is known of one phrase."""

    phrase: str
    present: bool
    score: float
    """0 to 1; present above the frozen threshold, which the photos may move it across."""
    scale: float
    """Size at which it was found, in metres or scene units."""
    position: tuple[float, ...]
    """The most relevant place (see `language.regions.supported`)."""
    box: Box | None
    """None for a phrase that is not there."""
    regions: int
    """Number of separate things found."""
    core_M3: Float[np.ndarray, "M 3"] = field(repr=False, compare=False)
    """The more relevant points of the most relevant thing; none for a phrase that is not there."""
    alike: tuple[tuple[float, ...], ...] = ()
    """The most relevant places of other things that the phrase fits about as well."""

    def as_dict(self) -> dict[str, object]:
        """Returns the answer as JSON values, without its points."""
        return {name: value for name, value in asdict(self).items() if name != "core_M3"}

    def others(self) -> str | None:
        """A line on other things that the phrase fits about as well; None where there is none."""
        if not self.alike:
            return None
        places = (self.position, *self.alike)
        listed = ", ".join(f"({', '.join(f'{x:.2f}' for x in one)})" for one in places)
        return f"{self.phrase!r} fits {len(places)} places about as well: {listed}"


def scene_scores(relevancy_NP: Float[np.ndarray, "N P"]) -> Float[np.ndarray, "P"]:
    """Returns one score a phrase: the mean over the most relevant TOP_SHARE of the points."""
    count = max(1, round(TOP_SHARE * len(relevancy_NP)))
    top_NP = np.partition(relevancy_NP, len(relevancy_NP) - count, axis=0)[-count:]
    return top_NP.mean(axis=0)


def answers(place: Placed, found: ScoredScene, look: Look | None = None) -> list[Answer]:
    """Returns an answer for each phrase of a sampled scene.

    With `look` things that a phrase fits about as well are told apart by the photos, what they show
    to be another thing is not there, and what the field knows faintly is there if they show it.
    """
    scores_P = scene_scores(found.points.relevancy_NP)
    gap = point_gap(found.points.positions_N3)
    return [
        _answer(place, found, index, float(score), gap, look)
        for index, score in enumerate(scores_P)
    ]


def _answer(
    place: Placed, found: ScoredScene, index: int, score: float, gap: float, look: Look | None
) -> Answer:
    points_N3, scores_N = found.points.positions_N3, found.points.relevancy_NP[:, index]
    size = float(found.size_P[index])
    # Boxes are upright in the nerf frame, whose z points up whatever the capture's own axes are.
    link = linked_size(size, gap)
    support_N = supported(points_N3, scores_N, SUPPORT_GAPS * gap)
    regions: list[FoundRegion] = []
    if score > EXISTENCE_RELEVANCY:
        regions = find_regions(points_N3, scores_N, link, support_N=support_N)
        if look is not None:
            score, size, regions = _upheld(look, index, score, size, regions)
    elif look is not None and score > FAINT:
        floor = score - FAINT_BAND
        faint = find_regions(points_N3, scores_N, link, floor, floor, 1, support_N)
        score, size, regions = _seen(look, index, score, size, faint)
    return _described(place, found, index, score, size, regions, support_N)


def _upheld(
    look: Look, index: int, score: float, size: float, regions: list[FoundRegion]
) -> tuple[float, float, list[FoundRegion]]:
    """Score, size and regions of a phrase that the field finds, by what photos show."""
    regions = look(index, regions)
    likeness = look.likeness(index, regions[0]) if regions else 0.0
    if likeness is None or likeness > NO_OTHER:
        return score, size, regions
    sighting = look.sought(index)
    if sighting is not None and not _is_of(sighting, regions):
        return max(score, sighting.region.score), sighting.size, [sighting.region, *regions]
    if sighting is not None or likeness >= OTHER:
        return score, size, regions
    for passed, region in enumerate(regions[:TRIED]):
        if (look.likeness(index, region) or 0.0) > NO_OTHER:
            return score, size, regions[passed:]
    return min(score, EXISTENCE_RELEVANCY), size, []


def _is_of(sighting: Sighting, regions: list[FoundRegion]) -> bool:
    """Whether it is of the likeliest region itself."""
    away_M3 = regions[0].core_M3 - sighting.region.peak if regions else np.full((1, 3), np.inf)
    return bool((np.linalg.norm(away_M3, axis=1) < sighting.size).any())


def _seen(
    look: Look, index: int, score: float, size: float, faint: list[FoundRegion]
) -> tuple[float, float, list[FoundRegion]]:
    """Score, size and regions of a phrase that the field knows faintly, by what photos show."""
    shown = look.evidence(index, faint[0]) if faint else 0.0
    if shown > SEEN:
        return shown, size, faint
    sighting = look.sought(index)
    if sighting is None:
        return score, size, []
    return max(score, sighting.region.score), sighting.size, [sighting.region]


def _described(
    place: Placed,
    found: ScoredScene,
    index: int,
    score: float,
    size: float,
    regions: list[FoundRegion],
    support_N: Float[np.ndarray, "N"],
) -> Answer:
    best = found.points.positions_N3[int(np.argmax(support_N))]
    peak_3 = np.asarray(regions[0].peak if regions else best)
    alike = [one.peak for one in regions[1:] if one.support > regions[0].support - ALIKE]
    return Answer(
        phrase=found.phrases[index],
        present=bool(regions),
        score=score,
        scale=size * place.length_per_nerf,
        position=_triple(place.to_world(peak_3[None])[0]),
        box=_box(place, regions[0]) if regions else None,
        regions=len(regions),
        core_M3=place.to_world(regions[0].core_M3 if regions else np.zeros((0, 3))),
        alike=tuple(_triple(place.to_world(np.asarray([peak]))[0]) for peak in alike),
    )


def _box(place: Placed, region: FoundRegion) -> Box:
    cos, sin = np.cos(region.box.yaw_rad), np.sin(region.box.yaw_rad)
    axes_33 = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    world_33 = place.directions_to_world(axes_33)
    x, y, z, w = Rotation.from_matrix(world_33.T).as_quat().tolist()
    centre_3 = place.to_world(np.asarray(region.box.centre)[None])[0]
    return Box(
        centre=_triple(centre_3),
        size=_triple(np.asarray(region.box.size) / place.scale),
        wxyz=(w, x, y, z),
        yaw_rad=float(np.arctan2(world_33[0, 1], world_33[0, 0])),
    )


def _triple(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
