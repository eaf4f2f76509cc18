"""Finds a phrase in one picture, at every size of tile, without any training.

python examples/02_find_a_phrase_in_one_picture.py --image photo.jpg --phrase "red fox"
"""

from pathlib import Path

import numpy as np
import torch
import tyro
from PIL import Image

from lerf_wild.cli.pictures import captioned, overlay
from lerf_wild.language.pyramid import encode_pyramid
from lerf_wild.language.registry import resolve_encoder
from lerf_wild.language.relevancy import make_query, relevancy
from lerf_wild.storage.image_files import read_image


def main(
    image: Path = Path("outputs/examples/scene/images/frame_00001.png"),
    phrase: str = "animal",
    encoder: str = "wild-clip",
    output_path: Path = Path("outputs/examples/one_picture.png"),
) -> None:
    """Writes the picture with what the phrase is in coloured.

    Args:
        image: The picture; that of example 01 by default.
        phrase: What to look for.
        encoder: Name of the encoder.
        output_path: Where to write the result.
    """
    tower = resolve_encoder(encoder)
    query = make_query([phrase], tower)
    rgb = read_image(image, upright=True)
    pyramid = encode_pyramid(torch.from_numpy(rgb).permute(2, 0, 1) / 255, None, tower)

    maps = [relevancy(grid.float(), query)[..., 0] for grid in pyramid.levels().values()]
    level = max(range(len(maps)), key=lambda index: float(maps[index].max()))
    size = pyramid.layout.grids[level].size_px
    shown = torch.nn.functional.interpolate(maps[level][None, None], rgb.shape[:2], mode="bilinear")
    picture = captioned(overlay(rgb, shown[0, 0].numpy()), f"{phrase}, tiles of {size} px")
    output_path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(picture)).save(output_path)
    print(f"{output_path}: highest relevancy {float(maps[level].max()):.2f} at {size} px")


if __name__ == "__main__":
    tyro.cli(main)
