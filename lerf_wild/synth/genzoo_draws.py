"""What a generated picture of an animal is made of: animal, camera and place, from one seed.

Symbols: K betas, J joints (35), V vertices. World frame: right-handed, z up, metres, the ground at
z = 0, the animal at the origin. The order of the draws is the format: a seed means the same picture
as long as it stays.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.animals.coats import Coat, random_coat
from lerf_wild.animals.poses.library import draw_pose
from lerf_wild.animals.size import metres_per_unit
from lerf_wild.animals.species import Species, draw_species, load_species
from lerf_wild.errors import InputError
from lerf_wild.render.light import Light, make_light
from lerf_wild.render.raycast import Camera, look_at
from lerf_wild.synth.grounds import GROUNDS

if TYPE_CHECKING:
    from lerf_wild.animals.words.shapes import SpeciesRange

Floats = NDArray[np.float64]
SPLITS = ("all", "train", "val", "test")
SHAPES = ("words", "table", "mixed")
"""How a species gives a shape: through words and the flow, around the body's own table, or through
words with some coefficients of another species."""
HELD_OUT_BIOMES = ("shore", "riverbank")
"""Biomes of the test split alone; of the others, training has the first ground and validation the
second."""
INDIVIDUALS = {"all": range(10), "train": range(6), "val": range(6, 8), "test": range(8, 10)}
"""Numbers of the individual plants and rocks of each split."""
SPECIES_SPREAD, OWN_SPREAD = 0.3, 0.2
"""Standard deviations, in those of the shape space, of a species around its base, and of an
individual around its species, where the table gives shapes."""
SHAPED = 12
"""Leading betas that vary; later ones are details."""
BEHIND = ("shrub", "berry bush", "fern", "reeds", "cactus", "yellow flowers", "grey rock")
BEHIND += ("mossy rock", "sandstone", "snowy rock", "pine tree", "birch tree", "oak tree")
BEHIND += ("dead tree",)
IN_FRONT = ("shrub", "fern", "reeds", "yellow flowers", "grey rock", "mossy rock", "dead tree")
SNOWY, DRY = ("snowy rock",), ("cactus", "sandstone")
WEAK_FOV_RAD = np.radians(1.5)
"""Field of view that stands for a camera without perspective: depth changes sizes by under 2 %."""
PRINT_SIZE = 0.5, 0.95
"""Longer side of the animal's box over the picture's side."""


@dataclass(frozen=True)
class Animal:
    """One individual in a pose, on the ground, nose along +x before it is turned by ``yaw_rad``."""

    species: Species
    betas_K: Floats
    action: str
    rotations_J33: Floats
    translation_3: Floats
    """Model units."""
    yaw_rad: float
    metres_per_unit: float
    coat: Coat
    coat_seed: int

    def vertices_m(self) -> NDArray[np.float32]:
        """World vertices (V, 3) in metres."""
        model = load_quadruped().model
        betas, rotations, shift = (
            torch.from_numpy(np.asarray(part, np.float32))
            for part in (self.betas_K, self.rotations_J33, self.translation_3)
        )
        posed = model.pose(betas, rotations, shift).vertices.numpy()
        return (self.metres_per_unit * posed @ turn_z(self.yaw_rad).T).astype(np.float32)


@dataclass(frozen=True)
class Prop:
    """A plant, rock or tree: "species.number", where it stands, how it is turned, how high."""

    name: str
    position_3: Floats
    yaw_rad: float
    height_m: float


@dataclass(frozen=True)
class Shot:
    """All that a picture shows."""

    animal: Animal
    camera: Camera
    camera_kind: str
    ground: str
    ground_shift_2: Floats
    light: Light
    behind: tuple[Prop, ...]
    in_front: tuple[Prop, ...]


def split_species(split: str) -> tuple[Species, ...]:
    """Species of a split: every eighth is for validation, every eighth for the test.

    Raises:
        InputError: there is no such split.
    """
    if split not in SPLITS:
        raise InputError(f"No split is {split[:40]!r}; splits are {', '.join(SPLITS)}.")
    rest = {"val": (3,), "test": (7,), "train": (0, 1, 2, 4, 5, 6), "all": range(8)}[split]
    return tuple(kind for i, kind in enumerate(load_species()) if i % 8 in rest)


def split_grounds(split: str) -> tuple[str, ...]:
    """Names of the grounds of a split."""
    held_out = [name for name in GROUNDS if name.rsplit(" ", 1)[0] in HELD_OUT_BIOMES]
    usual = [name for name in GROUNDS if name not in held_out]
    own = {"all": GROUNDS, "train": usual[::2], "val": usual[1::2], "test": held_out}
    return tuple(own[split])


def draw_animal(
    rng: np.random.Generator, kinds: Sequence[Species], shapes: str = "words"
) -> Animal:
    """An individual of one of the species, in a pose, turned anyhow.

    Args:
        rng: What decides it.
        kinds: Species to draw from.
        shapes: One of `SHAPES`.
    """
    quadruped = load_quadruped()
    species = draw_species(rng, kinds)
    betas = _betas(species, kinds, shapes, rng)
    shape = torch.from_numpy(betas)
    action, pose = draw_pose(quadruped.model, shape, rng)
    height = (species.height_m or 0.8) * float(rng.uniform(0.85, 1.15))
    coat = species.coat if species.coat is not None and rng.random() < 0.65 else random_coat(rng)
    return Animal(
        species=species,
        betas_K=betas.astype(np.float64),
        action=action,
        rotations_J33=pose.rotations.numpy(),
        translation_3=pose.translation.numpy(),
        yaw_rad=float(rng.uniform(0.0, 2.0 * np.pi)),
        metres_per_unit=float(metres_per_unit(quadruped.model, shape, height)),
        coat=_own_tone(coat, rng),
        coat_seed=int(rng.integers(1 << 31)),
    )


def _betas(
    species: Species, kinds: Sequence[Species], shapes: str, rng: np.random.Generator
) -> NDArray[np.float32]:
    if shapes == "table":
        return table_betas(species, rng)
    betas = worded_betas(species, rng)
    if shapes == "words":
        return betas
    return crossed(betas, worded_betas(draw_species(rng, kinds), rng), rng)


def crossed(
    own_K: NDArray[np.float32], other_K: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Some coefficients of one shape and the rest of another, any share of them: necks, legs and
    girths come together that no species of the table has, with the spread of each as it is."""
    return np.where(rng.random(len(own_K)) < rng.random(), other_K, own_K)


def worded_betas(species: Species, rng: np.random.Generator) -> NDArray[np.float32]:
    """Shape (K,) of an individual: a description's embedding drawn from those of the species, and
    the flow from embeddings to shapes, as in GenZoo."""
    from lerf_wild.animals.words.shapes import load_shape_flow

    drawn = load_shape_flow().draw(_range_of(species), 1, rng)
    return drawn[0].numpy().astype(np.float32)


@cache
def _range_of(species: Species) -> SpeciesRange:
    from lerf_wild.animals.words.shapes import load_shape_flow

    return load_shape_flow().species_range(species)


def table_betas(species: Species, rng: np.random.Generator) -> NDArray[np.float32]:
    """Shape (K,) of an individual without any network: around its base's of the body's own table,
    moved by what sets the species apart, which its name decides."""
    betas = load_quadruped().betas_of(species.base or "horse").numpy().astype(np.float32).copy()
    own = np.random.default_rng([zlib.crc32(species.name.encode()), 0x5A])
    betas[:SHAPED] += own.normal(0.0, SPECIES_SPREAD, SHAPED)
    betas[:SHAPED] += rng.normal(0.0, OWN_SPREAD, SHAPED)
    return betas


def draw_camera(
    rng: np.random.Generator, vertices_V3: NDArray[np.floating], size: int, kind: str
) -> Camera:
    """A camera that has the animal in view, at most cut by nothing, from any side.

    Args:
        rng: What decides it.
        vertices_V3: World vertices of the animal, metres.
        size: Side of the square picture, pixels.
        kind: "perspective" or "weak".
    """
    fov = float(np.radians(np.exp(rng.uniform(np.log(18.0), np.log(60.0)))))
    fov = WEAK_FOV_RAD if kind == "weak" else fov
    azimuth = rng.uniform(0.0, 2.0 * np.pi)
    elevation = np.radians(np.clip(2.0 + abs(rng.normal(0.0, 17.0)), 0.5, 65.0))
    roll = np.radians(rng.normal(0.0, 2.0))
    wanted = rng.uniform(*PRINT_SIZE)
    place = rng.uniform(-0.5, 0.5, 2) * (1.0 - wanted)
    points = np.asarray(vertices_V3[::5], np.float64)
    target = 0.5 * (points.min(axis=0) + points.max(axis=0))
    radius = float(np.linalg.norm(points - target, axis=1).max())
    away = np.array(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ]
    )
    distance = radius / np.tan(0.5 * fov) / wanted
    focal = 0.5 * size / np.tan(0.5 * fov)
    pose = look_at(target + distance * away, target)
    for _ in range(4):
        local = (points - pose[:, 3]) @ pose[:, :3]
        spot = focal / size * local[:, :2] / -local[:, 2:]
        low, high = spot.min(axis=0), spot.max(axis=0)
        distance = max(distance * float((high - low).max()) / wanted, 1.3 * radius)
        error = 0.5 * (low + high) - place
        target = target + pose[:, :2] @ (error * distance * size / focal)
        eye = target + distance * away
        # A camera never digs into the ground.
        eye[2] = max(eye[2], 0.12 * radius)
        pose = _rolled(look_at(eye, target), roll)
    return Camera(pose, focal, size, size)


def draw_shot(
    rng: np.random.Generator,
    split: str,
    size: int,
    kind: str = "perspective",
    shapes: str = "words",
) -> Shot:
    """Everything of one picture."""
    animal = draw_animal(rng, split_species(split), shapes)
    vertices = animal.vertices_m()
    camera = draw_camera(rng, vertices, size, kind)
    grounds = split_grounds(split)
    ground = grounds[rng.integers(len(grounds))]
    light = _varied_light(rng, make_light(rng), camera)
    numbers = INDIVIDUALS[split]
    behind = _draw_behind(rng, vertices, camera, ground, numbers)
    in_front = _draw_in_front(rng, vertices, camera, numbers) if rng.random() < 0.4 else ()
    shift = rng.uniform(-12.0, 12.0, 2)
    return Shot(animal, camera, kind, ground, shift, light, behind, in_front)


def turn_z(angle_rad: float) -> Floats:
    """Rotation (3, 3) about the z axis."""
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def _rolled(pose_34: Floats, roll_rad: float) -> Floats:
    return np.column_stack([pose_34[:, :3] @ turn_z(roll_rad), pose_34[:, 3]])


def _own_tone(coat: Coat, rng: np.random.Generator) -> Coat:
    """The coat a little lighter or darker, warmer or colder."""
    gain = rng.uniform(0.8, 1.2) * (1.0 + rng.normal(0.0, 0.04, 3))
    names = ("base", "marks", "belly", "legs", "mane", "face", "tail")
    changed = {}
    for name in names:
        colour = getattr(coat, name)
        if colour is not None:
            red, green, blue = (int(v) for v in np.clip(gain * colour, 8, 245))
            changed[name] = (red, green, blue)
    return replace(coat, **changed)


def _varied_light(rng: np.random.Generator, light: Light, camera: Camera) -> Light:
    """From clear sun to an overcast sky; haze stays beyond the animal."""
    sun = rng.uniform(0.75, 1.1) if rng.random() < 0.7 else rng.uniform(0.08, 0.4)
    sky = np.float32(rng.uniform(1.0, 1.3) + 0.5 * max(0.0, 0.7 - sun))
    grey = np.float32(light.zenith_colour_3.mean())
    share = np.float32(0.75 if sun < 0.5 else 0.0)
    zenith = light.zenith_colour_3 + share * (grey - light.zenith_colour_3)
    reach = float(np.linalg.norm(camera.camera_to_world_34[:, 3]))
    return replace(
        light,
        sun_colour_3=(np.float32(sun) * light.sun_colour_3).astype(np.float32),
        zenith_colour_3=np.clip(sky * zenith, 0.0, 1.0).astype(np.float32),
        bounce_colour_3=(sky * light.bounce_colour_3).astype(np.float32),
        haze_distance_m=90.0 + 6.0 * reach,
    )


def _draw_behind(rng, vertices, camera, ground, numbers) -> tuple[Prop, ...]:
    """What stands around and behind, clear of the animal and of the line of sight."""
    length = float(np.linalg.norm(np.ptp(vertices[:, :2], axis=0)))
    eye = camera.camera_to_world_34[:2, 3]
    facing = np.arctan2(-eye[1], -eye[0])
    props = []
    for _ in range(rng.integers(3, 10)):
        name = str(rng.choice(_growing_on(ground)))
        height = _natural_height(name, rng)
        near = 0.7 * length + 0.6 * height
        reach = near * np.exp(rng.uniform(0.0, np.log(9.0)))
        angle = facing + rng.uniform(-1.2, 1.2)
        position = reach * np.array([np.cos(angle), np.sin(angle), 0.0])
        props.append(_prop(rng, name, position, height, numbers))
    return tuple(props)


def _draw_in_front(rng, vertices, camera, numbers) -> tuple[Prop, ...]:
    """What hides a part of the animal."""
    tall = float(vertices[:, 2].max())
    eye = camera.camera_to_world_34[:, 3]
    props = []
    for _ in range(rng.integers(1, 4)):
        name = str(rng.choice(IN_FRONT))
        aim = vertices[rng.integers(len(vertices))]
        share = rng.uniform(0.55, 0.85) if np.hypot(eye[0], eye[1]) < 30.0 else 0.97
        spot = aim + (1.0 - share) * (eye - aim)
        height = tall * (rng.uniform(1.2, 2.0) if "tree" in name else rng.uniform(0.25, 0.65))
        # Seen from above, what stands on the ground must be nearer to hide as much.
        position = np.array([spot[0], spot[1], 0.0])
        props.append(_prop(rng, name, position, height, numbers))
    return tuple(props)


def _growing_on(ground: str) -> list[str]:
    biome = ground.rsplit(" ", 1)[0]
    left_out = () if biome == "snowfield" else SNOWY
    left_out += () if biome in ("dunes", "steppe") else DRY
    bare = ("cactus",) if biome == "snowfield" else ()
    return [name for name in BEHIND if name not in (*left_out, *bare)]


def _natural_height(name: str, rng: np.random.Generator) -> float:
    low, high = (2.5, 6.0) if "tree" in name else (0.3, 1.2)
    return float(rng.uniform(low, high))


def _prop(rng, name, position, height, numbers) -> Prop:
    number = int(rng.choice(list(numbers)))
    return Prop(f"{name}.{number}", position, float(rng.uniform(0.0, 6.2832)), float(height))
