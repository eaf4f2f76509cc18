"""Labelled image crops at every scale of the pyramid, the training set of wild-clip.

Symbols: B crops, P phrases of the vocabulary, S side of a crop in pixels. ``cover_BP`` is the share
of a crop, weighted towards its middle, that shows objects a phrase holds of; ``target_BP`` turns it
into how true the phrase is of the crop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lerf_wild.synth.taxonomy import with_synonyms
from lerf_wild.synth.terrain import FIRST_INSTANCE_ID, STUFF, WATER_ID

CROP_PX = 96
TILE_RATIO = (0.05, 0.6)
"""Tile side over image height: the pyramid's range, and a little beyond it."""
FITTING = (0.6, 2.5)
"""Side of a tile that fits an object, over the square root of the pixels that show it."""
GRID = 24
"""Cells along a crop's side on which cover is counted."""
THING_COVER = (0.2, 0.65)
STUFF_COVER = (0.35, 0.85)
"""Cover at which a phrase starts to be true of a crop, and at which it is wholly true. Things fill
a square badly, ground and sky fill it well."""
MIDDLE_SIGMA = 0.13
"""Standard deviation, in crop sides, of the weight that favours the middle of a crop. A narrow one
makes a tile speak of what is at its middle, which gives relevancy maps sharp edges."""


@dataclass(frozen=True)
class LabelledView:
    """A picture with object ids (H, W) and the phrases of every id."""

    rgb: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    phrases: Mapping[int, Sequence[str]]


def membership(view: LabelledView, vocabulary: Sequence[str]) -> NDArray[np.float32]:
    """Which phrase holds of which id: (256, P) of zeros and ones."""
    index = {phrase: i for i, phrase in enumerate(vocabulary)}
    table = np.zeros((256, len(vocabulary)), np.float32)
    for object_id, names in [*STUFF.items(), *view.phrases.items()]:
        columns = [index[name] for name in with_synonyms(names) if name in index]
        table[int(object_id), columns] = 1.0
    return table


def draw_tiles(
    view: LabelledView, count: int, rng: np.random.Generator, near_objects: float = 0.75
) -> NDArray[np.float32]:
    """Squares (left, top, side) in pixels, inside the picture; most of them on objects, at all
    scales. Half of those on objects are about as large as what is seen of the object: of small
    things, squares of any size would hardly ever show enough."""
    height, width = view.instances.shape
    low, high = np.log(TILE_RATIO[0]), np.log(TILE_RATIO[1])
    side = np.maximum(height * np.exp(rng.uniform(low, high, count)), 6.0)
    centre = rng.uniform(0.0, 1.0, (count, 2)) * (width, height)
    ids = np.unique(view.instances)
    ids = ids[(ids >= FIRST_INSTANCE_ID) | (ids == 1)]
    for i in np.flatnonzero(rng.random(count) < near_objects) if len(ids) else ():
        rows, columns = np.nonzero(view.instances == rng.choice(ids))
        if rng.random() < 0.5:
            fitting = np.sqrt(len(rows)) * np.exp(rng.uniform(*np.log(FITTING)))
            side[i] = np.clip(fitting, *np.maximum(height * np.array(TILE_RATIO), 6.0))
        pick = rng.integers(len(rows))
        centre[i] = (columns[pick], rows[pick]) + rng.normal(0.0, 0.15 * side[i], 2)
    corner = np.clip(centre - side[:, None] / 2, 0.0, np.array([width, height]) - side[:, None])
    return np.column_stack([corner, side]).astype(np.float32)


def cut(view: LabelledView, tiles_B3: NDArray[np.float32]) -> tuple[Tensor, NDArray[np.uint8]]:
    """Crops resized to (B, 3, S, S) in 0-1, and their ids sampled on a (B, GRID, GRID) raster."""
    picture = torch.from_numpy(view.rgb).permute(2, 0, 1).float().div_(255.0)
    crops, ids = [], []
    steps = (np.arange(GRID) + 0.5) / GRID
    for left, top, side in tiles_B3:
        x0, y0 = round(float(left)), round(float(top))
        size = max(round(float(side)), 4)
        patch = picture[None, :, y0 : y0 + size, x0 : x0 + size]
        crops.append(
            functional.interpolate(
                patch, (CROP_PX, CROP_PX), mode="bilinear", antialias=True, align_corners=False
            )
        )
        rows = np.clip((top + steps * side).astype(int), 0, view.instances.shape[0] - 1)
        columns = np.clip((left + steps * side).astype(int), 0, view.instances.shape[1] - 1)
        ids.append(view.instances[rows[:, None], columns[None, :]])
    return torch.cat(crops), np.stack(ids)


def mirror(
    crops_B3SS: Tensor, ids_BGG: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[Tensor, NDArray[np.uint8]]:
    """Turns half of the crops and their ids left to right."""
    turned_B = rng.random(len(ids_BGG)) < 0.5
    crops = torch.where(
        torch.from_numpy(turned_B)[:, None, None, None], crops_B3SS.flip(-1), crops_B3SS
    )
    return crops, np.where(turned_B[:, None, None], ids_BGG[:, :, ::-1], ids_BGG)


def targets(
    ids_BGG: NDArray[np.uint8], table_256P: NDArray[np.float32], places: int, sigma: float
) -> NDArray[np.float32]:
    """How true each phrase is of the places of each crop: (B, places * places, P) in 0-1.

    A place is the middle of one of places x places cells, row by row; what counts there are the ids
    around it, weighted by a Gaussian of ``sigma`` crop sides. One place is the crop as a whole.
    """
    ids_K, flat = np.unique(ids_BGG, return_inverse=True)
    shown = np.eye(len(ids_K), dtype=np.float32)[flat.reshape(len(ids_BGG), -1)]
    cover_BNK = place_weights(places, sigma) @ shown
    is_thing_K = (ids_K >= FIRST_INSTANCE_ID) | (ids_K == WATER_ID)
    table_KP = table_256P[ids_K]
    things = cover_BNK @ (table_KP * is_thing_K[:, None])
    stuff = cover_BNK @ (table_KP * ~is_thing_K[:, None])
    return np.maximum(_ramp(things, *THING_COVER), _ramp(stuff, *STUFF_COVER))


def place_weights(places: int, sigma: float) -> NDArray[np.float32]:
    """Weights (places * places, GRID * GRID) of a crop's raster for each place; rows sum to one."""
    cells_G = (np.arange(GRID) + 0.5) / GRID
    middles_N = (np.arange(places) + 0.5) / places
    line_NG = np.exp(-((cells_G - middles_N[:, None]) ** 2) / (2 * sigma**2))
    line_NG /= line_NG.sum(axis=1, keepdims=True)
    return np.kron(line_NG, line_NG).astype(np.float32)


def augment(crops_B3SS: Tensor, generator: torch.Generator) -> Tensor:
    """Blur, and change light and colour, each crop for itself."""
    count = len(crops_B3SS)

    def draw(low: float, high: float) -> Tensor:
        return torch.rand(count, 1, 1, 1, generator=generator) * (high - low) + low

    padded = functional.pad(crops_B3SS, (2, 2, 2, 2), mode="replicate")
    soft = functional.avg_pool2d(padded, 5, 1)
    blur = draw(-1.0, 1.0).clamp(min=0.0)
    crops = crops_B3SS + blur * (soft - crops_B3SS)
    grey = crops.mean(dim=1, keepdim=True)
    crops = grey + (crops - grey) * draw(0.65, 1.35)
    tint = 1.0 + 0.12 * (torch.rand(count, 3, 1, 1, generator=generator) - 0.5)
    crops = (crops * tint * draw(0.65, 1.3)).clamp(1e-4, 1.0) ** draw(0.8, 1.25)
    noise = torch.randn(crops.shape, generator=generator) * draw(0.0, 0.03)
    return (crops + noise).clamp(0.0, 1.0)


def _ramp(cover: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    return np.clip((cover - low) / (high - low), 0.0, 1.0).astype(np.float32)
