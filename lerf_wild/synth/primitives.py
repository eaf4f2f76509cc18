"""Datasets of primitive scenes: the reference's own stream, and shards of any size.

A shard is one safetensors file: `images` uint8 [N, size, size], `kinds` int8 [N, K], `positions`
float32 [N, K, 3], `rotations` float32 [N, K, 3, 3]. `index.json` names the shards and the
distribution. Each shard has its own seed, so the files don't depend on who writes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from lerf_wild.errors import DatasetError, InputError
from lerf_wild.render.primitive_scenes import (
    ABSENT,
    PrimitiveScenes,
    euler_to_rotation,
)
from lerf_wild.storage.atomic import write_bytes, write_json
from lerf_wild.storage.json_files import read_json
from lerf_wild.storage.safe_paths import inside

REFERENCE_TRAIN, REFERENCE_TEST = 3_000, 500
"""How the reference splits the stream of one seed: training scenes first."""


class Draws(Protocol):
    """What makes images and scenes: `lerf_wild.inverse.primitive_setups.Setup` is one."""

    name: str

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, PrimitiveScenes]:
        """Draws images [count, size, size] in 0-1 and their scenes."""


def reference_scenes(count: int, seed: int, max_objects: int = 3) -> tuple[PrimitiveScenes, Tensor]:
    """The scenes that the reference draws with a seed, in its order, and their Euler angles.

    Its stream is numpy's default generator, and for each scene takes the number of objects, then
    per object the kind, x, y, z and three Euler angles.

    Returns:
        The scenes, sorted by x, and the angles [count, max_objects, 3] in radians.
    """
    rng = np.random.default_rng(seed)
    kinds = np.full((count, max_objects), ABSENT, np.int64)
    positions = np.zeros((count, max_objects, 3))
    angles = np.zeros((count, max_objects, 3))
    for scene in range(count):
        for slot in range(int(rng.integers(1, max_objects + 1))):
            kinds[scene, slot] = rng.integers(0, 3)
            positions[scene, slot] = [rng.uniform(-b, b) for b in (0.9, 0.9, 0.3)]
            angles[scene, slot] = [rng.uniform(0.0, np.pi) for _ in range(3)]
    order = np.argsort(np.where(kinds < 0, np.inf, positions[..., 0]), axis=1, kind="stable")
    angles = torch.from_numpy(np.take_along_axis(angles, order[..., None], 1))
    kinds = np.take_along_axis(kinds, order, 1)
    positions = np.take_along_axis(positions, order[..., None], 1)
    scenes = PrimitiveScenes(
        torch.from_numpy(kinds),
        torch.from_numpy(positions).float(),
        euler_to_rotation(angles).float(),
    )
    return scenes, angles.float()


def reference_test_scenes(seed: int = 0) -> PrimitiveScenes:
    """The reference's 500 test scenes: the last of the 3,500 that it draws with a seed."""
    return reference_scenes(REFERENCE_TRAIN + REFERENCE_TEST, seed)[0][REFERENCE_TRAIN:]


def write_shards(
    folder: Path, count: int, seed: int, setup: Draws, shard_size: int = 1_000
) -> Iterator[Path]:
    """Writes `count` scenes as shards, yielding each file as it is done, then the index."""
    if count < 1 or shard_size < 1:
        raise InputError(f"Give at least one scene, got {count} in shards of {shard_size}.")
    names = []
    for index, start in enumerate(range(0, count, shard_size)):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + index)
        images, scenes = setup.draw(min(shard_size, count - start), generator)
        path = folder / f"shard_{index:05d}.safetensors"
        write_bytes(path, save(_tensors(images, scenes)))
        names.append(path.name)
        yield path
    index_file = {"format": 1, "scenes": count, "seed": seed, "setup": setup.name, "shards": names}
    write_json(folder / "index.json", index_file)


def _tensors(images: Tensor, scenes: PrimitiveScenes) -> dict[str, Tensor]:
    return {
        "images": (images * 255.0).round().to(torch.uint8).contiguous(),
        "kinds": scenes.kinds_BK.to(torch.int8),
        "positions": scenes.positions_BK3.contiguous(),
        "rotations": scenes.rotations_BK33.contiguous(),
    }


def read_shards(folder: Path) -> Iterator[tuple[Tensor, PrimitiveScenes]]:
    """Yields the images (float32, 0-1) and scenes of each shard.

    Raises:
        DatasetError: the index or a shard is missing or wrong.
    """
    from lerf_wild.inverse.weight_files import load_tensors

    index = read_json(folder / "index.json")
    if not isinstance(index, dict) or not isinstance(index.get("shards"), list):
        raise DatasetError(f"{folder / 'index.json'}: no list of shards. Write the dataset again.")
    for name in index["shards"]:
        path = inside(folder, name)
        tensors, _ = load_tensors(path)
        missing = {"images", "kinds", "positions", "rotations"} - tensors.keys()
        if missing:
            raise DatasetError(f"{path}: lacks {', '.join(sorted(missing))}. Write it again.")
        yield (
            tensors["images"].float() / 255.0,
            PrimitiveScenes(tensors["kinds"].long(), tensors["positions"], tensors["rotations"]),
        )
