"""Individuals that no recipe describes: drawn coats and proportions, so that training sees more
than a library of dozens.

What looks like nothing in particular is the point: a network that knows a few hundred such assets
can't learn them by heart, and reads new ones about as well.
"""

from __future__ import annotations

import colorsys
from dataclasses import replace
from functools import partial

import numpy as np

from lerf_wild.assets.colonised import Floats, Habit, ellipsoid, grow_habit
from lerf_wild.assets.mesh import Asset, finish, scaled
from lerf_wild.assets.painting import Coat, painted, striped

OWN_COAT = 0.25
"""Share of individuals that keep the colours they grew."""
STRIPED = 0.12
"""Share of animals that get stripes besides."""
STRETCH = 0.16
"""Standard deviation of the logarithm of length and width for an unchanged height."""
LIFT = 0.16
"""Standard deviation of the logarithm of the power that heights are raised to: legs grow longer or
shorter beside the rest, crowns heavier or lighter."""
TWO_COLOURS = 0.3
"""Share of animals whose back has another colour than the rest."""
GROWTH = 0.15
"""Standard deviation of the logarithm of the height."""
GREYS = ((140, 128, 112), (84, 74, 64))
BROWNS = ((112, 84, 60), (66, 48, 36))
ANIMALS = ("bird", "carnivore", "herbivore")


def varied(asset: Asset, kind: str, rng: np.random.Generator) -> Asset:
    """The asset in a drawn coat, longer or shorter, wider or narrower, higher or lower."""
    if rng.uniform() >= OWN_COAT:
        asset = painted(asset, drawn_coat(kind, rng))
    if kind in ANIMALS and rng.uniform() < TWO_COLOURS:
        back = Coat(_colour(rng), "up", float(rng.uniform(0.15, 1.1)), 0.9)
        asset = painted(asset, back)
    if kind in ANIMALS and rng.uniform() < STRIPED:
        asset = striped(asset, _colour(rng), rng, count=float(rng.uniform(6.0, 18.0)))
    height = asset.height_m * float(np.exp(GROWTH * rng.standard_normal()))
    across = np.exp(STRETCH * rng.standard_normal(2))
    vertices = asset.vertices_V3 * np.array([*across, 1.0], np.float32)
    vertices[:, 2] = _lifted(vertices[:, 2], float(np.exp(LIFT * rng.standard_normal())))
    return scaled(replace(asset, vertices_V3=vertices), height)


def _lifted(height_V: Floats, power: float) -> Floats:
    """Heights moved up or down between foot and top, which stay where they are."""
    top = max(float(height_V.max()), 1e-6)
    return (top * (np.clip(height_V, 0.0, top) / top) ** power).astype(np.float32)


def grow_drawn(kind: str, rng: np.random.Generator) -> Asset:
    """A tree or shrub of no species, with a crown of drawn shape."""
    is_shrub = kind == "shrub"
    across, up = rng.uniform(0.12, 0.6), rng.uniform(0.12, 0.45)
    middle = max(rng.uniform(0.4, 0.8), up + 0.04)
    habit = Habit(
        (0.8, 1.6) if is_shrub else (3.0, 6.0),
        partial(_crown, middle=middle, radii=(across, across, up)),
        0.0 if is_shrub else float(rng.uniform(0.1, 0.7) * (middle - 0.5 * up)),
        GREYS if rng.uniform() < 0.5 else BROWNS,
        _colour(rng),
        float(rng.uniform(0.02, 0.05) * (1.8 if is_shrub else 1.0)),
        int(rng.integers(5, 16)),
        droop=float(rng.uniform(0.0, 1.4)),
        attractors=240 if is_shrub else 420,
        step=0.06 if is_shrub else 0.035,
        twig_radius=0.006 if is_shrub else 0.0035,
        is_shrub=is_shrub,
    )
    return finish(grow_habit(habit, rng), kind, kind, (kind,), {"source": __name__})


def _crown(
    rng: np.random.Generator, count: int, middle: float, radii: tuple[float, float, float]
) -> Floats:
    points = ellipsoid(rng, count, middle, radii)
    return points[points[:, 2] > 0.06]


def drawn_coat(kind: str, rng: np.random.Generator) -> Coat:
    """A coat: mostly dull colours, on the leaves of most plants, on top of some rocks."""
    where = "all"
    if kind in ("shrub", "tree") and rng.uniform() < 0.7:
        where = "leaves"
    elif kind == "rock" and rng.uniform() < 0.3:
        where = "up"
    return Coat(
        _colour(rng), where, float(rng.uniform(0.15, 1.1)), strength=float(rng.uniform(0.6, 1.0))
    )


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    parts = colorsys.hsv_to_rgb(rng.uniform(), rng.beta(1.2, 1.8), rng.uniform(0.12, 0.95))
    red, green, blue = (round(255 * part) for part in parts)
    return red, green, blue
