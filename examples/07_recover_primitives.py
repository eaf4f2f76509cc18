"""Recovers cubes, spheres and cylinders from an image, then draws them again from elsewhere.

python examples/07_recover_primitives.py --seed 14
"""

from pathlib import Path

import numpy as np
import torch
import tyro
from PIL import Image

from lerf_wild.inverse.primitive_inference import describe, infer, load_air
from lerf_wild.inverse.primitive_refine import RefineSpec
from lerf_wild.render.primitive_rays import SIDE_LIGHT, Camera, render_rays

PALETTE = torch.tensor([[0.93, 0.55, 0.30], [0.36, 0.62, 0.78], [0.65, 0.76, 0.42]])


def main(seed: int = 14, output_path: Path = Path("outputs/examples/primitives.png")) -> None:
    """Writes the image, the re-rendered answer, and the answer seen from the side in colour.

    Args:
        seed: Which scene to draw.
        output_path: Where to write the picture.
    """
    model = load_air("reference")
    images, _ = model.setup.draw(1, torch.Generator().manual_seed(seed))
    found = infer(model, images, RefineSpec())
    for thing in describe(found, 0)["objects"]:
        print(thing["type"], thing["position"])

    again = render_rays(found.scenes)
    camera = Camera((2.2, 1.6, 3.0), extent=1.7, perspective=True)
    aside = render_rays(found.scenes, camera, SIDE_LIGHT, PALETTE[None])
    grey = torch.stack([images[0], again[0]])[..., None].expand(-1, -1, -1, 3)
    row = torch.cat([*grey, aside[0]], 1).clamp(0, 1)
    picture = np.kron((row * 255).byte().numpy(), np.ones((4, 4, 1), np.uint8))
    output_path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(output_path)
    print(f"{output_path}: image, answer, answer from the side")


if __name__ == "__main__":
    tyro.cli(main)
