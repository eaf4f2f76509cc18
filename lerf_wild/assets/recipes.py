"""The starter library as recipes: what is grown from which seed, and in which coat.

A recipe weighs a few bytes and grows the same mesh every time, in well under a second. `VERSION`
belongs to every key under which a grown mesh or its templates are kept: raise it when a grower
changes, and rebuild the bundled templates with `python -m lerf_wild.assets.make_starter`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType

import numpy as np

from lerf_wild.assets import catalogue
from lerf_wild.assets.habits import HABITS, grow_species
from lerf_wild.assets.infinigen_pack import ENTRIES
from lerf_wild.assets.mesh import Asset, scaled
from lerf_wild.assets.painting import Coat, painted, striped

VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """How one asset of the library is made."""

    name: str
    kind: str
    species: str
    source: str
    """A name of the catalogue or of `habits.HABITS`."""
    phrases: tuple[str, ...] = ()
    """What it may be called, most specific first; the source's own phrases when empty."""
    coat: Coat | None = None
    height_m: float | None = None
    """Height to which it is scaled, where the source's own does not fit."""
    seed: int = 0
    stripes: tuple[int, int, int] | None = None
    """sRGB colour of stripes round the body, painted last."""

    @property
    def licence(self) -> str:
        """SPDX name of the mesh's licence."""
        return "BSD-3-Clause" if self.source in ENTRIES else "Apache-2.0"

    def described(self) -> dict[str, object]:
        """Everything that the mesh depends on, as plain data."""
        content = asdict(self)
        described = {key: content[key] for key in ("source", "coat", "height_m", "seed")}
        if self.stripes is not None:
            described["stripes"] = self.stripes
        return {"version": VERSION, **described}


def grow_recipe(recipe: Recipe) -> Asset:
    """Grow the mesh of a recipe; the same recipe gives the same mesh.

    Raises:
        AssetError: for a source that is unknown.
    """
    rng = np.random.default_rng([recipe.seed, 0xA55E7])
    grow = grow_species if recipe.source in HABITS else catalogue.grow
    asset = grow(recipe.source, rng)
    if recipe.coat is not None:
        asset = painted(asset, recipe.coat)
    if recipe.stripes is not None:
        asset = striped(asset, recipe.stripes, rng)
    if recipe.height_m is not None:
        asset = scaled(asset, recipe.height_m)
    phrases = recipe.phrases or asset.phrases
    provenance = {**asset.provenance, "recipe": recipe.name, "seed": recipe.seed}
    if recipe.source in ENTRIES:
        provenance["seed"] = asset.provenance["seed"]
    return replace(asset, name=recipe.name, phrases=phrases, provenance=provenance)


def _animal(
    kind: str, name: str, species: str, source: str, said: str = "", **more: object
) -> Recipe:
    phrases = tuple(dict.fromkeys([*filter(None, said.split(", ")), species, kind, "animal"]))
    return Recipe(name, kind, species, source, phrases, **more)  # type: ignore[arg-type]


def _plant(kind: str, name: str, source: str, said: str = "", **more: object) -> Recipe:
    species = more.pop("species", source)
    phrases = tuple(dict.fromkeys([name.replace("_", " "), *filter(None, said.split(", ")), kind]))
    return Recipe(name, kind, str(species), source, phrases, **more)  # type: ignore[arg-type]


def _birds() -> list[Recipe]:
    def bird(name: str, species: str, source: str, said: str = "", **more: object) -> Recipe:
        return _animal("bird", name, species, source, said, **more)

    return [
        bird("egret", "egret", "egret", "white egret, wading bird"),
        bird("raven", "raven", "raven", "black raven, black bird, crow"),
        bird("flamingo", "flamingo", "flamingo", "pink flamingo, pink bird, wading bird"),
        bird("mallard", "duck", "mallard", "mallard duck, mallard, waterfowl"),
        bird("goose", "goose", "mallard", "white goose, waterfowl",
             coat=Coat((236, 234, 226), contrast=0.25), height_m=0.75, seed=1),
        bird("blue_heron", "heron", "egret", "grey heron, wading bird",
             coat=Coat((120, 134, 156), contrast=1.0), height_m=1.0, seed=2),
        bird("scarlet_ibis", "ibis", "egret", "scarlet ibis, red bird, wading bird",
             coat=Coat((206, 46, 40)), height_m=0.65, seed=3),
        bird("blue_bird", "blue bird", "bird_8"),
        bird("purple_bird", "purple bird", "bird_6"),
        bird("brown_bird", "brown bird", "bird_9", "light brown bird"),
        bird("dark_bird", "dark grey bird", "bird_7"),
        bird("yellow_bird", "yellow bird", "bird_5", coat=Coat((222, 184, 44), contrast=0.7)),
    ]  # fmt: skip


def _carnivores() -> list[Recipe]:
    def beast(name: str, species: str, source: str, said: str = "", **more: object) -> Recipe:
        return _animal("carnivore", name, species, source, said, **more)

    return [
        beast("red_fox", "fox", "red fox", "red fox"),
        beast("arctic_fox", "fox", "red fox", "white fox, arctic fox",
              coat=Coat((226, 226, 224), contrast=0.3), seed=1),
        beast("grey_wolf", "wolf", "grey wolf", "grey wolf"),
        beast("black_wolf", "wolf", "grey wolf", "black wolf", coat=Coat((44, 42, 44)), seed=2),
        beast("brown_bear", "bear", "brown bear", "brown bear"),
        beast("polar_bear", "bear", "brown bear", "white bear, polar bear",
              coat=Coat((230, 226, 212), contrast=0.35), height_m=1.5, seed=3),
        beast("leopard", "leopard", "leopard", "spotted cat, big cat"),
        beast("panther", "panther", "leopard", "black panther, big cat",
              coat=Coat((34, 33, 37), contrast=0.6), seed=1),
        beast("tawny_lion", "lion", "leopard", "lioness, big cat",
              coat=Coat((196, 152, 92), contrast=0.18), height_m=0.95, seed=2),
        beast("tiger", "tiger", "leopard", "striped cat, big cat", height_m=1.0, seed=3,
              coat=Coat((218, 128, 44), contrast=0.12), stripes=(30, 24, 22)),
        beast("orange_carnivore", "orange carnivore", "carnivore_1"),
        beast("spotted_carnivore", "spotted carnivore", "carnivore_5"),
        beast("dark_carnivore", "dark brown carnivore", "carnivore_8"),
    ]  # fmt: skip


def _herbivores() -> list[Recipe]:
    def beast(name: str, species: str, source: str, said: str = "", **more: object) -> Recipe:
        return _animal("herbivore", name, species, source, said, **more)

    return [
        beast("red_deer", "deer", "red deer", "red deer, stag"),
        beast("fawn", "deer", "roe deer fawn", "spotted fawn, fawn"),
        beast("zebra", "zebra", "zebra", "striped animal, striped horse"),
        beast("rabbit", "rabbit", "rabbit", "hare, bunny"),
        beast("snow_hare", "hare", "rabbit", "white hare, white rabbit",
              coat=Coat((232, 232, 230), contrast=0.25), seed=1),
        beast("sheep", "sheep", "sheep", "white sheep, woolly animal"),
        beast("black_sheep", "sheep", "sheep", "black sheep",
              coat=Coat((46, 42, 42), contrast=0.6), seed=1),
        beast("black_cow", "cow", "cow", "black cow, cattle"),
        beast("brown_cow", "cow", "cow", "brown cow, cattle",
              coat=Coat((142, 84, 48), contrast=0.2), seed=1),
        beast("white_horse", "horse", "white horse", "white horse"),
        beast("bay_horse", "horse", "white horse", "brown horse, bay horse",
              coat=Coat((116, 66, 38), contrast=0.9), seed=1),
        beast("wild_boar", "boar", "wild boar", "wild boar, wild pig"),
        beast("long_necked_herbivore", "long-necked herbivore", "herbivore_6"),
        beast("horned_herbivore", "horned herbivore", "herbivore_5"),
    ]  # fmt: skip


def _shrubs() -> list[Recipe]:
    def shrub(name: str, source: str, said: str = "", **more: object) -> Recipe:
        return _plant("shrub", name, source, said, **more)

    return [
        shrub("green_shrub", "shrub", "green shrub, bush, plant"),
        shrub("autumn_shrub", "shrub", "red bush, bush, plant",
              coat=Coat((176, 62, 34), "leaves", 0.9), seed=1),
        shrub("berry_bush", "berry bush", "bush, plant"),
        shrub("fern", "fern", "plant"),
        shrub("yellow_flowers", "yellow flowers", "flowers, plant"),
        shrub("purple_flowers", "purple flowers", "flowers, plant"),
        shrub("reeds", "reeds", "tall grass, plant"),
        shrub("cactus", "cactus", "plant"),
        shrub("agave", "agave_1", "succulent, plant", species="agave",
              coat=Coat((104, 138, 118), contrast=0.8)),
        shrub("veratrum", "veratrum_1", "plant", species="veratrum",
              coat=Coat((112, 146, 62), contrast=0.8)),
        shrub("hazel", "hazel", "bush, plant"),
        shrub("broom", "broom", "yellow bush, bush, plant"),
        shrub("rhododendron", "rhododendron", "pink bush, bush, plant"),
        shrub("thorn_bush", "thorn bush", "bare bush, bush"),
    ]  # fmt: skip


def _rocks() -> list[Recipe]:
    def rock(name: str, source: str, said: str = "", **more: object) -> Recipe:
        return _plant("rock", name, source, said, **{"species": "rock", **more})

    return [
        rock("grey_rock", "grey rock", "stone"),
        rock("mossy_rock", "mossy rock", "moss, stone"),
        rock("sandstone", "sandstone", "layered sandstone, stone"),
        rock("snowy_rock", "snowy rock", "snow-covered rock, stone"),
        rock("basalt", "grey rock", "black rock, stone", coat=Coat((46, 46, 52)), seed=1),
        rock("limestone", "grey rock", "white rock, stone", coat=Coat((216, 210, 194)), seed=2),
        rock("red_rock", "grey rock", "stone", coat=Coat((156, 74, 50)), seed=3, height_m=0.9),
        rock("orange_boulder", "boulder_2", "boulder, stone"),
        rock("grey_boulder", "boulder_6", "boulder, stone"),
        rock("pale_boulder", "boulder_8", "boulder, stone", coat=Coat((190, 176, 150))),
        rock("mossy_boulder", "boulder_10", "boulder, stone", coat=Coat((96, 116, 58), "up", 0.9)),
    ]  # fmt: skip


def _trees() -> list[Recipe]:
    def tree(name: str, source: str, said: str = "", **more: object) -> Recipe:
        return _plant("tree", name, source, said, **more)

    return [
        tree("pine_tree", "pine tree", "conifer, evergreen"),
        tree("snowy_pine", "pine tree", "snow-covered tree, conifer",
             coat=Coat((226, 232, 238), "leaves", 0.4, 0.85), seed=1),
        tree("birch_tree", "birch tree", "birch"),
        tree("golden_birch", "birch tree", "yellow tree, birch",
             coat=Coat((226, 172, 44), "leaves", 0.9), seed=1),
        tree("oak_tree", "oak tree", "oak, broadleaf tree"),
        tree("autumn_oak", "oak tree", "orange tree, oak",
             coat=Coat((186, 98, 36), "leaves", 0.9), seed=1),
        tree("dead_tree", "dead tree", "bare tree, leafless tree"),
        tree("acacia", "acacia", "umbrella tree"),
        tree("poplar", "poplar"),
        tree("willow", "willow"),
        tree("maple", "maple", "red tree"),
        tree("cherry_tree", "cherry tree", "pink tree, blossom"),
    ]  # fmt: skip


def _starters() -> dict[str, Recipe]:
    groups = (_birds(), _carnivores(), _herbivores(), _shrubs(), _rocks(), _trees())
    return {recipe.name: recipe for group in groups for recipe in group}


STARTERS: Mapping[str, Recipe] = MappingProxyType(_starters())
"""Name -> recipe, of the bundled starter library."""
