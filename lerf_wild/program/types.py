"""The parts of a scene program as values: settings, objects, embeddings and bodies.

Frames: `loc_m` and `rotation_9` are in camera axes (x right, y up, the camera looks along -z),
metres. An object's own frame is that of the asset library: x where the nose points, z up, the
footprint centred on the origin, the lowest point at z = 0; so `loc_m` is where it touches the
ground. `lerf_wild.program.frames` converts to a level frame.
Every value is checked when it is made, so that a `Program` that exists can be printed and drawn.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lerf_wild.errors import SceneProgramError
from lerf_wild.program.statements import (
    BY_FIELD,
    KINDS,
    MAX_HEIGHT_M,
    MAX_LOC_M,
    MAX_PIXELS,
    checked_number,
)

MAX_EMBEDDING = 4096
MAX_BODY_NUMBERS = 512
_ASSET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_ .-]{0,79}")
_WORDS = re.compile(r"[^\W_][\w '.-]{0,79}")


@dataclass(frozen=True)
class Embedding:
    """A vector in the space of an image encoder, kept as float16 so that it prints exactly."""

    data: bytes
    """Little-endian float16 values."""

    def __post_init__(self) -> None:
        if not 2 <= len(self.data) <= 2 * MAX_EMBEDDING or len(self.data) % 2:
            raise SceneProgramError(
                f"An embedding has {len(self.data)} bytes; 1 to {MAX_EMBEDDING} float16 values "
                "are expected."
            )
        if not np.isfinite(np.frombuffer(self.data, "<f2")).all():
            raise SceneProgramError("An embedding holds values that are not finite.")

    @classmethod
    def of(cls, values_D: ArrayLike) -> Embedding:
        """The embedding of a vector; values are rounded to float16.

        Raises:
            SceneProgramError: for an empty, huge or non-finite vector.
        """
        with np.errstate(over="ignore"):
            return cls(np.asarray(values_D).astype("<f2").tobytes())

    @classmethod
    def from_text(cls, text: str) -> Embedding:
        """The embedding that `text` writes.

        Raises:
            SceneProgramError: when the text is not base64 of float16 values.
        """
        try:
            return cls(base64.b64decode(text.encode("ascii"), validate=True))
        except (binascii.Error, UnicodeEncodeError):
            raise SceneProgramError("An embedding is not base64 text.") from None

    def text(self) -> str:
        """Base64 of the values."""
        return base64.b64encode(self.data).decode("ascii")

    def numpy(self) -> NDArray[np.float32]:
        """The vector as float32, shape (D,)."""
        return np.frombuffer(self.data, "<f2").astype(np.float32)


@dataclass(frozen=True)
class Body:
    """A posed body of the SMAL schema that stands in for the asset's frozen mesh."""

    model: str
    """Name of the body model, such as "quadruped"."""
    shape: tuple[float, ...] = ()
    """Shape coefficients; missing ones are 0."""
    pose: tuple[float, ...] = ()
    """Axis-angle rotations of the joints after the root, three numbers (rad) a joint."""

    def __post_init__(self) -> None:
        checked_asset("model of the body", self.model)
        for name in ("shape", "pose"):
            object.__setattr__(self, name, _numbers(f"body {name}", getattr(self, name)))
        if len(self.pose) % 3:
            raise SceneProgramError(
                f"The pose of a body has {len(self.pose)} numbers; three a joint are expected."
            )


@dataclass(frozen=True)
class Settings:
    """Light, air, camera and ground of a program; `statements.STATEMENTS` has units and ranges."""

    sun_intensity: float = BY_FIELD["sun_intensity"].default
    sun_elevation_rad: float = BY_FIELD["sun_elevation_rad"].default
    sun_size_crad: float = BY_FIELD["sun_size_crad"].default
    sun_rotation_deg: float = BY_FIELD["sun_rotation_deg"].default
    sun_strength: float = BY_FIELD["sun_strength"].default
    air: float = BY_FIELD["air"].default
    dust: float = BY_FIELD["dust"].default
    ozone: float = BY_FIELD["ozone"].default
    density_x180: float = BY_FIELD["density_x180"].default
    camera_pitch_deg: float = BY_FIELD["camera_pitch_deg"].default
    ground: Embedding | None = None
    """Embedding of the ground's texture; None is a `[CLIP]` that is still open."""
    ground_name: str | None = None
    """Beyond the paper: name of the ground's texture."""
    camera_height_m: float | None = None
    """Beyond the paper: height of the camera over the ground below it."""
    camera_fov_deg: float | None = None
    """Beyond the paper: vertical field of view."""

    def __post_init__(self) -> None:
        for name, statement in BY_FIELD.items():
            object.__setattr__(self, name, statement.check(getattr(self, name)))
        _set_optional(self, "camera_height_m", 1e-3, MAX_HEIGHT_M)
        _set_optional(self, "camera_fov_deg", 1.0, 170.0)
        if self.ground_name is not None:
            checked_words("ground", self.ground_name)

    @property
    def sun_size_rad(self) -> float:
        """Angular diameter of the sun in radians."""
        return self.sun_size_crad / 100.0

    @property
    def haze_per_m(self) -> float:
        """Volume scatter density per metre."""
        return self.density_x180 / 180.0


@dataclass(frozen=True)
class SceneObject:
    """One `add`: the paper's five slots, then optional ones that the paper lacks."""

    pixels: int
    """Number of pixels that show the object."""
    loc_m: tuple[float, float, float]
    height_m: float
    """Height of the asset, upright."""
    rotation_9: tuple[float, ...] | None = None
    """Row by row the rotation from the asset's frame to camera axes; None is an open `[ROT]`."""
    appearance: Embedding | None = None
    """What it looks like; None is an open `[CLIP]`."""
    kind: str | None = None
    """One of `statements.KINDS`."""
    species: str | None = None
    asset: str | None = None
    """Name of the library asset that was looked up for the appearance."""
    body: Body | None = None
    confidence: float | None = None
    """How sure the reader of the photo is that the object is there, 0-1."""
    identity: int | None = None
    """The same number for the same individual in several programs."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", _whole("pixels", self.pixels))
        loc = _numbers("loc", self.loc_m, MAX_LOC_M)
        if len(loc) != 3:
            raise SceneProgramError(f"loc has {len(loc)} numbers; three are expected.")
        object.__setattr__(self, "loc_m", loc)
        height = checked_number("height", self.height_m, 1e-3, MAX_HEIGHT_M)
        object.__setattr__(self, "height_m", height)
        if self.rotation_9 is not None:
            object.__setattr__(self, "rotation_9", _rotation(self.rotation_9))
        self._check_names()
        _set_optional(self, "confidence", 0.0, 1.0)
        if self.identity is not None:
            object.__setattr__(self, "identity", _whole("identity", self.identity))

    def _check_names(self) -> None:
        if self.kind is not None and self.kind not in KINDS:
            raise SceneProgramError(f"kind is {str(self.kind)[:40]!r}; it is one of {KINDS}.")
        if self.species is not None:
            checked_words("species", self.species)
        if self.asset is not None:
            checked_asset("asset", self.asset)

    @property
    def rotation_33(self) -> NDArray[np.float64] | None:
        """The rotation from the asset's frame to camera axes, or None."""
        return None if self.rotation_9 is None else np.reshape(self.rotation_9, (3, 3))


@dataclass(frozen=True)
class Program:
    """A whole scene. Objects keep their order, which in the paper is by falling pixel area."""

    settings: Settings = field(default_factory=Settings)
    objects: tuple[SceneObject, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "objects", tuple(self.objects))

    def by_area(self) -> Program:
        """The same program with the largest objects first."""
        ordered = sorted(self.objects, key=lambda item: -item.pixels)
        return Program(self.settings, tuple(ordered))


OBJECT_FIELDS = tuple(item.name for item in fields(SceneObject))
SETTING_FIELDS = tuple(item.name for item in fields(Settings))


def checked_asset(what: str, name: object) -> str:
    """The name of an asset or model; it is looked up in an index and is never part of a path.

    Raises:
        SceneProgramError: for anything but a short name of letters, digits, blanks and `_.-`.
    """
    if not isinstance(name, str) or not _ASSET.fullmatch(name) or ".." in name:
        raise SceneProgramError(
            f"The {what} is {str(name)[:40]!r}; a name of letters, digits, blanks and _ . - "
            "is expected."
        )
    return name


def checked_words(what: str, text: object) -> str:
    """A few words of any script.

    Raises:
        SceneProgramError: for anything but 1 to 80 letters, digits, blanks and simple punctuation.
    """
    if not isinstance(text, str) or not _WORDS.fullmatch(text) or not text.isprintable():
        raise SceneProgramError(
            f"The {what} is {str(text)[:40]!r}; 1 to 80 letters, digits and blanks are expected."
        )
    return text


def _numbers(what: str, values: Sequence[float], limit: float = 1e6) -> tuple[float, ...]:
    if len(values) > MAX_BODY_NUMBERS:
        raise SceneProgramError(f"{what} has {len(values)} numbers; {MAX_BODY_NUMBERS} at most.")
    return tuple(checked_number(what, value, -limit, limit) for value in values)


def _rotation(values: Sequence[float]) -> tuple[float, ...]:
    rows = _numbers("rotation", values, 2.0)
    if len(rows) != 9:
        raise SceneProgramError(f"A rotation has {len(rows)} numbers; nine are expected.")
    if not _is_rotation(rows):
        raise SceneProgramError("A rotation is no rotation matrix; make it orthonormal first.")
    return rows


def _is_rotation(rows: tuple[float, ...], tolerance: float = 1e-2) -> bool:
    """Whether the rows are orthonormal and right-handed; plain Python is fastest for nine."""
    a, b, c = rows[:3], rows[3:6], rows[6:]
    dots = [p[0] * q[0] + p[1] * q[1] + p[2] * q[2] for p, q in ((a, a), (b, b), (c, c), (a, b))]
    cross = (
        a[1] * b[2] - a[2] * b[1] - c[0],
        a[2] * b[0] - a[0] * b[2] - c[1],
        a[0] * b[1] - a[1] * b[0] - c[2],
    )
    off = [abs(dot - 1.0) for dot in dots[:3]] + [abs(value) for value in (dots[3], *cross)]
    return max(off) <= tolerance


def _whole(what: str, value: int) -> int:
    number = checked_number(what, value, 0, MAX_PIXELS)
    if not math.isclose(number, round(number), abs_tol=0.0):
        raise SceneProgramError(f"{what} is {value}; a whole number is expected.")
    return round(number)


def _set_optional(owner: object, name: str, low: float, high: float) -> None:
    value = getattr(owner, name)
    if value is not None:
        object.__setattr__(owner, name, checked_number(name, value, low, high))
