"""Draws a small scene, reads the picture back as a scene program, and compares the metres.

python examples/14_read_a_photo.py
python examples/14_read_a_photo.py --photo my_photo.jpg
"""

import json
from pathlib import Path

import tyro

from lerf_wild.cli.raw import raw_render
from lerf_wild.cli.raw_reconstruct import raw_reconstruct

DRAWN = """# scene-program 1
set_sun_elevation(0.8)
set_sun_rotation(140.0)
set_camera(86.0, height=1.6, fov=40.0)
add(pixels=3000, loc=(-0.8, -1, -7), height=1.1, rotation=[ROT], appearance=[CLIP], asset="zebra")
add(pixels=900, loc=(2, -0.7, -11), height=3, rotation=[ROT], appearance=[CLIP], asset="oak tree")
"""


def main(photo: Path | None = None, output_dir: Path = Path("outputs/examples/read")) -> None:
    """Reads a photo.

    Args:
        photo: What to read; a drawing of a zebra and an oak when left out.
        output_dir: Folder of the program, the metres, the picture beside the photo, and the GLB.
    """
    if photo is None:
        output_dir.mkdir(parents=True, exist_ok=True)
        program, photo = output_dir / "drawn.txt", output_dir / "drawn.png"
        program.write_text(DRAWN)
        raw_render(program, photo, size=256)
    raw_reconstruct([photo], output_dir)
    for path in sorted(output_dir.rglob("scene.json")):
        for one in json.loads(path.read_text())["objects"]:
            print(f"{one['asset']}: {one['distance_m']:.1f} m away, {one['height_m']:.2f} m tall")


if __name__ == "__main__":
    tyro.cli(main)
