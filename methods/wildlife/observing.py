"""What photos and field say around an item: rays of the training cameras that pass it.

Symbols: R rays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lerf_wild.wildlife.refining import Observed, joined, near_rays
from lerf_wild.wildlife.tracing import Standing

MAX_VIEWS = 12
MAX_RAYS = 500
"""Of each view; three hundred say nearly as much."""
MIN_RAYS = 40
MIN_ACCUMULATION = 0.5


@torch.no_grad()
def observe(pipeline: Any, one: Standing, seed: int = 0) -> Observed:
    """Rays through an item's surroundings from the training views that see most of it.

    The field is marched without any item. Views are taken in the order of how many of their rays
    pass it.
    """
    dataset = pipeline.datamanager.train_dataset
    generator = np.random.default_rng(seed)
    stage = pipeline.model.items.stage
    chosen = []
    for index in range(len(dataset)):
        rays = dataset.cameras.generate_rays(index, keep_shape=False)
        origins = stage.from_nerf(rays.origins.reshape(-1, 3).numpy())
        directions = stage.directions_from_nerf(rays.directions.reshape(-1, 3).numpy())
        rows = near_rays(origins, directions, one)
        if len(rows) >= MIN_RAYS:
            chosen.append((len(rows), index, rows, origins, directions))
    chosen.sort(key=lambda entry: (-entry[0], entry[1]))
    parts = []
    for _, index, rows, origins, directions in chosen[:MAX_VIEWS]:
        if len(rows) > MAX_RAYS:
            rows = np.sort(generator.choice(rows, MAX_RAYS, replace=False))
        distance, colours = _marched(pipeline, dataset, index, rows)
        parts.append(Observed(origins[rows], directions[rows], distance, colours))
    if not parts:
        none = np.zeros((0, 3))
        return Observed(none, none, np.zeros(0), none)
    return joined(parts, one)


def _marched(
    pipeline: Any, dataset: Any, index: int, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Metres at which the field stops rays, and the photo's colours along them."""
    model, stage = pipeline.model, pipeline.model.items.stage
    rays = dataset.cameras.generate_rays(index, keep_shape=True).flatten()
    bundle = rays[torch.from_numpy(rows)]
    items, model._items = model._items, []
    try:
        outputs, _ = model.shade(bundle.to(model.device))
    finally:
        model._items = items
    distance = outputs["depth"][:, 0].cpu().numpy().astype(np.float64) * stage.metres_per_nerf
    stopped = outputs["accumulation"][:, 0].cpu().numpy() >= MIN_ACCUMULATION
    return np.where(stopped, distance, np.inf), _colours(dataset, index, rows)


def _colours(dataset: Any, index: int, rows: np.ndarray) -> np.ndarray:
    """A photo's colours at rays, which are counted by its camera's width: folders of downscaled
    photos may be a pixel larger or smaller."""
    image = dataset[index]["image"][..., :3].cpu().numpy().astype(np.float64)
    row, column = np.divmod(rows, int(dataset.cameras.width[index]))
    return image[row.clip(max=image.shape[0] - 1), column.clip(max=image.shape[1] - 1)]
