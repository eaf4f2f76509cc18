"""What makes the metres of a photo true: the camera's height, or an object of known height."""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from lerf_wild.errors import InputError

MOST_M = 1000.0


@dataclass(frozen=True)
class Scale:
    """What is known of sizes in the photos."""

    camera_height_m: Annotated[float | None, tyro.conf.arg(aliases=("--camera-height",))] = None
    """Height of the camera over the ground in metres, which sets the scale."""
    reference_object: str | None = None
    """Words for an object in each photo of known height, such as "grey rock"."""
    reference_box: tuple[float, float, float, float] | None = None
    """Left, top, right, bottom in pixels around an object of known height, which stands on the
    ground."""
    reference_height_m: Annotated[float | None, tyro.conf.arg(aliases=("--reference-height",))] = (
        None
    )
    """Its height in metres."""

    def reference(self) -> Any:
        """The object of known height, or None.

        Raises:
            InputError: when heights are no heights, or what is given doesn't go together.
        """
        from lerf_wild.inverse.program_scale import Reference

        words, box, height_m = self.reference_object, self.reference_box, self.reference_height_m
        _check_metres("camera-height-m", self.camera_height_m)
        if box is not None and not _encloses(box):
            raise InputError(f"--reference-box {box}: give left, top, right, bottom in pixels.")
        if words is None and box is None and height_m is None:
            return None
        if height_m is None or (words is None) == (box is None):
            raise InputError(
                "A scale from an object needs --reference-height-m and either --reference-object "
                "or --reference-box."
            )
        if self.camera_height_m is not None:
            raise InputError("Give --camera-height-m or a reference object, not both.")
        _check_metres("reference-height-m", height_m)
        return Reference(height_m, words, box)


AS_READ = Scale()
"""The scale is the reader's own guess."""


def _check_metres(name: str, value: float | None) -> None:
    if value is not None and not 0.0 < value <= MOST_M:
        raise InputError(f"--{name} {value}: give metres, up to {MOST_M:.0f}.")


def _encloses(box: tuple[float, ...]) -> bool:
    return all(map(math.isfinite, box)) and box[0] < box[2] and box[1] < box[3]
