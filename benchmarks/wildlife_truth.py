"""Items in trained fields against pictures of the same places in which they truly stand.

Each run was trained on a habitat without the items. The habitat is made again from its seed, the
items are stood on free true ground, and its held-out views are rendered with them: that is the
truth. The same items go into the run's population at their true places, heights and headings.

    mask_iou            overlap of item masks, pooled over the views of an item, mean over items
    box_psnr            inside the true box of an item, pooled the same way, median over items
    view_psnr_drop      PSNR of the bare field's views less that of the views with items, dB
    localisation        share of (view, item) pairs whose most relevant pixel lies in the true box
    others_unmoved      share of other phrases' most relevant pixels that stay where they were

Run with `python -m benchmarks.wildlife_truth --runs RUN RUN ... --json FILE`.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from PIL import Image

from lerf_wild.assets import catalogue
from lerf_wild.assets.asset_files import Description
from lerf_wild.assets.library import Library
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.runs import Run
from lerf_wild.cli.wildlife import open_populated
from lerf_wild.errors import DatasetError
from lerf_wild.render.raycast import Camera, Picture, render
from lerf_wild.synth.habitat import Habitat, Placed, make_habitat
from lerf_wild.synth.terrain import under_water
from lerf_wild.wildlife.items import Item, quaternion_of, upright
from lerf_wild.wildlife.population import Population

ITEMS = (
    *("red fox", "grey wolf", "red deer", "zebra", "sheep"),
    *("brown bear", "leopard", "cow", "wild boar", "flamingo"),
)
FIRST_ID = 500
REACH_M = 4.2
MIN_PIXELS = 60
"""Views in which an item shows less than this say nothing about it."""
OTHER_PHRASES = 6


@dataclass
class Pair:
    """One item in one view."""

    item: str
    """Habitat and asset: the same kind of animal in two habitats is two items."""
    inter: int
    union: int
    squared: float
    values: int
    hidden: float
    is_found: bool


def main(
    runs: tuple[Path, ...],
    items_per_habitat: int = 2,
    views: int = 8,
    seed: int = 0,
    pictures: Path | None = None,
    json_file: JsonFile = None,
) -> None:
    """Measures items in runs and writes the figures.

    Args:
        runs: Folders or config.yml of runs that were trained on habitats.
        items_per_habitat: Items that are stood in each.
        views: Held-out views of each.
        seed: Where the items stand.
        pictures: Folder for pictures of truth and answer side by side.
        json_file: Where to write the figures.
    """
    pairs, drops, kept = [], [], []
    for number, path in enumerate(runs):
        names = [ITEMS[(number * items_per_habitat + i) % len(ITEMS)] for i in range(5)]
        found = measure_run(path, names, items_per_habitat, views, seed, pictures)
        pairs += found[0]
        drops += found[1]
        kept += found[2]
        print(f"{path}: {_summary(found[0], found[1], found[2])}", flush=True)
    write_report(json_file, _summary(pairs, drops, kept) | {"runs": len(runs)}, seed=seed)


def measure_run(
    path: Path, names: Sequence[str], count: int, views: int, seed: int, pictures: Path | None
) -> tuple[list[Pair], list[float], list[bool]]:
    """Figures of one run: pairs of item and view, drops of PSNR, and whether others stayed."""
    run = open_populated(path)
    habitat = same_habitat(run.scene)
    stood = stand_extra(habitat, names, count, np.random.default_rng([seed, habitat.seed]))
    truth = replace(habitat, items=(*habitat.items, *stood)).scene()
    with tempfile.TemporaryDirectory() as folder:
        library, population = population_of(stood, Path(folder))
        run.model.items.library = lambda: library
        shown = run.model.items.show(population)
        if shown.troubles:
            raise DatasetError(shown.troubles[0])
        phrases = [item.asset.phrases[0] for item in stood] + _others(run.scene, stood)
        pairs, drops, kept = [], [], []
        for index, camera in list(held_out_cameras(run.scene))[:views]:
            picture = render(truth, camera, 2, index)
            found = _measured_view(run, population, stood, picture, index, phrases)
            pairs += found[0]
            drops.append(found[1])
            kept += found[2]
            if pictures is not None:
                pictures.mkdir(parents=True, exist_ok=True)
                both = np.concatenate([picture.rgb, found[3]], axis=1)
                Image.fromarray(both).save(pictures / f"habitat{habitat.seed}_{index:03d}.png")
    return pairs, drops, kept


def same_habitat(scene: Path) -> Habitat:
    """The habitat that a scene was made of.

    Raises:
        DatasetError: when this version makes another one of the scene's seed.
    """
    described = json.loads((scene / "scene.json").read_text())
    habitat = make_habitat(described["seed"])
    had = [(one["asset"], *one["position_m"]) for one in described["instances"]]
    now = [
        (item.asset.name, *(round(float(x), 4) for x in item.position_3)) for item in habitat.items
    ]
    if had != now:
        raise DatasetError(f"{scene}: made by another version of the generator; make it again.")
    return habitat


def stand_extra(
    habitat: Habitat, names: Sequence[str], count: int, rng: np.random.Generator
) -> list[Placed]:
    """Items that are not in the habitat, on free ground of it."""
    there = {item.asset.name for item in habitat.items}
    stood: list[Placed] = []
    for name in [name for name in (*names, *ITEMS) if name not in there]:
        if len(stood) == count:
            break
        asset = catalogue.grow(name, np.random.default_rng([habitat.seed, 99, len(stood)]))
        scale = float(np.clip(asset.height_m, 0.5, 1.1) / asset.height_m)
        spot = _spot(habitat, [*habitat.items, *stood], scale * _radius(asset), rng)
        if spot is None or name in {item.asset.name for item in stood}:
            continue
        height = float(habitat.terrain.height(spot[None].astype(np.float32))[0])
        yaw = float(rng.uniform(0, 2 * np.pi))
        position = np.array([*spot, height])
        stood.append(Placed(FIRST_ID + len(stood), asset, position, yaw, scale))
    return stood


def population_of(stood: Sequence[Placed], folder: Path) -> tuple[Library, Population]:
    """The items as a library and a population that stands where they truly stand."""
    library, items = Library({}, folder), []
    for number, one in enumerate(stood):
        name = f"truth_{number}"
        about = Description("rock", one.asset.name, one.asset.phrases, "Apache-2.0", {})
        library = library.add(replace(one.asset, name=name), about)
        items.append(
            Item(
                id=name,
                asset=name,
                position=tuple(float(x) for x in one.position_3),
                rotation=quaternion_of(upright(one.yaw_rad)),
                height_m=one.asset.height_m * one.scale,
                phrases=one.asset.phrases,
            )
        )
    return library, Population(tuple(items))


def held_out_cameras(scene: Path) -> list[tuple[int, Camera]]:
    """Number among the held-out views, and camera, of each held-out view."""
    content = json.loads((scene / "transforms.json").read_text())
    frames = {frame["file_path"]: frame for frame in content["frames"]}
    size = (content["fl_x"], content["w"], content["h"])
    return [
        (index, Camera(np.array(frames[name]["transform_matrix"])[:3], *size))
        for index, name in enumerate(content["test_filenames"])
    ]


def _measured_view(
    run: Run,
    population: Population,
    stood: Sequence[Placed],
    picture: Picture,
    index: int,
    phrases: Sequence[str],
) -> tuple[list[Pair], float, list[bool], np.ndarray]:
    held_out, query = run.dataset("held-out"), run.query(phrases)
    run.model.items.show(Population())
    bare = run.answer(held_out.cameras, index, query)
    run.model.items.show(population)
    full = run.answer(held_out.cameras, index, query)
    without = (held_out[index]["image"].numpy() * 255).round().astype(np.uint8)
    drop = _psnr(bare.rgb_HW3, without) - _psnr(full.rgb_HW3, picture.rgb)
    numbers = full.outputs["items"][..., 0].numpy()
    pairs = []
    for number, one in enumerate(stood):
        true = picture.instances == one.object_id
        if true.sum() < MIN_PIXELS:
            continue
        mine = numbers == number + 1
        rows, columns = np.nonzero(true)
        box = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
        error = full.rgb_HW3[box].astype(float) - picture.rgb[box]
        peak = np.unravel_index(full.relevancy_HWP[..., number].argmax(), true.shape)
        inside = all(part.start <= at < part.stop for part, at in zip(box, peak))
        whole = _silhouette(run, held_out.cameras, index, number)
        hidden = 1.0 - true.sum() / max(int(whole), 1)
        pairs.append(
            Pair(
                f"{run.scene} {one.asset.name}",
                int((true & mine).sum()),
                int((true | mine).sum()),
                float((error**2).sum()),
                error.size,
                float(np.clip(hidden, 0, 1)),
                inside,
            )
        )
    free = numbers == 0
    moved = []
    for number in range(len(stood), len(phrases)):
        before = np.unravel_index(bare.relevancy_HWP[..., number].argmax(), free.shape)
        after = np.unravel_index(full.relevancy_HWP[..., number].argmax(), free.shape)
        if free[before]:
            moved.append(before == after)
    return pairs, drop, moved, full.rgb_HW3


def _silhouette(run: Run, cameras: Any, index: int, number: int) -> int:
    """Pixels that an item would fill if nothing were before it."""
    rays = cameras.generate_rays(index, keep_shape=True)
    stage, scene = run.model.items.stage, run.model.items.shown().scene
    origins = stage.from_nerf(rays.origins.reshape(-1, 3).numpy())
    directions = stage.directions_from_nerf(rays.directions.reshape(-1, 3).numpy())
    return int((scene.trace(origins, directions).index_N == number).sum())


def _others(scene: Path, stood: Sequence[Placed]) -> list[str]:
    """Phrases that hold of the scene and of none of the items."""
    described = json.loads((scene / "scene.json").read_text())
    own = {phrase for item in stood for phrase in item.asset.phrases}
    firsts = [one["phrases"][0] for one in described["instances"] if one["views"] > 5]
    return [name for name in dict.fromkeys(firsts) if name not in own][:OTHER_PHRASES]


def _spot(
    habitat: Habitat, items: Sequence[Placed], radius_m: float, rng: np.random.Generator
) -> np.ndarray | None:
    """Free ground of the habitat; the truth of what stands where decides."""
    for _ in range(4000):
        reach, angle = REACH_M * np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
        spot = np.array([reach * np.cos(angle), reach * np.sin(angle)])
        if under_water(habitat.terrain, spot[None].astype(np.float32), radius_m)[0]:
            continue
        gaps = [
            np.linalg.norm(spot - item.position_3[:2]) - item.scale * _radius(item.asset)
            for item in items
        ]
        if min(gaps) > radius_m + 0.05:
            return spot
    return None


def _radius(asset: Any) -> float:
    low = asset.vertices_V3[asset.vertices_V3[:, 2] < 1.0]
    return float(np.linalg.norm(low[:, :2], axis=1).max())


def _psnr(first: np.ndarray, second: np.ndarray) -> float:
    return _decibels(float(((first.astype(float) - second) ** 2).mean()))


def _decibels(squared: float) -> float:
    return 10.0 * np.log10(255.0**2 / max(squared, 1e-9))


def _summary(
    pairs: Sequence[Pair], drops: Sequence[float], kept: Sequence[bool]
) -> dict[str, float]:
    names = sorted({pair.item for pair in pairs})
    overlaps, noises = [], []
    for name in names:
        own = [pair for pair in pairs if pair.item == name]
        overlaps.append(sum(p.inter for p in own) / max(sum(p.union for p in own), 1))
        noises.append(_decibels(sum(p.squared for p in own) / sum(p.values for p in own)))
    return {
        "mask_iou": float(np.mean(overlaps)) if overlaps else float("nan"),
        "mask_iou_lowest": float(np.min(overlaps)) if overlaps else float("nan"),
        "box_psnr": float(np.median(noises)) if noises else float("nan"),
        "box_psnr_lowest": float(np.min(noises)) if noises else float("nan"),
        "view_psnr_drop": float(np.mean(drops)) if drops else float("nan"),
        "localisation": float(np.mean([p.is_found for p in pairs])) if pairs else float("nan"),
        "others_unmoved": float(np.mean(kept)) if kept else float("nan"),
        "half_hidden": sum(0.2 < p.hidden < 0.8 for p in pairs),
        "items": len(names),
        "pairs": len(pairs),
    }


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.FlagConversionOff,))
