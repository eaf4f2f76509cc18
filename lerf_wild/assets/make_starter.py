"""Builds what is bundled of the starter library: heights, templates for wild-clip, contact sheet.

    python -m lerf_wild.assets.make_starter --sheet docs/images/assets.png

Run it when a recipe, the drawing of templates or wild-clip has changed. Templates come from the
cache where they are in it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save

from lerf_wild.assets import library as library_module
from lerf_wild.assets.library import STARTER_TABLE, Library, starter_library
from lerf_wild.assets.recipes import STARTERS, grow_recipe
from lerf_wild.assets.template_index import BUNDLED, build_index, template_key
from lerf_wild.assets.templates import STANDARD, render_template
from lerf_wild.language.wild_clip import load_wild_clip
from lerf_wild.storage.atomic import write_bytes, write_json

CAPTION_PX = 12
COLUMNS = 12


def write_table() -> None:
    """Write the height of every starter, which is all that is not in its recipe."""
    heights = {name: round(grow_recipe(recipe).height_m, 4) for name, recipe in STARTERS.items()}
    write_json(STARTER_TABLE, heights)
    library_module.starter_library.cache_clear()


def write_templates(library: Library) -> None:
    """Write the templates of every starter as wild-clip sees them."""
    encoder = load_wild_clip()
    index = build_index(library, encoder)
    keys = [
        template_key(entry, encoder.identity, encoder.image_size, STANDARD) for entry in library
    ]
    about = {"keys": " ".join(keys), "names": " ".join(library.names), "encoder": encoder.identity}
    write_bytes(BUNDLED, save({"templates": index.templates_ATD.contiguous()}, about))


def contact_sheet(library: Library, side: int = 96, yaw_deg: float = 330.0) -> Image.Image:
    """Every asset from the front left, with its name."""
    rows = -(-len(library) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * side, rows * (side + CAPTION_PX)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, entry in enumerate(library):
        view = render_template(library.mesh(entry.name), float(np.radians(yaw_deg)), side)
        x, y = number % COLUMNS * side, number // COLUMNS * (side + CAPTION_PX)
        sheet.paste(Image.fromarray(view), (x, y))
        draw.text((x + 2, y + side), entry.name[:16], fill="black")
    return sheet


def main(sheet: Path | None = None, threads: int = 1) -> None:
    """Write the table and the templates, and the contact sheet if a file is named for it."""
    torch.set_num_threads(threads)
    write_table()
    library = starter_library()
    write_templates(library)
    if sheet is not None:
        contact_sheet(library).quantize(256, kmeans=2).save(sheet, optimize=True)


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
