"""Recovers pose and shape of the animals in photos, here of pictures made on the spot.

python examples/11_animals_in_photos.py
python examples/11_animals_in_photos.py --photos photo_1.jpg photo_2.jpg
"""

import io
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from lerf_wild.cli.animal_infer import animal_infer
from lerf_wild.synth.genzoo import GenzooJob, make_samples

SHOWN_PX, ACROSS = 192, 8


def main(
    photos: tuple[Path, ...] = (),
    num: int = 16,
    seed: int = 2,
    output_dir: Path = Path("outputs/examples/animals"),
) -> None:
    """Writes for each photo a GLB and a JSON, and a page of photos above what was found in them.

    Args:
        photos: Pictures; some of the test split are generated when left out.
        num: Number of pictures to generate.
        seed: What decides them.
        output_dir: Where to write everything.
    """
    photos = photos or generated(output_dir / "photos", num, seed)
    animal_infer(photos, output_dir)
    rows = []
    for start in range(0, len(photos), ACROSS):
        part = photos[start : start + ACROSS]
        found = [output_dir / f"{path.stem}.png" for path in part]
        rows += [np.concatenate([shown(path) for path in paths], axis=1) for paths in (part, found)]
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    Image.fromarray(np.concatenate(rows)).save(output_dir / "page.webp", quality=80)
    print(f"{output_dir / 'page.webp'}: photos, and the bodies that were found laid over them")


def generated(folder: Path, num: int, seed: int) -> tuple[Path, ...]:
    """Pictures of species, coats and places that the regressor was not trained on."""
    folder.mkdir(parents=True, exist_ok=True)
    job = GenzooJob(seed=seed, size=SHOWN_PX, split="test", signals=False)
    paths = tuple(folder / f"{number:02}.png" for number in range(num))
    for number, path in enumerate(paths):
        ((_, parts),) = make_samples(job, number)
        Image.open(io.BytesIO(parts["jpg"])).save(path)
    return paths


def shown(path: Path) -> np.ndarray:
    """A picture at the size of the page, in the middle of a square."""
    picture = Image.open(path).convert("RGB")
    picture.thumbnail((SHOWN_PX, SHOWN_PX))
    page = Image.new("RGB", (SHOWN_PX, SHOWN_PX), "white")
    corner = ((SHOWN_PX - picture.width) // 2, (SHOWN_PX - picture.height) // 2)
    page.paste(picture, corner)
    return np.asarray(page)


if __name__ == "__main__":
    tyro.cli(main)
