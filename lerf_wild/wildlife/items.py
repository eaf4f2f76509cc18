"""One placed item: what it is, where it stands, how tall it is and where it came from; and a
clearing, a place that is emptied of what the photos show there.

Symbols: K shape coefficients, J joints. Positions are in the capture's own coordinates (those of
transforms.json); rotations are unit quaternions wxyz that take the asset's frame (nose along +x,
z up, standing on z = 0) to them; heights are in metres.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lerf_wild.errors import WildlifeError

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")]
Words = Annotated[str, Meta(min_length=1, max_length=256)]
Length = Annotated[float, Meta(ge=-1e6, le=1e6)]
Height = Annotated[float, Meta(ge=1e-3, le=1e3)]
Number = Annotated[float, Meta(ge=-1e4, le=1e4)]
Factor = Annotated[float, Meta(ge=0.05, le=20.0)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Source = Literal["hand", "text", "program", "photo"]


class Provenance(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How an item came to be placed."""

    source: Source = "hand"
    text: Words | None = None
    """The sentence, the line of a program, or the photo's name."""
    score: Annotated[float, Meta(ge=-10.0, le=10.0)] | None = None
    """How well the asset fits what was asked for."""
    anchor: Words | None = None
    """The thing of the scene that it was placed by."""
    licence: Words | None = None
    """Licence of the mesh when it was placed."""


class Animal(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An animal of the bundled quadruped; its height is that at the withers."""

    species: Words
    """A kind of the species table, which gives the coat and, without betas, the shape."""
    action: Words = "stand"
    """A gait or a posture."""
    phase: Share = 0.0
    """Moment of a gait's cycle."""
    seed: Annotated[int, Meta(ge=0, le=2**31)] = 0
    """Decides where marks fall, and the variation of a posture."""
    coat: Words | None = None
    """Species whose coat it wears instead."""
    betas: Annotated[tuple[Number, ...], Meta(max_length=512)] = ()
    pose: Annotated[tuple[Number, ...], Meta(max_length=512)] = ()
    """Axis-angle rotations of all joints (rad) in place of the action's, three numbers a joint."""


class Item(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A placed asset or animal."""

    id: Name
    asset: Name | None = None
    """Name of an asset of the library; None for an animal."""
    animal: Animal | None = None
    position: tuple[Length, Length, Length]
    """Where it stands, in the capture's coordinates."""
    rotation: tuple[Number, Number, Number, Number] = (1.0, 0.0, 0.0, 0.0)
    height_m: Height
    phrases: Annotated[tuple[Words, ...], Meta(max_length=64)] = ()
    """What it may be called, most specific first."""
    tint: tuple[Factor, Factor, Factor] = (1.0, 1.0, 1.0)
    """What its colours (linear RGB) are multiplied by: an individual's own, or the exposure of the
    photos."""
    visible: bool = True
    provenance: Provenance = Provenance()

    def __post_init__(self) -> None:
        if (self.asset is None) == (self.animal is None):
            raise ValueError("an item is either an asset or an animal")
        numbers = (*self.position, *self.rotation, self.height_m)
        if not all(math.isfinite(value) for value in numbers):
            raise ValueError("a number is not finite")
        if abs(math.hypot(*self.rotation) - 1.0) > 1e-3:
            raise ValueError("rotation is no unit quaternion (w, x, y, z)")

    @property
    def what(self) -> str:
        """What it is, in a few words."""
        if self.animal is None:
            return str(self.asset)
        return f"{self.animal.species}, {self.animal.action}"

    @property
    def turn_33(self) -> NDArray[np.float64]:
        """Rotation matrix from the asset's frame to the capture's coordinates."""
        w, x, y, z = self.rotation
        return Rotation.from_quat([x, y, z, w]).as_matrix()


class Clearing(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """An upright elliptic column in which nothing stands."""

    id: Name
    position: tuple[Length, Length, Length]
    """Middle of its foot, in the capture's coordinates."""
    half_lengths_m: tuple[Height, Height]
    """Semi-axes of the ellipse."""
    yaw_rad: Number = 0.0
    """Direction of the first one on the stage, counter-clockwise from x."""
    height_m: Height
    provenance: Provenance = Provenance()

    def __post_init__(self) -> None:
        numbers = (*self.position, *self.half_lengths_m, self.yaw_rad, self.height_m)
        if not all(math.isfinite(value) for value in numbers):
            raise ValueError("a number is not finite")


def quaternion_of(turn_33: NDArray[np.floating]) -> tuple[float, float, float, float]:
    """The unit quaternion wxyz of a rotation matrix, rounded to six digits."""
    xyzw = Rotation.from_matrix(np.asarray(turn_33, np.float64)).as_quat()
    x, y, z, w = (round(float(value), 6) for value in xyzw)
    return w, x, y, z


def upright(yaw_rad: float, up_3: NDArray[np.floating] | None = None) -> NDArray[np.float64]:
    """Rotation (3, 3) of something upright with a yaw, counter-clockwise seen from above.

    Args:
        yaw_rad: 0 points the nose along x.
        up_3: Which way is up, unit vector; z when left out.
    """
    cosine, sine = np.cos(yaw_rad), np.sin(yaw_rad)
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return turn if up_3 is None else level_to(up_3) @ turn


def level_to(up_3: NDArray[np.floating]) -> NDArray[np.float64]:
    """The smallest rotation (3, 3) that takes z to a unit vector."""
    up = np.asarray(up_3, np.float64)
    axis = np.cross([0.0, 0.0, 1.0], up)
    sine, cosine = float(np.linalg.norm(axis)), float(up[2])
    if sine < 1e-9:
        return np.diag([1.0, 1.0, 1.0]) if cosine > 0 else np.diag([1.0, -1.0, -1.0])
    return Rotation.from_rotvec(axis / sine * np.arctan2(sine, cosine)).as_matrix()


def checked_clearing(clearing: Clearing) -> Clearing:
    """The clearing, its values checked as those of a file are.

    Raises:
        WildlifeError: for a value that a file may not hold.
    """
    try:
        return msgspec.convert(msgspec.to_builtins(clearing), Clearing)
    except msgspec.ValidationError as error:
        raise WildlifeError(f"{clearing.id!r} can't be cleared so: {error}.") from None


def checked(item: Item, **changes: Any) -> Item:
    """The item with changes, its values checked as those of a file are.

    Raises:
        WildlifeError: for a value that a file may not hold.
    """
    content = msgspec.to_builtins(item) | msgspec.to_builtins(changes)
    try:
        return msgspec.convert(content, Item)
    except msgspec.ValidationError as error:
        raise WildlifeError(f"Item {item.id!r} can't be changed so: {error}.") from None


def item_of(content: object) -> Item:
    """The item that plain data describes.

    Raises:
        WildlifeError: naming the place within the item and what was expected.
    """
    try:
        return msgspec.convert(content, Item)
    except msgspec.ValidationError as error:
        raise WildlifeError(str(error).replace("`", "'")) from None
