"""The species of trees and shrubs that are grown by space colonisation."""

from __future__ import annotations

import numpy as np

from lerf_wild.assets.colonised import Floats, Habit, ellipsoid, grow_habit
from lerf_wild.assets.mesh import Asset, finish
from lerf_wild.errors import AssetError


def _umbrella(rng: np.random.Generator, count: int) -> Floats:
    """A flat, wide crown on a bare fork."""
    points = ellipsoid(rng, count, 0.86, (0.52, 0.52, 0.11))
    points[:, 2] = np.maximum(points[:, 2], 0.8 - 0.1 * rng.uniform(size=count))
    return points


def _column(rng: np.random.Generator, count: int) -> Floats:
    points = ellipsoid(rng, count, 0.55, (0.13, 0.13, 0.46))
    return points


def _weeping(rng: np.random.Generator, count: int) -> Floats:
    """A dome whose outer parts hang down."""
    points = ellipsoid(rng, count, 0.66, (0.42, 0.42, 0.3))
    out = np.linalg.norm(points[:, :2], axis=1)
    points[:, 2] -= 0.9 * np.maximum(out - 0.22, 0.0)
    return points


def _round(rng: np.random.Generator, count: int) -> Floats:
    return ellipsoid(rng, count, 0.64, (0.34, 0.34, 0.36))


def _spread(rng: np.random.Generator, count: int) -> Floats:
    """A shrub: a low dome on the ground."""
    points = ellipsoid(rng, count, 0.45, (0.6, 0.6, 0.55))
    return points[points[:, 2] > 0.06]


def _upright(rng: np.random.Generator, count: int) -> Floats:
    """A shrub: an upturned cone."""
    points = ellipsoid(rng, count, 0.55, (0.5, 0.5, 0.45))
    points[:, :2] *= (0.35 + 0.9 * np.clip(points[:, 2:], 0, 1)) / 1.0
    return points[points[:, 2] > 0.1]


_GREY_BARK = ((140, 128, 112), (84, 74, 64))
_BROWN_BARK = ((112, 84, 60), (66, 48, 36))
_PALE_BARK = ((178, 166, 146), (112, 100, 86))

HABITS: dict[str, Habit] = {
    "acacia": Habit((3.2, 4.6), _umbrella, 0.6, _BROWN_BARK, (104, 134, 58), 0.022, 11),
    "poplar": Habit((5.0, 7.0), _column, 0.12, _PALE_BARK, (88, 132, 60), 0.026, 22),
    "willow": Habit((4.0, 5.5), _weeping, 0.3, _GREY_BARK, (148, 172, 84), 0.05, 6, droop=1.6),
    "maple": Habit((4.0, 6.0), _round, 0.3, _GREY_BARK, (186, 70, 36), 0.036, 9),
    "cherry tree": Habit((3.2, 4.6), _round, 0.3, _BROWN_BARK, (244, 176, 196), 0.036, 9),
    "hazel": Habit(
        (1.3, 2.0), _upright, 0.0, _BROWN_BARK, (112, 150, 62), 0.07, 9, 0.06,
        attractors=240, step=0.06, twig_radius=0.006, is_shrub=True,
    ),
    "broom": Habit(
        (0.9, 1.4), _upright, 0.0, ((96, 118, 62), (66, 86, 44)), (238, 204, 52), 0.05, 9, 0.05,
        attractors=260, step=0.055, twig_radius=0.005, is_shrub=True,
    ),
    "rhododendron": Habit(
        (0.9, 1.4), _spread, 0.0, _BROWN_BARK, (196, 92, 168), 0.075, 8, 0.06,
        attractors=240, step=0.06, twig_radius=0.006, is_shrub=True,
    ),
    "thorn bush": Habit(
        (0.8, 1.3), _spread, 0.0, _GREY_BARK, (0, 0, 0), 0.04, 0,
        attractors=420, step=0.05, twig_radius=0.005, is_shrub=True,
    ),
}  # fmt: skip
"""Species -> how it grows."""


def grow_species(species: str, rng: np.random.Generator) -> Asset:
    """One tree or shrub of a species.

    Raises:
        AssetError: for a species that is not in ``HABITS``.
    """
    if species not in HABITS:
        raise AssetError(f"No habit is called {species!r}; known are {', '.join(HABITS)}.")
    habit = HABITS[species]
    kind = "shrub" if habit.is_shrub else "tree"
    provenance = {"source": "lerf_wild.assets.habits", "species": species}
    phrases = (species, "bush", "plant") if habit.is_shrub else (species, "tree")
    return finish(grow_habit(habit, rng), species, kind, phrases, provenance)
