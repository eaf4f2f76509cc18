"""The picture of docs/wildlife.md: a place as it was captured, populated, asked, and exported.

    python -m benchmarks.wildlife_page --runs RUN --photo PHOTO \\
        --output-path docs/images/wildlife.webp

A row for each run. What stands in it is placed by sentences and, where a photo is given, by what
that shows; the run's own file is left alone. The view is the held-out one that shows most of it.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from benchmarks.raw_page import encoded
from lerf_wild.cli.pictures import captioned, overlay
from lerf_wild.cli.wildlife import (
    chosen_by_words,
    named_things,
    open_populated,
    scene_of_run,
    target_of,
)
from lerf_wild.errors import LerfWildError
from lerf_wild.language.thresholds import MASK_RELEVANCY
from lerf_wild.storage.atomic import write_bytes, writing
from lerf_wild.wildlife.items import Provenance
from lerf_wild.wildlife.population import Population
from lerf_wild.wildlife.sentences import read_sentence
from lerf_wild.wildlife.settling import settle, settle_program
from lerf_wild.wildlife.uploads import read_photo

SENTENCES = (
    "a red deer grazing by the log",
    "a zebra walking near the boulder",
    "a raven next to the shrub",
    "a tiger lying by the tree",
)
COLOURS = np.array(
    [(0, 0, 0), (230, 90, 60), (70, 150, 230), (240, 200, 60), (110, 200, 110), (190, 110, 220),
     (90, 210, 210), (240, 140, 190)], np.uint8,
)  # fmt: skip
DIMMED = 0.45
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Placed:
    """What was placed in a run, and what could not be."""

    population: Population
    refused: tuple[str, ...]


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


def populated(run: Any, sentences: tuple[str, ...], photo: Path | None) -> Placed:
    """Places what sentences say and a photo shows, as the command does."""
    console, scene, population = Console(), scene_of_run(run), Population()
    read = [read_sentence(text) for text in sentences]
    anchors = list(dict.fromkeys(one.anchor for one in read if one.anchor is not None))
    where = {one.phrase: one for one in named_things(run, anchors)} if anchors else {}
    refused: list[str] = []
    for text, sentence in zip(sentences, read):
        found = where.get(str(sentence.anchor))
        if found is None or not found.present:
            refused.append(f"{text}: nothing in the scene looks like it")
            continue
        target = scene.stage.from_world(np.array([found.position]))[0]
        source = Provenance("text", text, anchor=sentence.anchor)
        try:
            choice = chosen_by_words(run, scene, sentence)
            population, item = settle(scene, population, choice, target, source)
            print(f"{item.id}: {item.what} at {item.position}", flush=True)
        except LerfWildError as error:
            refused.append(f"{text}: {error}")
    if photo is not None:
        target = target_of(console, run, scene, None)
        source = Provenance("photo", photo.name)
        population, _, left = settle_program(scene, population, read_photo(photo), target, source)
        refused += left
    return Placed(population, tuple(refused))


def row_of(
    run: Any, population: Population, photo: Path | None, phrase: str, width: int
) -> Picture:
    """The pictures of a run side by side."""
    cameras, items = run.dataset("held-out").cameras, run.model.items
    items.show(population)
    index = best_view(run, cameras)
    full = run.answer(cameras, index, run.query([phrase]) if phrase else None)
    true = (run.dataset("held-out")[index]["image"][..., :3].numpy() * 255).astype(np.uint8)
    numbers = full.outputs["items"][..., 0].numpy().astype(int)
    pictures = [
        ("the place: a photo that training never saw", true),
        ("the field, populated", full.rgb_HW3),
        ("exported: masks and boxes", annotated(full.rgb_HW3, numbers)),
    ]
    if phrase:
        found = overlay(full.rgb_HW3, full.relevancy_HWP[..., 0], MASK_RELEVANCY)
        pictures.insert(2, (f'asked for "{phrase}"', found))
    if photo is not None:
        shape = (full.rgb_HW3.shape[1], full.rgb_HW3.shape[0])
        pictures.insert(0, (f"a photo, {photo.name}", _fitted(Image.open(photo), shape)))
    height = round(width * full.rgb_HW3.shape[0] / full.rgb_HW3.shape[1])
    tiles = [
        captioned(np.asarray(Image.fromarray(one).resize((width, height))), words, 18)
        for words, one in pictures
    ]
    return np.concatenate(tiles, axis=1)


def best_view(run: Any, cameras: Any) -> int:
    """The view whose rays meet items most often, each counted by no more than its fair share."""
    stage, scene = run.model.items.stage, run.model.items.shown().scene
    scores = []
    for index in range(len(cameras)):
        rays = cameras.generate_rays(index, keep_shape=True)
        origins = stage.from_nerf(rays.origins[::3, ::3].reshape(-1, 3).numpy())
        directions = stage.directions_from_nerf(rays.directions[::3, ::3].reshape(-1, 3).numpy())
        hits = scene.trace(origins, directions).index_N
        shares = np.bincount(hits[hits >= 0], minlength=len(scene)) / len(hits)
        scores.append(float(np.minimum(shares, 0.03).sum()))
    return int(np.argmax(scores))


def annotated(rgb_HW3: Picture, numbers_HW: NDArray[np.int_]) -> Picture:
    """A view with the masks and boxes of its items."""
    picture = (DIMMED * rgb_HW3).astype(np.uint8)
    for number in np.unique(numbers_HW[numbers_HW > 0]):
        colour = COLOURS[1 + (number - 1) % (len(COLOURS) - 1)]
        mask = numbers_HW == number
        picture[mask] = (0.45 * colour + 0.55 * rgb_HW3[mask]).astype(np.uint8)
        rows, columns = np.nonzero(mask)
        top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
        picture[[top, bottom], left : right + 1] = colour
        picture[top : bottom + 1, [left, right]] = colour
    return picture


def _fitted(photo: Image.Image, shape: tuple[int, int]) -> Picture:
    """A photo in the middle of a dark page of a shape."""
    page = Image.new("RGB", shape, (24, 24, 24))
    small = photo.convert("RGB")
    small.thumbnail(shape)
    page.paste(small, ((shape[0] - small.width) // 2, (shape[1] - small.height) // 2))
    return np.asarray(page)


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.FlagConversionOff,))
