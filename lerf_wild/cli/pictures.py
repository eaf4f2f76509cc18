"""Relevancy as pictures: heat maps, overlays, captions and contact sheets.

H, W pixels, P phrases. Pictures are uint8 RGB; relevancies are 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

from lerf_wild.language.thresholds import MASK_RELEVANCY
from lerf_wild.live.colours import Colour

HEAT_RANGE = (0.3, 0.9)
"""Relevancies at the ends of the heat map's colours: the same for all phrases and scenes, so that
pictures can be compared and a phrase that is not there stays dark."""

OPACITY = 0.65
DIMMED = 0.45
LUMA = (0.299, 0.587, 0.114)
"""Rec. 601 weights of red, green and blue in brightness."""

PAPER = (250, 250, 248)
INK = (30, 32, 34)
FAINT = (110, 114, 118)

Picture = UInt8[np.ndarray, "H W 3"]
Map = Float[np.ndarray, "H W"]


@dataclass(frozen=True)
class SheetRow:
    """One phrase of a contact sheet."""

    title: str
    details: tuple[str, ...]
    pictures: tuple[Picture, ...]


def heat(relevancy_HW: Map) -> Picture:
    """Returns the map in the colours of `turbo`, over HEAT_RANGE."""
    low, high = HEAT_RANGE
    share_HW = np.clip((np.nan_to_num(relevancy_HW) - low) / (high - low), 0, 1)
    return (colormaps["turbo"](share_HW)[..., :3] * 255).round().astype(np.uint8)


def overlay(rgb_HW3: Picture, relevancy_HW: Map, threshold: float = MASK_RELEVANCY) -> Picture:
    """Returns the picture with what the phrase is in coloured, and the rest grey and dark."""
    rgb = rgb_HW3.astype(np.float32)
    grey = (rgb @ np.asarray(LUMA, np.float32))[..., None] * DIMMED
    inside = OPACITY * heat(relevancy_HW) + (1 - OPACITY) * rgb
    chosen = np.nan_to_num(relevancy_HW)[..., None] > threshold
    return np.where(chosen, inside, grey).round().astype(np.uint8)


def captioned(picture: Picture, caption: str, height_px: int = 0, figure: str = "") -> Picture:
    """Returns the picture with a band above it that says what is looked for, then the figure.

    The band is a twelfth of the height unless given, less for narrow pictures; a caption that is
    too long is cut, its figure is not.
    """
    height, width = picture.shape[:2]
    band_px = height_px or max(14, min(height // 12, width // 8))
    band = Image.new("RGB", (width, band_px), INK)
    font = ImageFont.load_default(size=max(8, round(band_px * 0.68)))
    figure = f"  {figure}" if figure else ""
    text = _cut(caption, font, width - band_px - font.getlength(figure))
    ImageDraw.Draw(band).text((band_px / 3, band_px / 2), text + figure, PAPER, font, anchor="lm")
    return np.concatenate([np.asarray(band), picture])


def with_legend(picture: Picture, entries: Sequence[tuple[str, Colour]]) -> Picture:
    """Returns the picture with a band below it that says which colour is which phrase.

    Entries go on in further rows where one is full; a name that is too long for a row is cut.
    """
    row_px, width = max(16, picture.shape[0] // 14), picture.shape[1]
    font = ImageFont.load_default(size=max(8, round(row_px * 0.62)))
    swatch, gap = round(row_px * 0.55), round(row_px * 0.45)
    places, x, row = [], gap, 0
    for name, colour in entries:
        text = _cut(name, font, width - 3 * gap - swatch)
        room = swatch + gap / 2 + font.getlength(text) + gap
        if x + room > width and x > gap:
            x, row = gap, row + 1
        places.append((x, row, text, colour))
        x += room + gap
    band = Image.new("RGB", (width, row_px * (row + 1)), INK)
    draw = ImageDraw.Draw(band)
    for x, row, text, colour in places:
        middle = (row + 0.5) * row_px
        box = (x, middle - swatch / 2, x + swatch, middle + swatch / 2)
        draw.rounded_rectangle(box, radius=swatch / 4, fill=colour)
        draw.text((x + swatch + gap / 2, middle), text, PAPER, font, anchor="lm")
    return np.concatenate([picture, np.asarray(band)])


def contact_sheet(
    title: str, columns: Sequence[str], rows: Sequence[SheetRow], cell_px: int = 256
) -> Image.Image:
    """Returns one picture with a row a phrase: its name and figures, then its pictures.

    Pictures are scaled to `cell_px` in height; all must have one shape.
    """
    height, width = rows[0].pictures[0].shape[:2]
    cell = (round(width * cell_px / height), cell_px)
    gap, left, top = cell_px // 24, round(cell_px * 1.05), round(cell_px * 0.42)
    size = (
        left + len(columns) * (cell[0] + gap),
        top + len(rows) * (cell[1] + gap),
    )
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    big, middle, small = (ImageFont.load_default(size=cell_px // part) for part in (10, 12, 15))
    draw.text((gap, top * 0.3), title, INK, big, anchor="lm")
    for index, name in enumerate(columns):
        x = left + index * (cell[0] + gap) + cell[0] / 2
        draw.text((x, top * 0.78), name, FAINT, middle, anchor="mm")
    for index, row in enumerate(rows):
        y = top + index * (cell[1] + gap)
        draw.text((gap, y + gap), _cut(row.title, middle, left - 2 * gap), INK, middle)
        for line, detail in enumerate(row.details):
            place = (gap, y + gap + cell_px // 8 + line * cell_px // 11)
            draw.text(place, _cut(detail, small, left - 2 * gap), FAINT, small)
        for column, picture in enumerate(row.pictures):
            place = (left + column * (cell[0] + gap), y)
            sheet.paste(_scaled(picture, cell), place)
    return sheet


def _scaled(picture: Picture, size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(picture)
    # Small maps are blown up with their pixels smoothed; they have no detail to keep sharp.
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)


def _cut(text: str, font: ImageFont.FreeTypeFont, room_px: float) -> str:
    if font.getlength(text) <= room_px:
        return text
    while text and font.getlength(text + "...") > room_px:
        text = text[:-1]
    return text + "..."
