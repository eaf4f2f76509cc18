"""The pictures of docs/raw.md: photos in, scenes out.

    python -m benchmarks.raw_page --output-path docs/images/raw/gallery.webp \\
        --photos capture/images/0001.jpg --json FILE

Held-out scenes, taken in their order and not chosen, half of them of assets that the reader has
never seen; then the photos. Each is shown beside what was read from it, drawn again; lines say what
is there and what was found: how many, by how much of its distance an object is off, and an animal's
yaw (medians).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lerf_wild.assets.library import starter_library
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.errors import ExportError, InputError
from lerf_wild.inverse.program_evaluation import compared
from lerf_wild.inverse.program_images import load_photo
from lerf_wild.inverse.program_inference import DEFAULT_FOV_DEG, Reading
from lerf_wild.inverse.program_measuring import draw_series
from lerf_wild.inverse.program_use import OpenReader, open_reader
from lerf_wild.program.frames import to_level
from lerf_wild.program.types import Program
from lerf_wild.render.scene_program import finder, render_program
from lerf_wild.storage.atomic import write_bytes, writing

COLUMNS = 4
GAP, LINES, FONT_PX = 6, 3, 13
INK, PAPER, PALE = (40, 40, 40), (255, 255, 255), (120, 120, 120)
QUALITIES = (82, 74, 66, 58, 50)


@dataclass(frozen=True)
class Panel:
    """A picture, what was read from it, and three lines about them."""

    shown: NDArray[np.uint8]
    drawn: NDArray[np.uint8]
    lines: tuple[str, ...]


def main(
    output_path: Path = Path("gallery.webp"),
    photos: tuple[Path, ...] = (),
    scenes: int = 10,
    seed: int = 0,
    size: int = 176,
    most_kb: int = 400,
    weights: Path | None = None,
    refine: bool = False,
    json_file: JsonFile = None,
) -> None:
    """Writes the sheet.

    Args:
        output_path: A .webp.
        photos: Real photos, which come last.
        scenes: Drawn scenes, half of them of assets that training never drew.
        seed: Which scenes; those of `raw eval` have the same.
        size: Pixels along a side of each picture.
        most_kb: Largest file; the quality is lowered until it fits.
        weights: Folder of a `raw` run; the bundled reader when left out.
        refine: Whether to refine what was read.
        json_file: Where to write what was found in each picture.
    """
    if output_path.suffix.lower() != ".webp" or scenes < 1 or not 64 <= size <= 512:
        raise InputError("Give a .webp, a scene or more, and a side of 64 to 512 pixels.")
    reader = open_reader(weights, starter_library())
    panels = [*_scenes(reader, scenes, seed, size, refine), *_photos(reader, photos, size, refine)]
    data = encoded(sheet(panels, size), most_kb)
    with writing(output_path):
        write_bytes(output_path, data)
    for panel in panels:
        print(" | ".join(panel.lines))
    print(f"{output_path}: {len(panels)} pictures, {len(data) / 1000:.0f} kB")
    write_report(json_file, {"panels": [panel.lines for panel in panels]}, seed=seed)


def sheet(panels: Sequence[Panel], size: int) -> Image.Image:
    """All panels, two to a row, each with its lines below."""
    font = ImageFont.load_default(FONT_PX)
    tall = size + LINES * (FONT_PX + 4) + 3 * GAP
    wide = 2 * size + 4 * GAP
    across = COLUMNS // 2
    rows = -(-len(panels) // across)
    page = Image.new("RGB", (across * wide, rows * tall + GAP), PAPER)
    pen = ImageDraw.Draw(page)
    for index, panel in enumerate(panels):
        left, top = index % across * wide + GAP, index // across * tall + GAP
        for place, picture in enumerate((panel.shown, panel.drawn)):
            tile = Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS)
            page.paste(tile, (left + place * (size + GAP), top))
        for number, line in enumerate(panel.lines):
            low, ink = top + size + 3 + number * (FONT_PX + 4), INK if number else PALE
            pen.text((left, low), _fitting(line, font, wide - 2 * GAP), ink, font)
    return page


def encoded(page: Image.Image, most_kb: int) -> bytes:
    """The page as WebP of the best quality that fits.

    Raises:
        ExportError: when none does.
    """
    for quality in QUALITIES:
        stream = io.BytesIO()
        page.save(stream, "WEBP", quality=quality, method=6)
        if len(stream.getvalue()) <= 1000 * most_kb:
            return stream.getvalue()
    raise ExportError(f"The page is larger than {most_kb} kB; give a smaller --size.")


def _scenes(reader: OpenReader, scenes: int, seed: int, size: int, refine: bool) -> Iterator[Panel]:
    known = -(-scenes // 2)
    for name, count in (("seen", known), ("unseen", scenes - known)):
        for place, sample in enumerate(draw_series(name, seed, 0, count)):
            reading = _read(reader, sample.rgb, refine)
            title = f"{'known' if name == 'seen' else 'never seen'} assets, scene {place}"
            there, read = _told(sample.program), _judged(sample.program, reading)
            lines = (title, f"there: {there}", f"read: {read}")
            yield Panel(sample.rgb, _drawn(reader, reading, size), lines)


def _photos(reader: OpenReader, photos: Sequence[Path], size: int, refine: bool) -> Iterator[Panel]:
    for path in photos:
        rgb = load_photo(path)
        reading = _read(reader, rgb, refine)
        said, ground = _told(reading.program) or "nothing", reading.program.settings.ground_name
        lines = (f"a photo, {path.name}", f"read: {said}", f"on {ground}")
        yield Panel(rgb, _drawn(reader, reading, size), lines)


def _read(reader: OpenReader, rgb: NDArray[np.uint8], refine: bool) -> Reading:
    return reader.read(rgb, DEFAULT_FOV_DEG, refined=refine)


def _drawn(reader: OpenReader, reading: Reading, size: int) -> NDArray[np.uint8]:
    return render_program(reading.program, size, size, finder(reader.library)).picture.rgb


def _told(program: Program) -> str:
    pitch = program.settings.camera_pitch_deg
    spots = [np.hypot(*to_level(item.loc_m, pitch)[:2]) for item in program.objects]
    return ", ".join(
        f"{str(item.asset or item.kind).replace('_', ' ')} {spot:.1f} m"
        for item, spot in zip(program.objects, spots)
    )


def _judged(truth: Program, reading: Reading) -> str:
    pairs = compared(truth, reading.program, reading.candidates)
    right = sum(pair.rank == 0 for pair in pairs)
    text = f"{len(reading.program.objects)} of {len(truth.objects)}, {right} the right asset"
    yaws = [pair.yaw_deg for pair in pairs if np.isfinite(pair.yaw_deg)]
    if pairs:
        text += f", off by {100 * np.median([p.distance for p in pairs]):.0f} %"
    return text + (f", yaw by {np.median(yaws):.0f}°" if yaws else "")


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + " ...") > width:
        text = text.rpartition(" ")[0]
    return text + " ..."


if __name__ == "__main__":
    tyro.cli(main)
