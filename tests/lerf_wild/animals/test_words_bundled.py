"""What the bundled flow makes of words, measured on the mesh."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from lerf_wild.animals.species import load_species, species_named
from lerf_wild.animals.words.evaluation import proportions_of
from lerf_wild.animals.words.pairs import Recipe
from lerf_wild.animals.words.proportions import MEASURES
from lerf_wild.animals.words.shapes import LIMIT, load_shape_flow
from lerf_wild.animals.words.training import is_held_out

KINDS = ("wolf", "cow", "domestic cat", "horse", "domestic pig", "red deer", "lion", "donkey")


def column(phrases, measure):
    return proportions_of(load_shape_flow(), phrases)[:, MEASURES.index(measure)].numpy()


@pytest.mark.parametrize(
    ("measure", "more", "less"),
    [
        ("neck", "very long-necked", "very short-necked"),
        ("leg", "very long-legged", "very short-legged"),
        ("tail", "very long-tailed", "very short-tailed"),
        ("body", "very long-bodied", "very short-bodied"),
        ("ear", "very big-eared", "very small-eared"),
    ],
)
def test_more_is_more(measure, more, less):
    large = column([f"here stands a {more} {kind}" for kind in KINDS], measure)
    small = column([f"here stands a {less} {kind}" for kind in KINDS], measure)
    assert (large > small).mean() >= 0.85


def test_held_out_combinations_rank_as_described():
    degrees = [
        (n, t)
        for n in (-2, -1, 1, 2)
        for t in (-2, -1, 1, 2)
        if is_held_out(Recipe("cow", {"neck": n, "tail": t}))
    ] + [(2, 0), (-2, 0), (0, 2), (0, -2)]
    words = {-2: "a very short", -1: "a short", 1: "a long", 2: "a very long"}
    phrases = [
        "this is a cow; it has got "
        + " and ".join(
            f"{words[d]} {part}" for d, part in ((n, "neck"), (t, "tail")) if d
        )
        for n, t in degrees
    ]  # fmt: skip
    necks = column(phrases, "neck")
    assert spearmanr([n for n, _ in degrees], necks).statistic > 0.5


def test_known_kinds_rank_by_their_own_proportions():
    names = ["giraffe", "horse", "wolf", "hippopotamus", "greyhound", "dachshund", "moose"]
    necks = dict(zip(names, column(names, "neck")))
    legs = dict(zip(names, column(names, "leg")))
    assert necks["giraffe"] > 1.5 * necks["horse"] > 1.5 * necks["hippopotamus"]
    assert legs["greyhound"] > 1.5 * legs["dachshund"] and legs["moose"] > legs["wolf"]


def test_individuals_differ_within_their_species():
    shapes = load_shape_flow()
    kind = shapes.species_range(species_named("zebra"))
    drawn = shapes.draw(kind, 16, np.random.default_rng(0))
    assert torch.isfinite(drawn).all() and drawn.abs().max() <= LIMIT
    own = shapes.likeliest(["zebra"])[0]
    others = shapes.likeliest([species.name for species in load_species()])
    between = (others - others.mean(0)).norm(dim=-1).mean()
    within = (drawn - own).norm(dim=-1).mean()
    assert 0.05 * between < within < 1.2 * between


def test_coats_and_places_leave_the_shape():
    plain = column(["a brown bear", "a whippet"], "neck")
    dressed = column(["a large shaggy brown bear in snow", "a photo of a young whippet"], "neck")
    assert np.abs(dressed / plain - 1).max() < 0.25
