"""The starter library's recipes, its coats, and growth by space colonisation."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from lerf_wild.assets.colonised import colonise, limbs_of, radii_of
from lerf_wild.assets.habits import HABITS, grow_species
from lerf_wild.assets.mesh import Asset
from lerf_wild.assets.painting import Coat, painted
from lerf_wild.assets.recipes import STARTERS, grow_recipe
from lerf_wild.errors import AssetError
from lerf_wild.program.statements import KINDS


@cache
def grown(species: str) -> Asset:
    return grow_species(species, np.random.default_rng(0))


def test_the_starters_cover_the_six_kinds():
    kinds = Counter(recipe.kind for recipe in STARTERS.values())
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) >= 8 and len(STARTERS) >= 48
    assert all(recipe.licence in ("Apache-2.0", "BSD-3-Clause") for recipe in STARTERS.values())


def test_a_recipe_grows_the_same_mesh_twice():
    first, second = (grow_recipe(STARTERS["arctic_fox"]) for _ in range(2))
    np.testing.assert_array_equal(first.vertices_V3, second.vertices_V3)
    np.testing.assert_array_equal(first.colours_V3, second.colours_V3)
    assert first.name == "arctic_fox" and first.provenance["seed"] == 1
    assert first.phrases[0] == "white fox"


def test_no_two_recipes_describe_the_same_mesh():
    described = [str(recipe.described()) for recipe in STARTERS.values()]
    assert len(set(described)) == len(described)


def test_a_coat_changes_the_colour_and_keeps_the_pattern():
    zebra = grow_recipe(STARTERS["zebra"])
    blue = painted(zebra, Coat((40, 60, 200)))
    bright = zebra.colours_V3.astype(float).mean(axis=1)
    assert np.corrcoef(bright, blue.colours_V3.astype(float).mean(axis=1))[0, 1] > 0.7
    assert (blue.colours_V3[:, 2] >= blue.colours_V3[:, 0]).all()
    assert painted(zebra, Coat((1, 2, 3), "leaves")) is zebra


def test_paint_on_leaves_leaves_the_bark():
    oak = grow_recipe(STARTERS["oak_tree"])
    red = painted(oak, Coat((200, 30, 20), "leaves"))
    changed = (oak.colours_V3 != red.colours_V3).any(axis=1)
    grey = np.ptp(oak.colours_V3.astype(int), axis=1) < 8
    assert changed.mean() > 0.5 and not changed[grey].any()


@pytest.mark.parametrize("species", sorted(HABITS))
def test_species_are_sound(species):
    asset = grown(species)
    low, high = HABITS[species].height_m
    assert 0.75 * low < asset.height_m < 1.3 * high
    assert 1_000 < len(asset.faces_F3) < 15_000
    assert np.isfinite(asset.vertices_V3).all()


def test_wood_reaches_every_point_of_light():
    rng = np.random.default_rng(3)
    points = rng.uniform(-1, 1, (60, 3)) + [0, 0, 2]
    nodes, parents = colonise(points, [(0, 0, 0)], 0.1)
    distance = np.linalg.norm(points[:, None] - nodes[None], axis=-1).min(axis=1)
    assert (distance < 0.2 + 1e-9).mean() > 0.95
    assert parents[0] == -1 and (parents[1:] < np.arange(1, len(nodes))).all()
    np.testing.assert_allclose(
        np.linalg.norm(nodes[1:] - nodes[parents[1:]], axis=1), 0.1, atol=1e-9
    )


def test_pipes_carry_what_their_twigs_need():
    parents = np.array([-1, 0, 1, 1, 0])
    radii = radii_of(parents, 0.1, 2.0)
    np.testing.assert_allclose(radii**2, 0.01 * np.array([3, 2, 1, 1, 1]))
    lines = limbs_of(parents, radii)
    steps = sorted(step for line in lines for step in pairwise(line))
    assert steps == [(0, 1), (0, 4), (1, 2), (1, 3)]


def test_an_unknown_species_is_named():
    with pytest.raises(AssetError, match="baobab"):
        grow_species("baobab", np.random.default_rng(0))
