"""The statements of the scene language: their names, units, ranges and what they mean.

The language is the one of RAW (Reconstructing Animals and the Wild, CVPR 2025): eleven statements
set the light, the air, the camera and the ground, and one `add` an object. Two ranges belong to a
number: `sampled` is what random scenes draw from, `accepted` is what a program may hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lerf_wild.errors import SceneProgramError

VERSION = 1
HEADER = "# scene-program"
"""What the first line starts with; the version follows it. A text without one is version 1."""

KINDS = ("bird", "carnivore", "herbivore", "shrub", "rock", "tree")
"""The six kinds of object, in the order of every per-kind table."""
ANIMAL_KINDS = ("bird", "carnivore", "herbivore")
"""Those whose heading means something."""

QUALIFIED_ADDS: Mapping[str, str] = MappingProxyType(
    {
        "add_bird": "bird",
        "add_carnivore": "carnivore",
        "add_herbivore": "herbivore",
        "add_bush": "shrub",
        "add_shrub": "shrub",
        "add_boulder": "rock",
        "add_rock": "rock",
        "add_tree": "tree",
    }
)
"""Names that say the kind; they are read, and written as `add(..., kind="...")`."""

MAX_LOC_M = 1e4
MAX_HEIGHT_M = 1e3
MAX_PIXELS = 2**31 - 1


@dataclass(frozen=True)
class Statement:
    """A scene statement that takes one number."""

    name: str
    field: str
    """The attribute of `Settings` that holds the number."""
    unit: str
    sampled: tuple[float, float]
    accepted: tuple[float, float]
    default: float
    """What a program without the statement gets."""
    meaning: str
    aliases: tuple[str, ...] = ()

    def check(self, value: float) -> float:
        """The value as a float.

        Raises:
            SceneProgramError: for anything but a finite number in the accepted range.
        """
        return checked_number(self.name, value, *self.accepted)

    def clamp(self, value: float) -> float:
        """The nearest accepted value; for numbers that a network has guessed."""
        low, high = self.accepted
        return min(max(float(value), low), high)


STATEMENTS: tuple[Statement, ...] = (
    Statement(
        "set_sun_intensity", "sun_intensity", "1", (0.8, 1.0), (0.0, 2.0), 0.9,
        "strength of the sun's disc",
    ),
    Statement(
        "set_sun_elevation", "sun_elevation_rad", "rad", (0.175, 1.57), (0.0, 1.58), 0.8,
        "height of the sun over the horizon",
    ),
    Statement(
        "set_sun_size", "sun_size_crad", "rad/100", (0.436, 8.73), (0.0, 20.0), 0.9,
        "angular diameter of the sun; large ones give soft shadows",
    ),
    Statement(
        "set_sun_rotation", "sun_rotation_deg", "deg", (0.0, 360.0), (0.0, 360.0), 180.0,
        "compass angle of the sun relative to the camera",
    ),
    Statement(
        "set_sun_strength", "sun_strength", "1", (0.18, 0.22), (0.0, 2.0), 0.2,
        "exposure of the whole sky", ("set_strength",),
    ),
    Statement(
        "set_air", "air", "1", (0.7, 1.3), (0.0, 10.0), 1.0,
        "density of air molecules; more is bluer",
    ),
    Statement(
        "set_dust", "dust", "1", (0.1, 2.0), (0.0, 10.0), 1.0,
        "density of dust; more is whiter near the sun",
    ),
    Statement(
        "set_ozone", "ozone", "1", (0.1, 10.0), (0.0, 20.0), 1.0,
        "density of ozone; more is bluer at a low sun",
    ),
    Statement(
        "set_atmospheric_density", "density_x180", "1/m x 180", (0.0, 1.08), (0.0, 20.0), 0.01,
        "density of the haze between camera and objects", ("set_density",),
    ),
    Statement(
        "set_camera", "camera_pitch_deg", "deg", (72.0, 92.0), (0.0, 180.0), 88.0,
        "pitch of the camera: 0 looks straight down, 90 at the horizon",
    ),
)  # fmt: skip
"""The ten statements of one number, in the order in which they are printed; `set_ground`, which
takes an embedding, is the eleventh."""

GROUND = "set_ground"
GROUND_ALIASES = ("set_floor",)

BY_NAME: Mapping[str, Statement] = MappingProxyType(
    {name: item for item in STATEMENTS for name in (item.name, *item.aliases)}
)
BY_FIELD: Mapping[str, Statement] = MappingProxyType({item.field: item for item in STATEMENTS})


def checked_number(what: str, value: object, low: float, high: float) -> float:
    """The value as a float when it is a finite number in [low, high].

    Raises:
        SceneProgramError: naming `what`, the value and the range.
    """
    try:
        number = float(value) if not isinstance(value, str | bytes | bool) else math.nan  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high:
        raise SceneProgramError(
            f"{what} is {str(value)[:40]}; a number from {low:g} to {high:g} is expected."
        )
    return number
