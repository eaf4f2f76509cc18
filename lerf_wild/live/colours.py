"""Colours of phrases: told apart by people with any kind of colour vision."""

from __future__ import annotations

import colorsys
from collections.abc import Collection

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

PALETTE: tuple[Colour, ...] = (
    (255, 138, 0),
    (64, 186, 255),
    (255, 84, 168),
    (40, 214, 150),
    (250, 228, 60),
    (165, 122, 255),
    (255, 92, 72),
    (150, 230, 240),
)
"""Light shades after Okabe and Ito, so that they stand out from a picture that is dimmed."""

GOLDEN_SHARE = 0.618034
"""Steps of this share of the colour circle keep every further hue away from all before it."""


def next_colour(taken: Collection[Colour]) -> Colour:
    """Returns the first colour that is free: of the palette, then around the colour circle."""
    for colour in PALETTE:
        if colour not in taken:
            return colour
    hue = (len(taken) * GOLDEN_SHARE) % 1.0
    red, green, blue = (round(255 * value) for value in colorsys.hls_to_rgb(hue, 0.65, 0.85))
    return (red, green, blue)


def as_hex(colour: Colour) -> str:
    """Returns "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def from_hex(text: str) -> Colour | None:
    """Reads "#rrggbb"; None for anything else."""
    digits = text.removeprefix("#")
    if len(digits) != 6 or any(letter not in "0123456789abcdefABCDEF" for letter in digits):
        return None
    red, green, blue = (int(digits[start : start + 2], 16) for start in (0, 2, 4))
    return (red, green, blue)
