"""Quadrupeds grown from a few proportions: bones, a smooth skin, a painted coat and ornaments."""

from __future__ import annotations

import numpy as np

from lerf_wild.assets.builds import BUILDS, Build, vary
from lerf_wild.assets.coats import Skin, make_skin, paint
from lerf_wild.assets.mesh import Asset, Floats, Piece, finish, join
from lerf_wild.assets.noise import fractal, make_lattice
from lerf_wild.assets.ornaments import ornaments
from lerf_wild.assets.sdf import Bone, polygonise, surface_normals
from lerf_wild.assets.skeleton import draw_pose, head_frame, skeleton
from lerf_wild.errors import AssetError

CREATURES: dict[str, tuple[str, ...]] = {
    "red fox": ("red fox", "fox", "animal"),
    "grey wolf": ("grey wolf", "wolf", "animal"),
    "brown bear": ("brown bear", "bear", "animal"),
    "wild boar": ("wild boar", "boar", "animal"),
    "red deer": ("red deer", "deer", "animal"),
    "roe deer fawn": ("spotted fawn", "fawn", "deer", "animal"),
    "zebra": ("zebra", "animal"),
    "leopard": ("leopard", "animal"),
    "rabbit": ("rabbit", "animal"),
    "sheep": ("sheep", "animal"),
    "cow": ("black cow", "cow", "animal"),
    "white horse": ("white horse", "horse", "animal"),
}


def grow_creature(species: str, rng: np.random.Generator) -> Asset:
    """One individual of a species: proportions, pose and coat are drawn from ``rng``.

    Raises:
        AssetError: for a species that is not in ``CREATURES``.
    """
    if species not in CREATURES:
        raise AssetError(f"No creature is called {species!r}; known are {', '.join(CREATURES)}.")
    build = vary(BUILDS[species], rng)
    pose = draw_pose(rng)
    body = _body(species, build, skeleton(build, pose), rng)
    whole = join([body, *ornaments(species, build, head_frame(build, pose), rng)])
    metres = Piece(
        whole.vertices_V3 * np.float32(build.withers_m), whole.faces_F3, whole.colours_V3
    )
    provenance = {"source": "lerf_wild.assets.creatures", "species": species}
    return finish([metres], species, "animal", CREATURES[species], provenance)


def _body(species: str, build: Build, bones: list[Bone], rng: np.random.Generator) -> Piece:
    lattice = make_lattice(rng)
    vertices, faces = polygonise(bones, build.cell)
    skin = make_skin(vertices, surface_normals(vertices, faces), lattice, bones)
    colours = paint(species, skin, rng)
    return Piece(_tousled(skin, build.fur), faces, colours)


def _tousled(skin: Skin, fur: float) -> Floats:
    """Push the skin out and in by noise, on the furred parts only."""
    furred = skin.part("body", "neck", "tail", "front_upper", "hind_upper") + 0.3 * skin.part(
        "head"
    )
    bumps = fractal(skin.lattice_LLL, skin.points_V3, 6.0, 2)
    return (skin.points_V3 + (fur * furred * bumps)[:, None] * skin.normals_V3).astype(np.float32)
