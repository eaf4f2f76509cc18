"""Measures how well shapes follow words: `python -m lerf_wild.animals.words.evaluation --help`.

Held-out phrases name combinations of kind and proportions, and ways to say them, that training
never meets. Of each, the described proportions (those of the mesh that the quadruped's own script
makes of the description) are compared with those measured on the mesh of the flow's betas.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from lerf_wild.animals.words.pairs import Pairs, Recipe, read_pairs
from lerf_wild.animals.words.phrases import phrase_of
from lerf_wild.animals.words.proportions import MEASURES, measured
from lerf_wild.animals.words.shapes import BUNDLED, ShapeFlow, read_shape_flow
from lerf_wild.animals.words.training import is_held_out
from lerf_wild.storage.atomic import write_json

BAR = 0.8
BARRED = ("neck", "leg", "body", "tail")
DEGREES = (-2, -1, 0, 1, 2)


def rank_correlations(shapes: ShapeFlow, pairs: Pairs, seed: int = 0) -> dict[str, float]:
    """Spearman's rank correlation of described and measured proportions over held-out phrases."""
    rng = np.random.default_rng([seed, 2])
    held = [n for n, recipe in enumerate(pairs.recipes) if is_held_out(recipe)]
    figures: dict[str, float] = {"phrases": float(len(held))}
    for name, held_out_way in (("", True), ("known_way_", False)):
        phrases = [phrase_of(pairs.recipes[n], rng, held_out_way) for n in held]
        found = proportions_of(shapes, phrases).numpy()
        true = pairs.measures_NM[held].numpy()
        for place, measure in enumerate(MEASURES):
            rank = float(spearmanr(true[:, place], found[:, place]).statistic)
            figures[f"{name}{measure}"] = rank
    figures["lowest"] = min(figures[name] for name in BARRED)
    return figures


def degree_correlations(shapes: ShapeFlow, kinds: Sequence[str], seed: int = 0) -> dict[str, float]:
    """Mean rank correlation, within each kind, of the degree asked for and what is measured.

    Which animal is named can't help here: it is the same in all phrases that are compared.
    """
    rng = np.random.default_rng([seed, 3])
    figures = {}
    for measure in BARRED:
        ranks = []
        for kind in kinds:
            recipes = [Recipe(kind, {measure: degree} if degree else {}) for degree in DEGREES]
            phrases = [phrase_of(recipe, rng, held_out=True) for recipe in recipes]
            found = proportions_of(shapes, phrases)[:, MEASURES.index(measure)]
            ranks.append(spearmanr(DEGREES, found.numpy()).statistic)
        figures[f"within_kind_{measure}"] = float(np.mean(ranks))
    return figures


def proportions_of(shapes: ShapeFlow, phrases: Sequence[str]) -> torch.Tensor:
    """Proportions (B, 6) measured on the meshes of phrases."""
    rest = shapes.model.rest(shapes.likeliest(phrases))
    return measured(shapes.model, rest)


def main(
    pairs: Path | None = None,
    flow: Path = BUNDLED,
    per_kind: int = 2,
    seed: int = 0,
    json: Path | None = None,
) -> None:
    """Prints the figures of a flow for the bundled body.

    Args:
        pairs: Described shapes; made anew with another seed than training's when left out, which
            takes minutes.
        flow: The flow to measure.
        per_kind: Described shapes of each kind that are made.
        seed: What decides phrases and shapes.
        json: Where to write the figures.
    """
    from lerf_wild.animals.bundled import load_quadruped
    from lerf_wild.animals.species import load_species
    from lerf_wild.animals.words.pairs import draw_recipes, make_pairs

    model = load_quadruped().model
    shapes = read_shape_flow(flow, model)
    if pairs is None:
        drawn = draw_recipes(np.random.default_rng([seed, 4]), 7 * per_kind)
        described = make_pairs(model, [recipe for recipe in drawn if is_held_out(recipe)])
    else:
        described = read_pairs(pairs)
    figures = rank_correlations(shapes, described, seed)
    figures |= degree_correlations(shapes, [kind.name for kind in load_species()], seed)
    for name, value in figures.items():
        print(f"{name:18} {value:.3f}")  # noqa: T201 - this is the command's answer.
    if json is not None:
        write_json(json, {**figures, "bar": BAR, "seed": seed})


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
