"""Metres for what one picture can't tell: a small scene nearby looks like a large one far away.

One known length sets all of them: the camera's height over the ground, or the height of an object,
which is named by words or framed by a box.

Symbols: f focal length in pixels; (c, r) column and row of a pixel from the picture's middle.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lerf_wild.assets.library import Library
from lerf_wild.assets.words import named_share
from lerf_wild.errors import InputError
from lerf_wild.program.frames import to_level
from lerf_wild.program.statements import MAX_HEIGHT_M, MAX_LOC_M
from lerf_wild.program.types import Program, SceneObject
from lerf_wild.render.scene_program import camera_height_m, focal_px

LEAST_SHARE = 0.45
"""Share of the words from which an object counts as the one that was named."""
FACTOR_RANGE = (0.01, 100.0)
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Reference:
    """A thing of known height in the photo, named or framed."""

    height_m: float
    words: str | None = None
    box_4: Box | None = None
    """Left, top, right, bottom in pixels of the picture that is read."""


@dataclass(frozen=True)
class Scaled:
    """A program in metres, and where the scale is from."""

    program: Program
    source: str
    """"camera height", "reference object", or "assumed"."""
    factor: float
    """By what the reader's own lengths were multiplied."""


def to_metres(
    program: Program,
    picture_size: tuple[int, int],
    library: Library,
    camera_m: float | None = None,
    reference: Reference | None = None,
) -> Scaled:
    """The program scaled by what is known; as it was read where nothing is.

    Args:
        program: As it was read.
        picture_size: Width and height in pixels.
        library: Whose words name the objects.
        camera_m: Height of the camera over the ground.
        reference: An object of known height.

    Raises:
        InputError: when the object isn't in the photo, or the scale can't be.
    """
    if camera_m is not None:
        factor = _checked(camera_m / camera_height_m(program))
        return Scaled(rescaled(program, camera_m), "camera height", factor)
    if reference is None:
        return Scaled(program, "assumed", 1.0)
    if reference.box_4 is not None:
        seen_m = boxed_height_m(program, reference.box_4, picture_size)
    else:
        seen_m = named_object(program, reference.words or "", library).height_m
    factor = _checked(reference.height_m / seen_m)
    return Scaled(scaled_by(program, factor), "reference object", factor)


def scaled_by(program: Program, factor: float) -> Program:
    """The program with all lengths multiplied.

    Raises:
        InputError: when something then lies farther off, or is larger, than a program may say.
    """
    objects = []
    for item in program.objects:
        loc = tuple(factor * value for value in item.loc_m)
        height = factor * item.height_m
        if max(map(abs, loc)) > MAX_LOC_M or not 1e-3 <= height <= MAX_HEIGHT_M:
            raise InputError(f"A scale of {factor:.3g} puts objects beyond all bounds; check it.")
        objects.append(replace(item, loc_m=loc, height_m=height))
    lift = program.settings.camera_height_m
    settings = replace(program.settings, camera_height_m=None if lift is None else factor * lift)
    return Program(settings, tuple(objects))


def rescaled(program: Program, camera_m: float) -> Program:
    """The program with all lengths scaled so that the camera has a height."""
    scaled = scaled_by(program, camera_m / camera_height_m(program))
    return replace(scaled, settings=replace(scaled.settings, camera_height_m=camera_m))


def named_object(program: Program, words: str, library: Library) -> SceneObject:
    """The object that words name, such as "grey rock"; of equals the one that shows most.

    Raises:
        InputError: when no object is known by them; it says what there is.
    """
    shares = [_share(words, item, library) for item in program.objects]
    if shares and max(shares) >= LEAST_SHARE:
        return program.objects[int(np.argmax(shares))]
    said = dict.fromkeys(str(item.asset or item.kind) for item in program.objects)
    there = f"it was read as {', '.join(said)}" if said else "nothing was found in it"
    raise InputError(
        f"There is no {words[:40]!r} to take the scale from: {there}. Name one of these, or frame "
        "the object with --reference-box."
    )


def boxed_height_m(program: Program, box_4: Box, picture_size: tuple[int, int]) -> float:
    """Height, on the reader's scale, of what stands in a box with its foot on the ground.

    The ray of the foot meets the ground at a distance; what rises there as high as the box's top
    has that height.

    Raises:
        InputError: for a box that encloses nothing or whose foot lies above the horizon.
    """
    x0, y0, x1, y1 = box_4
    if not (x0 < x1 and y0 < y1):
        raise InputError(f"The box {box_4} of the reference object encloses nothing.")
    lift, middle = camera_height_m(program), (x0 + x1) / 2
    foot = _ray(program, middle, y1, picture_size)
    if foot[2] > -1e-3:
        raise InputError("The reference object's foot lies above the horizon; frame all of it.")
    reach = lift * float(np.hypot(foot[0], foot[1])) / -foot[2]
    top = _ray(program, middle, y0, picture_size)
    rise = reach * top[2] / float(np.hypot(top[0], top[1]))
    return max(lift + float(rise), 1e-3)


def _ray(
    program: Program, column: float, row: float, picture_size: tuple[int, int]
) -> NDArray[np.float64]:
    width, height = picture_size
    focal = focal_px(program, height)
    ray = [(column - width / 2) / focal, -(row - height / 2) / focal, -1.0]
    return to_level(ray, program.settings.camera_pitch_deg)


def _share(words: str, item: SceneObject, library: Library) -> float:
    entry = library.entries.get(item.asset or "")
    if entry is not None:
        return named_share(words, entry)
    return float(words.casefold().strip() in (item.kind, item.species, item.asset))


def _checked(factor: float) -> float:
    low, high = FACTOR_RANGE
    if not low <= factor <= high:
        raise InputError(
            f"The known length is {factor:.3g} times what the photo shows; {low:g} to {high:g} is "
            "believed. Is it in metres?"
        )
    return factor
