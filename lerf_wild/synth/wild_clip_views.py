"""Render labelled views of many habitats: the pictures that wild-clip is trained on.

    python -m lerf_wild.synth.wild_clip_views --output-dir views --scenes 300 --views 12

Scenes use seeds from ``FIRST_SEED`` on, which no demo, test or evaluation uses.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from lerf_wild.assets import catalogue
from lerf_wild.assets.mesh import Asset
from lerf_wild.render.raycast import Camera, look_at, render
from lerf_wild.storage.atomic import write_bytes
from lerf_wild.synth.crops import LabelledView
from lerf_wild.synth.habitat import Habitat, make_habitat, name_shares

FIRST_SEED = 1_000_000
VIEW_PX = 256
INFINIGEN_HELD_OUT = ("boulder_9", "carnivore_9", "herbivore_9")
"""Assets of the pack that training never sees, so that unseen assets can be measured. Every phrase
of theirs is true of some other asset too: a phrase that nothing shows would be learnt as false."""

SMALL = (
    *("rabbit", "mallard", "egret", "raven", "flamingo", "mushroom", "veratrum_1", "agave_1"),
    *(name for name in catalogue.CATALOGUE if name.startswith("bird_")),
    *("red fox", "grey wolf", "roe deer fawn", "snowy rock", "grey rock"),
)
"""Assets that fill few pixels or were mistaken most often: some habitats show them alone."""


@dataclass(frozen=True)
class ViewShard:
    """The views of one habitat: pictures (K, H, W, 3), ids (K, H, W) and the phrases of the ids."""

    rgb: np.ndarray
    instances: np.ndarray
    phrases: dict[int, tuple[str, ...]]

    def view(self, index: int) -> LabelledView:
        """One labelled view."""
        return LabelledView(self.rgb[index], self.instances[index], self.phrases)


def grower(variants: int, seed: int) -> Callable[[str, np.random.Generator], Asset]:
    """A grower that keeps ``variants`` of each asset and recolours and rescales them, which is much
    faster."""

    @functools.cache
    def kept(name: str, variant: int) -> Asset:
        key = sum(ord(letter) * 31**i for i, letter in enumerate(name)) % 2**31
        return catalogue.grow(name, np.random.default_rng([seed, key, variant]))

    def grow(name: str, rng: np.random.Generator) -> Asset:
        return vary(kept(name, int(rng.integers(variants))), rng)

    return grow


def vary(asset: Asset, rng: np.random.Generator) -> Asset:
    """A slightly recoloured and stretched copy of an asset."""
    gain = rng.uniform(0.8, 1.2) * rng.uniform(0.93, 1.07, 3)
    colours = np.clip(asset.colours_V3 * gain, 0, 255).astype(np.uint8)
    stretch = rng.uniform(0.85, 1.15) * rng.uniform(0.92, 1.08, 3)
    vertices = (asset.vertices_V3 * stretch).astype(np.float32)
    height = float(asset.height_m * stretch[2])
    return replace(asset, vertices_V3=vertices, colours_V3=colours, height_m=height)


def training_habitat(
    seed: int, grow: Callable[[str, np.random.Generator], Asset], names: Sequence[str]
) -> Habitat:
    """A habitat whose assets are drawn from those named."""
    rng = np.random.default_rng([seed, 5])
    pool = [name for name in names if name not in INFINIGEN_HELD_OUT]
    count = min(int(rng.integers(10, 22)), len(pool))
    names = [str(n) for n in rng.choice(pool, count, replace=False, p=name_shares(pool))]
    return make_habitat(seed, names=names, grow=grow)


def training_cameras(habitat: Habitat, count: int, rng: np.random.Generator) -> list[Camera]:
    """Cameras at all heights, distances and focal lengths, each turned towards an object."""
    cameras = []
    while len(cameras) < count:
        item = habitat.items[rng.integers(len(habitat.items))]
        distance = np.exp(rng.uniform(np.log(1.6), np.log(8.0)))
        angle = rng.uniform(0, 2 * np.pi)
        xy = item.position_3[:2] + distance * np.array([np.cos(angle), np.sin(angle)])
        ground = float(habitat.terrain.height(xy[None].astype(np.float32))[0])
        eye = np.array([*xy, ground + rng.uniform(0.4, 3.4)])
        if min(np.linalg.norm(other.position_3[:2] - xy) for other in habitat.items) < 0.9:
            continue
        target = item.position_3 + [0, 0, rng.uniform(0.1, 0.8) * item.asset.height_m]
        focal = 0.5 * VIEW_PX / np.tan(np.radians(rng.uniform(16.0, 34.0)))
        target = target + rng.normal(0.0, 0.12 * distance, 3) * [1, 1, 0.5]
        cameras.append(Camera(look_at(eye, target), focal, VIEW_PX, VIEW_PX))
    return cameras


def render_shard(habitat: Habitat, views: int) -> ViewShard:
    """Render the views of one habitat."""
    rng = np.random.default_rng([habitat.seed, 9])
    scene = habitat.scene()
    pictures = [
        render(scene, camera, samples=2, seed=i)
        for i, camera in enumerate(training_cameras(habitat, views, rng))
    ]
    phrases = {item.object_id: item.asset.phrases for item in habitat.items}
    rgb = np.stack([picture.rgb for picture in pictures])
    return ViewShard(rgb, np.stack([p.instances for p in pictures]).astype(np.uint8), phrases)


def save_shard(path: Path, shard: ViewShard) -> None:
    """Write a shard as safetensors, the phrases of the ids in its metadata."""
    arrays = {"rgb": shard.rgb, "instances": shard.instances}
    metadata = {str(key): ";".join(value) for key, value in shard.phrases.items()}
    write_bytes(path, save(arrays, metadata))


def load_shard(path: Path) -> ViewShard:
    """Read a shard that ``save_shard`` wrote."""
    with safe_open(path, "np") as stream:
        phrases = {int(key): tuple(text.split(";")) for key, text in stream.metadata().items()}
        return ViewShard(stream.get_tensor("rgb"), stream.get_tensor("instances"), phrases)


def main(
    output_dir: Path,
    scenes: int = 300,
    views: int = 12,
    variants: int = 16,
    first: int = 0,
    step: int = 1,
    small: bool = False,
) -> None:
    """Render ``scenes`` habitats, with ``small`` of small things alone; several processes share the
    work with ``--first k --step n``."""
    output_dir.mkdir(parents=True, exist_ok=True)
    grow = grower(variants, FIRST_SEED)
    names = SMALL if small else tuple(catalogue.CATALOGUE)
    for index in range(first, scenes, step):
        path = output_dir / f"views_{index:05d}.safetensors"
        if not path.exists():
            save_shard(path, render_shard(training_habitat(FIRST_SEED + index, grow, names), views))


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
