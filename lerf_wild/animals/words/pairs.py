"""Described shapes: recipes of a kind and degrees, with the betas that they have on the bundled
body: `python -m lerf_wild.animals.words.pairs --output-path pairs.safetensors`.

Symbols: N recipes, K betas (41), M measures (6). Betas are those that bring the body closest, in
least squares, to the mesh that the quadruped's own script makes of the recipe's anatomy; measures
are taken off that mesh.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lerf_wild.animals.body import BodyModel
from lerf_wild.animals.quadruped.anatomy import Anatomy
from lerf_wild.animals.quadruped.make import Left, make_template
from lerf_wild.animals.species import load_species, species_named
from lerf_wild.animals.words.proportions import (
    STEPS,
    Degrees,
    anatomy_of,
    degree_factors,
    measured,
    scaled,
)
from lerf_wild.errors import ModelFileError

FORMAT = "lerf-wild described shapes 1"
ANY_KIND = "animal"
"""The kind whose anatomy is the mean one."""


@dataclass(frozen=True)
class Recipe:
    """What a phrase says: a kind and how it differs from its like."""

    kind: str
    degrees: Degrees = field(default_factory=dict)

    @property
    def anatomy(self) -> Anatomy:
        """The anatomy that is described."""
        own = Anatomy() if self.kind == ANY_KIND else anatomy_of(species_named(self.kind))
        return scaled(own, degree_factors(self.degrees))


@dataclass(frozen=True)
class Pairs:
    """Recipes and what they look like."""

    recipes: tuple[Recipe, ...]
    betas_NK: Tensor
    measures_NM: Tensor


def draw_recipes(rng: np.random.Generator, per_kind: int) -> list[Recipe]:
    """Each kind as it is, then ``per_kind`` times with one to three things changed."""
    kinds = [ANY_KIND, *(species.name for species in load_species())]
    recipes = [Recipe(kind) for kind in kinds]
    for kind in kinds:
        for _ in range(per_kind * (4 if kind == ANY_KIND else 1)):
            names = rng.choice(list(STEPS), rng.integers(1, 4), replace=False)
            degrees = {str(name): int(rng.choice([-2, -1, 1, 2])) for name in names}
            recipes.append(Recipe(kind, degrees))
    return recipes


def make_pairs(model: BodyModel, recipes: Sequence[Recipe]) -> Pairs:
    """Betas and measures of recipes; some tenths of a second each."""
    left = make_template(Anatomy())
    model = model.to(torch.float64)
    directions = model.shapedirs_V3K.flatten(0, 1)
    solve = torch.linalg.pinv(directions)
    scale = _units(model, left)
    betas, measures = [], []
    for recipe in recipes:
        rest = scale * _mesh(model, left, recipe.anatomy)
        betas.append(solve @ (rest - model.template_V3).flatten())
        measures.append(measured(model, rest))
    return Pairs(tuple(recipes), torch.stack(betas).float(), torch.stack(measures).float())


def write_pairs(path: Path | str, pairs: Pairs) -> None:
    """Writes pairs as safetensors, atomically."""
    from safetensors.torch import save

    from lerf_wild.storage.atomic import write_bytes

    recipes = [[recipe.kind, dict(recipe.degrees)] for recipe in pairs.recipes]
    tensors = {"betas": pairs.betas_NK, "measures": pairs.measures_NM}
    write_bytes(path, save(tensors, {"format": FORMAT, "recipes": json.dumps(recipes)}))


def read_pairs(path: Path | str) -> Pairs:
    """Reads what `write_pairs` wrote; raises ModelFileError for anything else."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            recipes = json.loads((file.metadata() or {})["recipes"])
            betas, measures = file.get_tensor("betas"), file.get_tensor("measures")
        found = tuple(Recipe(str(kind), dict(degrees)) for kind, degrees in recipes)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        reason = str(error).split("\n")[0][:100]
        raise ModelFileError(f"{path}: holds no described shapes ({reason}).") from None
    return Pairs(found, betas, measures)


def _mesh(model: BodyModel, left: Left, anatomy: Anatomy) -> Tensor:
    """Vertices (V, 3) in trunk lengths, the root joint at the origin of the side plane."""
    whole = torch.from_numpy(left.whole(left.carried_to(anatomy)))
    root = model.joint_regressor_JV[0] @ whole
    return whole - root * torch.tensor([1.0, 0.0, 1.0], dtype=whole.dtype)


def _units(model: BodyModel, left: Left) -> float:
    """Model units in a trunk length, from the mean anatomy, whose mesh is near the template."""
    from lerf_wild.animals.bundled import load_quadruped
    from lerf_wild.animals.quadruped.anatomy import SPECIES

    own = model.rest(load_quadruped().betas_of("horse").double())
    mesh = _mesh(model, left, SPECIES["horse"])
    return float((own * mesh).sum() / mesh.square().sum())


def make(output_path: Path, per_kind: int = 13, seed: int = 0) -> None:
    """Writes described shapes; the same seed gives the same shapes.

    Args:
        output_path: File to write, ending in .safetensors.
        per_kind: Changed shapes of each kind, besides its own.
        seed: What decides them.
    """
    from lerf_wild.animals.bundled import load_quadruped

    recipes = draw_recipes(np.random.default_rng(seed), per_kind)
    write_pairs(output_path, make_pairs(load_quadruped().model, recipes))


if __name__ == "__main__":
    import tyro

    tyro.cli(make)
