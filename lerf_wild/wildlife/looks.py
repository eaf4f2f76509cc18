"""What an item looks like: its mesh, colours, names and keypoints, from a library or a body model.

Symbols: V vertices, F faces, P keypoints, J joints. A look has a height of 1 (an animal 1 at the
withers), stands on z = 0 and points its nose along +x; times the item's height it is in metres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lerf_wild.assets.library import Library
from lerf_wild.errors import AssetError, InputError, WildlifeError
from lerf_wild.render.light import Floats, to_linear
from lerf_wild.render.raycast import vertex_normals
from lerf_wild.wildlife.items import Animal, Item

if TYPE_CHECKING:
    from torch import Tensor

GAIT_FRAMES = 24
"""Moments of a gait's cycle that phases are rounded to."""
POSTURE_SPREAD = 0.3
ANIMAL_LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class Look:
    """A mesh ready for ray-casting."""

    vertices_V3: Floats
    faces_F3: NDArray[np.int32]
    albedo_V3: Floats
    """Linear RGB."""
    normals_V3: Floats
    phrases: tuple[str, ...]
    licence: str
    key: str
    """Equal keys, equal looks."""
    keypoints_P3: Floats
    keypoint_names: tuple[str, ...] = ()

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        """Lowest and highest corner for a height of 1."""
        return self.vertices_V3.min(axis=0), self.vertices_V3.max(axis=0)


def look_of(item: Item, library: Library) -> Look:
    """The look of an item.

    Raises:
        WildlifeError: naming the item, when its asset is missing, damaged or of another licence
            than when it was placed, or its animal can't be.
    """
    try:
        if item.animal is not None:
            return tinted(animal_look(item.animal), item.tint)
        entry = library.entry(str(item.asset))
        look = _asset_look(library.folder, entry.name, entry.key, _Held(library))
    except (AssetError, InputError) as error:
        raise WildlifeError(f"Item {item.id!r}: {error}") from None
    licence = item.provenance.licence
    if licence is not None and licence != look.licence:
        raise WildlifeError(
            f"Item {item.id!r}: asset {item.asset!r} is under {look.licence} now, and was under "
            f"{licence} when it was placed. Place it again to accept that."
        )
    return tinted(look, item.tint)


def tinted(look: Look, tint: tuple[float, float, float]) -> Look:
    """A look whose colours (linear light) are multiplied."""
    if tint == (1.0, 1.0, 1.0):
        return look
    albedo_V3 = np.clip(look.albedo_V3 * np.float32(tint), 0, 1)
    return replace(look, albedo_V3=albedo_V3, key=f"{look.key} tint {tint}")


@lru_cache(maxsize=64)
def animal_look(animal: Animal) -> Look:
    """The look of a posed animal; the same values give the same mesh.

    Raises:
        InputError: for an unknown species, action or coat, or betas or a pose of another model.
    """
    import torch

    from lerf_wild.animals.bundled import load_quadruped
    from lerf_wild.animals.coats import make_canvas
    from lerf_wild.animals.size import withers_height

    model = load_quadruped().model
    betas = betas_of(animal)
    rotations, shift = _pose(animal, betas)
    with torch.no_grad():
        posed = model.pose(betas, rotations, shift)
        unit = 1.0 / float(withers_height(model, model.rest(betas)))
    canvas = make_canvas(1)
    points = unit * canvas.refined(posed.vertices.numpy())
    return Look(
        vertices_V3=points,
        faces_F3=canvas.faces_F3,
        albedo_V3=_painted(animal.coat or animal.species, animal.seed),
        normals_V3=vertex_normals(points, canvas.faces_F3),
        phrases=animal_phrases(animal),
        licence=ANIMAL_LICENCE,
        key=f"animal {animal!r}",
        keypoints_P3=(unit * posed.keypoints.numpy()).astype(np.float32),
        keypoint_names=model.keypoint_names,
    )


@lru_cache(maxsize=16)
def _painted(species: str, seed: int) -> Floats:
    """Linear RGB of a coat on the canvas, the same however the animal stands."""
    from lerf_wild.animals.coats import Coat, make_canvas, paint
    from lerf_wild.animals.species import species_named

    coat = species_named(species).coat or Coat()
    return to_linear(np.clip(paint(coat, make_canvas(1), seed), 0, 255))


def animal_phrases(animal: Animal) -> tuple[str, ...]:
    """What an animal may be called."""
    from lerf_wild.animals.words.phrases import kind_names

    return (*kind_names(animal.species), "animal")


def betas_of(animal: Animal) -> Tensor:
    """Shape coefficients (K,) of an animal; its species' where it has none of its own."""
    import torch

    from lerf_wild.animals.words.shapes import load_shape_flow

    if animal.betas:
        return torch.tensor(animal.betas, dtype=torch.float32)
    return load_shape_flow().betas_of(animal.species)


def _pose(animal: Animal, betas):
    """Rotations (J, 3, 3) and the translation that stands the animal on z = 0."""
    import roma
    import torch

    from lerf_wild.animals.bundled import load_quadruped
    from lerf_wild.animals.poses.gaits import GAITS
    from lerf_wild.animals.poses.library import draw_pose, gait_cycle
    from lerf_wild.animals.size import ground_shift

    model = load_quadruped().model
    if animal.pose:
        if len(animal.pose) != 3 * len(model.parents):
            raise InputError(
                f"a pose has {len(animal.pose)} numbers; {3 * len(model.parents)} are expected."
            )
        vectors = torch.tensor(animal.pose, dtype=torch.float32).view(-1, 3)
        rotations = roma.rotvec_to_rotmat(vectors)
        return rotations, ground_shift(model.pose(betas, rotations).vertices)
    if animal.action in GAITS:
        pose = gait_cycle(model, betas, animal.action, GAIT_FRAMES)
        frame = round(animal.phase * GAIT_FRAMES) % GAIT_FRAMES
        return pose.rotations[frame].float(), pose.translation[frame].float()
    rng = np.random.default_rng([animal.seed, 0x90E])
    _, pose = draw_pose(model, betas, rng, animal.action, POSTURE_SPREAD)
    return pose.rotations.float(), pose.translation.float()


class _Held:
    """A library that a cache may hold without looking at it: the key says all that matters."""

    def __init__(self, library: Library) -> None:
        self.library = library

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=256)
def _asset_look(folder: object, name: str, key: str, held: _Held) -> Look:
    asset = held.library.mesh(name)
    vertices = (asset.vertices_V3 / asset.height_m).astype(np.float32)
    faces = np.ascontiguousarray(asset.faces_F3, np.int32)
    entry = held.library.entry(name)
    return Look(
        vertices_V3=vertices,
        faces_F3=faces,
        albedo_V3=to_linear(asset.colours_V3),
        normals_V3=vertex_normals(vertices, faces),
        phrases=entry.phrases,
        licence=entry.licence,
        key=key,
        keypoints_P3=np.zeros((0, 3), np.float32),
    )
