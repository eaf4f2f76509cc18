"""Eight animals from words on one sheet, and one of them walking as a GLB.

python examples/08_animal_from_words.py
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.animals.coats import make_canvas, paint
from lerf_wild.animals.portrait import View, portrait
from lerf_wild.animals.poses.library import draw_pose, gait_cycle
from lerf_wild.animals.size import metres_per_unit
from lerf_wild.animals.skinned_glb import Animation, write_skinned_glb
from lerf_wild.animals.words.phrases import kind_in
from lerf_wild.animals.words.shapes import load_shape_flow

PHRASES = (
    ("red deer", "stand"),
    ("brown bear", "walk"),
    ("red fox", "trot"),
    ("wild boar", "stand"),
    ("zebra", "graze"),
    ("giraffe", "walk"),
    ("dachshund", "stand"),
    ("tiger", "walk"),
)
COLUMNS, VIEW = 4, View(width=320, height=270, margin=1.2)
OUTPUT = Path("outputs/animals")


def picture_of(phrase: str, action: str) -> Image.Image:
    """One animal with its phrase below."""
    shapes, canvas = load_shape_flow(), make_canvas(1)
    betas = shapes.betas_of(phrase)
    _, pose = draw_pose(shapes.model, betas, np.random.default_rng(4), action, spread=0.3)
    posed = shapes.model.pose(betas, pose.rotations.float(), pose.translation.float())
    colours = paint(kind_in(phrase).coat, canvas)
    skin = canvas.refined(posed.vertices.numpy())
    picture = Image.fromarray(portrait(skin, canvas.faces_F3, colours, VIEW))
    ImageDraw.Draw(picture).text(
        (VIEW.width / 2, VIEW.height - 8),
        phrase,
        fill=(30, 32, 34),
        anchor="ms",
        font=ImageFont.load_default(18),
    )
    return picture


def main() -> None:
    """Writes animals_words.png and deer_walk.glb."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    rows = -(-len(PHRASES) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * VIEW.width, rows * VIEW.height))
    for number, (phrase, action) in enumerate(PHRASES):
        row, column = divmod(number, COLUMNS)
        sheet.paste(picture_of(phrase, action), (column * VIEW.width, row * VIEW.height))
    sheet.quantize(128).save(OUTPUT / "animals_words.png", optimize=True)

    model, species = load_quadruped().model, kind_in("red deer")
    betas = load_shape_flow().betas_of("red deer")
    walk = gait_cycle(model, betas, "walk", 24)
    colours = np.clip(paint(species.coat, make_canvas(0)), 0, 255).astype(np.uint8)
    size = float(metres_per_unit(model, betas, species.height_m))
    clip = Animation(walk.rotations, walk.translation, seconds=1.1, name="walk")
    write_skinned_glb(OUTPUT / "deer_walk.glb", model, betas, size, (clip,), colours)
    print(f"{OUTPUT}/animals_words.png and {OUTPUT}/deer_walk.glb")


if __name__ == "__main__":
    main()
