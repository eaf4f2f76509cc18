"""Everything that can be put into a habitat, by name: kind, phrases and how it is grown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from lerf_wild.assets import plants, rocks, trees, wood
from lerf_wild.assets.birds import BIRDS, grow_bird
from lerf_wild.assets.creatures import CREATURES, grow_creature
from lerf_wild.assets.infinigen_pack import ENTRIES, load_infinigen
from lerf_wild.assets.mesh import Asset, Piece, finish
from lerf_wild.errors import AssetError

Grower = Callable[[np.random.Generator], Asset]
Maker = Callable[[np.random.Generator], list[Piece]]


class Item(NamedTuple):
    """One line of the catalogue; phrases are most specific first."""

    kind: str
    phrases: tuple[str, ...]
    grower: Grower


def _grow_pieces(
    make: Maker, name: str, kind: str, phrases: tuple[str, ...], rng: np.random.Generator
) -> Asset:
    provenance = {"source": f"{make.__module__}.{make.__name__}"}
    return finish(make(rng), name, kind, phrases, provenance)


def _load(name: str, rng: np.random.Generator) -> Asset:
    """The pack holds finished individuals, so that there is nothing to draw."""
    del rng
    return load_infinigen(name)


def _still(name: str, kind: str, phrases: tuple[str, ...], make: Maker) -> tuple[str, Item]:
    return name, Item(kind, phrases, partial(_grow_pieces, make, name, kind, phrases))


def _build_catalogue() -> dict[str, Item]:
    items = {
        name: Item("animal", said, partial(grow_creature, name)) for name, said in CREATURES.items()
    }
    items |= {name: Item("bird", said, partial(grow_bird, name)) for name, said in BIRDS.items()}
    items |= dict(
        [
            _still("pine tree", "tree", ("pine tree", "tree"), trees.grow_pine),
            _still("birch tree", "tree", ("birch tree", "tree"), trees.grow_birch),
            _still("oak tree", "tree", ("oak tree", "tree"), trees.grow_oak),
            _still("dead tree", "tree", ("dead tree", "tree"), trees.grow_dead_tree),
            _still("shrub", "shrub", ("green shrub", "shrub", "bush", "plant"), plants.grow_shrub),
            _still("berry bush", "shrub", ("berry bush", "bush", "plant"), plants.grow_berry_bush),
            _still("fern", "plant", ("fern", "plant"), plants.grow_fern),
            _still(
                "yellow flowers",
                "plant",
                ("yellow flowers", "flowers", "plant"),
                plants.grow_yellow_flowers,
            ),
            _still(
                "purple flowers",
                "plant",
                ("purple flowers", "flowers", "plant"),
                plants.grow_purple_flowers,
            ),
            _still("reeds", "plant", ("reeds", "plant"), plants.grow_reeds),
            _still("cactus", "plant", ("cactus", "plant"), plants.grow_cactus),
            _still("mushroom", "plant", ("red mushroom", "mushroom"), plants.grow_mushroom),
            _still("fallen log", "log", ("fallen log", "log"), wood.grow_fallen_log),
            _still("tree stump", "log", ("tree stump", "stump"), wood.grow_tree_stump),
            _still("grey rock", "rock", ("grey rock", "rock"), rocks.grow_grey_rock),
            _still("mossy rock", "rock", ("mossy rock", "rock"), rocks.grow_mossy_rock),
            _still(
                "sandstone",
                "rock",
                ("layered sandstone", "sandstone", "rock"),
                rocks.grow_sandstone,
            ),
            _still("snowy rock", "rock", ("snow-covered rock", "rock"), rocks.grow_snowy_rock),
        ]
    )
    items |= {name: Item(e.kind, e.phrases, partial(_load, name)) for name, e in ENTRIES.items()}
    return items


CATALOGUE: Mapping[str, Item] = MappingProxyType(_build_catalogue())


def grow(name: str, rng: np.random.Generator) -> Asset:
    """Grow or load one asset of the catalogue.

    Raises:
        AssetError: for a name that is not in the catalogue.
    """
    if name not in CATALOGUE:
        raise AssetError(f"The catalogue has no asset {name!r}; it holds {', '.join(CATALOGUE)}.")
    return CATALOGUE[name].grower(rng)
