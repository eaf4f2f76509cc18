"""The assets that scenes are made of: individuals of six kinds, ready to be placed.

Symbols: V vertices, F faces. Asset frame: z up, +x where the nose points, standing on z = 0, scaled
to a height of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lerf_wild.assets import catalogue
from lerf_wild.assets.habits import HABITS, grow_species
from lerf_wild.assets.infinigen_pack import ENTRIES
from lerf_wild.assets.mesh import Asset
from lerf_wild.assets.recipes import STARTERS, grow_recipe
from lerf_wild.assets.varied import grow_drawn, varied
from lerf_wild.errors import AssetError
from lerf_wild.program.statements import KINDS
from lerf_wild.render.light import to_linear
from lerf_wild.render.raycast import Body, Floats, vertex_normals

_SPECIES: dict[str, tuple[str, ...]] = {
    "bird": ("egret", "raven", "flamingo", "mallard"),
    "carnivore": ("red fox", "grey wolf", "brown bear", "leopard"),
    "herbivore": (
        "wild boar",
        "red deer",
        "roe deer fawn",
        "zebra",
        "rabbit",
        "sheep",
        "cow",
        "white horse",
    ),
    "shrub": ("shrub", "berry bush", "fern", "reeds", "cactus", "yellow flowers"),
    "rock": ("grey rock", "mossy rock", "sandstone", "snowy rock"),
    "tree": ("pine tree", "birch tree", "oak tree", "dead tree"),
}
_PACK = {"bird": "bird", "carnivore": "carnivore", "herbivore": "herbivore", "boulder": "rock"}
HEIGHT_RANGE_M: dict[str, tuple[float, float]] = {
    "bird": (0.3, 1.4),
    "carnivore": (0.35, 1.3),
    "herbivore": (0.3, 2.0),
    "shrub": (0.5, 1.6),
    "rock": (0.4, 1.3),
    "tree": (2.0, 3.6),
}
"""Assets are scaled into these heights (metres), so that a camera at ten metres resolves them."""


@dataclass(frozen=True)
class SceneAsset:
    """An individual of unit height with what the ray-caster and the placement need."""

    name: str
    kind: str
    height_m: float
    """Its natural height; a scene varies it a little."""
    vertices_V3: Floats
    faces_F3: NDArray[np.int32]
    albedo_V3: Floats
    normals_V3: Floats
    reach: float
    """Radius of the lower half seen from above, for a height of 1."""

    def body(
        self, turn_33: NDArray[np.floating], position_3: Floats, height_m: float, number: int
    ) -> Body:
        """The asset as a body of a ray-cast scene, turned, scaled and moved."""
        turn = np.asarray(turn_33, np.float32)
        vertices = height_m * (self.vertices_V3 @ turn.T) + np.asarray(position_3, np.float32)
        normals = np.ascontiguousarray(self.normals_V3 @ turn.T)
        return Body(vertices, self.faces_F3, self.albedo_V3, number, normals_V3=normals)


def kind_of(name: str) -> str | None:
    """The kind of a catalogue name, None for logs and flowers that have none."""
    for kind, names in _SPECIES.items():
        if name in names:
            return kind
    return _PACK.get(name.split("_", maxsplit=1)[0]) if name in ENTRIES else None


def kind_named(name: str) -> str:
    """The kind of an asset by its name alone, which costs nothing.

    Raises:
        AssetError: for a name that `load_individual` does not know.
    """
    if name in STARTERS:
        return STARTERS[name].kind
    species, _, number = name.partition(".")
    drawn = species.removeprefix(VARIED)
    kind = drawn if drawn in KINDS and drawn != species and number.isdigit() else kind_of(species)
    if kind is None:
        raise AssetError(f"There is no species {species!r} in the six kinds of scene assets.")
    return kind


def scene_asset(asset: Asset, kind: str, name: str | None = None) -> SceneAsset:
    """Prepare a finished mesh for scenes.

    Raises:
        AssetError: for a kind that is none of the six.
    """
    if kind not in KINDS:
        raise AssetError(f"Asset {asset.name!r}: kind {kind!r} is none of {', '.join(KINDS)}.")
    vertices = (asset.vertices_V3 / asset.height_m).astype(np.float32)
    faces = asset.faces_F3.astype(np.int32)
    low = vertices[vertices[:, 2] < 0.5]
    return SceneAsset(
        name=name or asset.name,
        kind=kind,
        height_m=float(np.clip(asset.height_m, *HEIGHT_RANGE_M[kind])),
        vertices_V3=vertices,
        faces_F3=faces,
        albedo_V3=to_linear(asset.colours_V3),
        normals_V3=vertex_normals(vertices, faces),
        reach=float(np.linalg.norm(low[:, :2], axis=1).max()),
    )


def individual_names(individuals: Sequence[int]) -> tuple[str, ...]:
    """Names "species.number" of grown individuals; the pack's finished ones are told apart by their
    own numbers and come once."""
    grown = [f"{name}.{i}" for names in _SPECIES.values() for name in names for i in individuals]
    return tuple(grown)


HELD_OUT = (
    *("scarlet_ibis", "goose", "yellow_bird", "panther", "polar_bear", "arctic_fox"),
    "tiger",
    *("bay_horse", "black_sheep", "brown_cow", "rhododendron", "hazel", "autumn_shrub"),
    *("limestone", "mossy_boulder", "basalt", "cherry_tree", "poplar", "snowy_pine"),
)
"""Starter assets that the bundled reader has never seen, three of each kind and a tiger: other
individuals in coats of their own, and four species of which it has seen nothing."""


def starter_names(held_out: bool = False) -> tuple[str, ...]:
    """Starter assets that training uses, or those it never does."""
    return tuple(name for name in STARTERS if (name in HELD_OUT) == held_out)


VARIED = "varied-"
NO_SPECIES = 0.4
"""Share of varied trees and shrubs with a crown of no species."""


def varied_names(individuals: Sequence[int]) -> tuple[str, ...]:
    """Names "varied-kind.number" of individuals in drawn coats and proportions."""
    return tuple(f"{VARIED}{kind}.{i}" for kind in KINDS for i in individuals)


@lru_cache(maxsize=len(KINDS))
def varied_sources(kind: str) -> tuple[str, ...]:
    """What varied individuals of a kind grow from: sources of the starter assets that training
    uses, and the pack's individuals, but for those that a held out asset is made of."""
    known = {STARTERS[name].source for name in starter_names() if STARTERS[name].kind == kind}
    pack = {name for name in pack_names() if kind_of(name) == kind}
    return tuple(sorted(known | (pack - {STARTERS[name].source for name in HELD_OUT})))


def pack_names() -> tuple[str, ...]:
    """Names of the finished individuals that belong to a kind."""
    return tuple(name for name in ENTRIES if kind_of(name) is not None)


@lru_cache(maxsize=2048)
def load_individual(name: str) -> SceneAsset:
    """Grow an asset of the starter library, "species.number" or "varied-kind.number", or load an
    individual of the pack.

    The same name gives the same mesh.

    Raises:
        AssetError: for a species that is unknown or has no kind.
    """
    if name in STARTERS:
        return scene_asset(grow_recipe(STARTERS[name]), STARTERS[name].kind, name)
    kind = kind_named(name)
    species, _, number = name.partition(".")
    if species.startswith(VARIED):
        return _grow_varied(name, kind, int(number))
    seed = int(number) if number.isdigit() else 0
    asset = catalogue.grow(species, np.random.default_rng([0x5CE7, seed, len(species)]))
    return scene_asset(asset, kind, name)


def _grow_varied(name: str, kind: str, number: int) -> SceneAsset:
    rng = np.random.default_rng([0x7A21ED, number, KINDS.index(kind)])
    if kind in ("shrub", "tree") and rng.uniform() < NO_SPECIES:
        return scene_asset(grow_drawn(kind, rng), kind, name)
    source = str(rng.choice(varied_sources(kind)))
    asset = grow_species(source, rng) if source in HABITS else catalogue.grow(source, rng)
    return scene_asset(varied(asset, kind, rng), kind, name)


def first_of_kind(kind: str) -> SceneAsset:
    """A stand-in for an object of which only the kind is known.

    Raises:
        AssetError: for a kind that is none of the six.
    """
    if kind not in _SPECIES:
        raise AssetError(f"Kind {kind!r} is none of {', '.join(KINDS)}.")
    return load_individual(f"{_SPECIES[kind][0]}.0")
