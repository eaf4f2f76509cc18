"""Finds assets by words, then by a picture in another light, and shows what was found.

python examples/09_find_an_asset.py --phrases "striped cat" "white bird" "red tree"
"""

from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from lerf_wild.assets.calibration import photo_of
from lerf_wild.assets.library import open_library
from lerf_wild.assets.photos import embed_photo
from lerf_wild.assets.template_index import build_index
from lerf_wild.assets.templates import render_template
from lerf_wild.assets.words import find_by_words
from lerf_wild.language.wild_clip import load_wild_clip

SIDE = 160


def main(
    phrases: tuple[str, ...] = ("striped cat", "white bird", "red tree"),
    output_path: Path = Path("outputs/examples/assets.png"),
) -> None:
    """Writes a row for each phrase: the three best assets, then a photo of the first and its match.

    Args:
        phrases: What to look for.
        output_path: Where to write the picture.
    """
    library, encoder = open_library(), load_wild_clip()
    index = build_index(library, encoder)
    rng, rows = np.random.default_rng(0), []
    for phrase, answer in zip(phrases, find_by_words(index, library, phrases, encoder, k=3)):
        print(phrase, [(match.name, round(match.score, 2)) for match in answer.matches])
        views = [(match.name, match.yaw_deg) for match in answer.matches]
        photo = photo_of(library.mesh(answer.best.name), SIDE, rng)
        again = index.search(embed_photo(photo, encoder)[None])[0].best
        print("  looked up again by a photo:", again.name, f"yaw {again.yaw_deg:.0f} degrees")
        shown = [render_template(library.mesh(n), np.radians(yaw), SIDE) for n, yaw in views]
        last = render_template(library.mesh(again.name), np.radians(again.yaw_deg), SIDE)
        rows.append(np.concatenate([*shown, photo, last], axis=1))
    output_path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(output_path)
    print(f"{output_path}: three best assets, a photo of the first, and what the photo found")


if __name__ == "__main__":
    tyro.cli(main)
