"""Scene programs as ray-cast pictures with depth, instances and pixel counts.

Frames: camera axes x right, y up, -z forward; the level frame of `lerf_wild.program.frames` (camera
at the origin, y forward, z up), in which everything is drawn. Metres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lerf_wild.assets.library import Library
from lerf_wild.assets.library_assets import find_asset
from lerf_wild.assets.scene_assets import SceneAsset, first_of_kind
from lerf_wild.errors import SceneProgramError
from lerf_wild.program.frames import level_from_camera, to_level, upright_rotation
from lerf_wild.program.types import Program, SceneObject
from lerf_wild.render.adaptive import render_adaptive
from lerf_wild.render.raycast import Camera, Picture, RayScene
from lerf_wild.render.sky import light_of
from lerf_wild.synth.grounds import GROUNDS, ground_body

AssetFinder = Callable[[SceneObject], SceneAsset]
"""Gives the mesh that stands for an object."""
FIRST_ID = 10
"""Number of a program's first object in instance maps; sky is 0, ground 2."""
DEFAULT_FOV_DEG = 40.0
DEFAULT_CAMERA_HEIGHT_M = 1.6
MAX_SIDE = 8192


@dataclass(frozen=True)
class ProgramPicture:
    """What a program looks like, and how many pixels show each of its objects."""

    picture: Picture
    camera: Camera
    pixels_K: NDArray[np.int64]


@dataclass(frozen=True)
class Placement:
    """An object in the level frame: mesh, rotation (3, 3), foot (3,) and height in metres."""

    asset: SceneAsset
    turn_33: NDArray[np.float64]
    foot_3: NDArray[np.float64]
    height_m: float


def asset_named(item: SceneObject, library: Library | None = None) -> SceneAsset:
    """The asset that an object names, bundled or added by the user, or the first one of its kind.

    Args:
        item: The object.
        library: Where added assets are; the user's library when None.

    Raises:
        AssetError: for a name that nothing has; it names the nearest.
        SceneProgramError: for an object with neither name nor kind.
    """
    if item.asset is not None:
        return find_asset(item.asset, library)
    if item.kind is not None:
        return first_of_kind(item.kind)
    raise SceneProgramError(
        "An object names neither an asset nor a kind; look its appearance up in a library first."
    )


def finder(library: Library) -> AssetFinder:
    """Finds what objects name in a library."""
    return partial(asset_named, library=library)


def placements(program: Program, find: AssetFinder = asset_named) -> list[Placement]:
    """All objects of a program in the level frame; one without a rotation stands upright."""
    pitch = program.settings.camera_pitch_deg
    level = level_from_camera(pitch)
    result = []
    for item in program.objects:
        turn = item.rotation_33 if item.rotation_9 is not None else upright_rotation(0.0, pitch)
        foot = to_level(item.loc_m, pitch)
        result.append(Placement(find(item), level @ turn, foot, item.height_m))
    return result


def camera_height_m(program: Program) -> float:
    """Height of the camera over the ground: as set, else the median of the objects' feet."""
    if program.settings.camera_height_m is not None:
        return program.settings.camera_height_m
    feet = [to_level(o.loc_m, program.settings.camera_pitch_deg)[2] for o in program.objects]
    return float(np.clip(-np.median(feet), 0.2, 50.0)) if feet else DEFAULT_CAMERA_HEIGHT_M


def focal_px(program: Program, height: int) -> float:
    """Focal length in pixels of a picture of some height; 40 degrees where none is set."""
    field = program.settings.camera_fov_deg or DEFAULT_FOV_DEG
    return 0.5 * height / float(np.tan(np.radians(field / 2)))


def level_camera(program: Program, width: int, height: int) -> Camera:
    """The program's camera in the level frame.

    Raises:
        SceneProgramError: for a picture of less than 8 or more than 8192 pixels a side.
    """
    if not 8 <= min(width, height) <= max(width, height) <= MAX_SIDE:
        raise SceneProgramError(
            f"A picture of {width} x {height} is out of range (8 to {MAX_SIDE})."
        )
    pose = np.column_stack([level_from_camera(program.settings.camera_pitch_deg), np.zeros(3)])
    return Camera(pose, focal_px(program, height), width, height)


def program_scene(program: Program, find: AssetFinder = asset_named) -> RayScene:
    """The program's bodies, ground and light, ready to be traced in the level frame."""
    name = program.settings.ground_name
    ground = ground_body(
        name if name in GROUNDS else GROUNDS[0], -camera_height_m(program), np.zeros(2, np.float32)
    )
    bodies = [
        place.asset.body(place.turn_33, place.foot_3, place.height_m, FIRST_ID + i)
        for i, place in enumerate(placements(program, find))
    ]
    return RayScene([ground, *bodies], light_of(program.settings))


def render_program(
    program: Program,
    width: int = 256,
    height: int = 256,
    find: AssetFinder = asset_named,
    seed: int = 0,
) -> ProgramPicture:
    """Draw a program; instance numbers are ``FIRST_ID`` plus the object's place in the program."""
    camera = level_camera(program, width, height)
    picture = render_adaptive(program_scene(program, find), camera, seed)
    counts = np.bincount(picture.instances.ravel(), minlength=FIRST_ID + len(program.objects))
    return ProgramPicture(picture, camera, counts[FIRST_ID:])


def with_pixels(program: Program, drawn: ProgramPicture) -> Program:
    """The program with the pixel counts of a picture, the largest objects first."""
    objects = [
        replace(item, pixels=int(count)) for item, count in zip(program.objects, drawn.pixels_K)
    ]
    return replace(program, objects=tuple(objects)).by_area()
