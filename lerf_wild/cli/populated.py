"""A scene populated by several sentences at once, and a row of pictures that shows it.

Symbols: H, W pixels.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from lerf_wild.cli.pictures import captioned, overlay
from lerf_wild.cli.wildlife import aim_of, chosen_by_words, named_things, scene_of_run
from lerf_wild.errors import LerfWildError
from lerf_wild.language.thresholds import MASK_RELEVANCY
from lerf_wild.wildlife.items import Provenance
from lerf_wild.wildlife.population import Population
from lerf_wild.wildlife.sentences import read_sentences
from lerf_wild.wildlife.settling import by_thing, settle_each, settle_program
from lerf_wild.wildlife.uploads import read_photo

COLOURS = np.array(
    [(0, 0, 0), (230, 90, 60), (70, 150, 230), (240, 200, 60), (110, 200, 110), (190, 110, 220),
     (90, 210, 210), (240, 140, 190)], np.uint8,
)  # fmt: skip
DIMMED, SMALL = 0.45, 0.3
FAIR_SHARE, CUT = 0.03, 0.3
"""Share of a view from which on an item counts no more, and what one counts that a border cuts."""
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Placed:
    """What was placed in a run, and what could not be."""

    population: Population
    refused: tuple[str, ...]


def populated(run: Any, sentences: Sequence[str], photo: Path | None = None) -> Placed:
    """Places what sentences say and a photo shows, as the command does."""
    console, scene, population = Console(), scene_of_run(run), Population()
    read = [read_sentences(text) for text in sentences]
    anchors = list(dict.fromkeys(one[0].anchor for one in read if one[0].anchor is not None))
    where = {one.phrase: one for one in named_things(run, anchors)} if anchors else {}
    refused: list[str] = []
    for text, kinds in zip(sentences, read):
        found = where.get(str(kinds[0].anchor))
        if found is None or not found.present:
            refused.append(f"{text}: nothing in the scene looks like it")
            continue
        aimed, aim = by_thing(scene, found.position, found.core_M3)
        source = Provenance("text", text, anchor=kinds[0].anchor)
        try:
            choices = chosen_by_words(run, scene, kinds)
            population, _, left = settle_each(aimed, population, choices, aim, source)
            refused += [f"{text}: {line}" for line in left]
        except LerfWildError as error:
            refused.append(f"{text}: {error}")
    if photo is not None:
        aim = aim_of(console, run, scene, None)[1]
        source = Provenance("photo", photo.name)
        population, _, left = settle_program(scene, population, read_photo(photo), aim, source)
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
    """The view that shows most of the items, each counted by no more than its fair share, and those
    that the border cuts by less."""
    small, scores = copy.deepcopy(cameras), []
    small.rescale_output_resolution(SMALL)
    for index in range(len(small)):
        numbers_HW = run.answer(small, index, None).outputs["items"][..., 0].numpy().astype(int)
        count = max(int(numbers_HW.max()), 1)
        shown = numbers_HW[numbers_HW > 0] - 1
        shares = np.bincount(shown, minlength=count) / numbers_HW.size
        scores.append(float((np.minimum(shares, FAIR_SHARE) * _whole(numbers_HW - 1, count)).sum()))
    return int(np.argmax(scores))


def _whole(hits_HW: NDArray[np.int_], count: int) -> NDArray[np.float64]:
    """1 for each item that no border of a view cuts, `CUT` for the others."""
    border = np.concatenate([hits_HW[0], hits_HW[-1], hits_HW[:, 0], hits_HW[:, -1]])
    return np.where(np.bincount(border[border >= 0], minlength=count) > 0, CUT, 1.0)


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
