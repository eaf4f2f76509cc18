"""The picture of docs/wildlife.md: a place as it was captured, populated, asked, and exported.

    python -m benchmarks.wildlife_page --runs RUN --photo PHOTO \\
        --output-path docs/images/wildlife.webp

A row for each run. What stands in it is placed by sentences and, where a photo is given, by what
that shows; the run's own file is left alone. The view is the held-out one that shows most of it.
"""

import tempfile
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from benchmarks.raw_page import encoded
from lerf_wild.cli.populated import populated, row_of
from lerf_wild.cli.wildlife import open_populated
from lerf_wild.storage.atomic import write_bytes, writing

SENTENCES = (
    "a red deer grazing by the log",
    "a zebra walking near the boulder",
    "a raven next to the shrub",
    "a tiger lying by the tree",
)


def main(
    runs: tuple[Path, ...],
    output_path: Path = Path("wildlife.webp"),
    sentences: tuple[str, ...] = SENTENCES,
    photo: Path | None = None,
    phrase: str = "",
    width: int = 300,
    most_kb: int = 200,
) -> None:
    """Writes the page.

    Args:
        runs: Folders or config.yml of trained runs, a row each.
        output_path: A .webp.
        sentences: What is placed.
        photo: A photo whose objects are placed too; its picture comes first.
        phrase: What is asked of the view, in a picture of its own.
        width: Pixels across each picture.
        most_kb: Largest file; the quality is lowered until it fits.
    """
    rows = []
    for path in runs:
        run = open_populated(path)
        with tempfile.TemporaryDirectory() as folder:
            run.model.items.path = Path(folder) / "wildlife.json"
            placed = populated(run, sentences, photo)
            for line in placed.refused:
                print(f"not placed: {line}")
            rows.append(row_of(run, placed.population, photo, phrase, width))
    data = encoded(Image.fromarray(np.concatenate(rows)), most_kb)
    with writing(output_path):
        write_bytes(output_path, data)
    print(f"{output_path}: {len(data) / 1000:.0f} kB")


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.FlagConversionOff,))
