"""Write a habitat as a nerfstudio scene: images, exact depth, instance maps, labels and sparse
points."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image

from lerf_wild.assets import catalogue
from lerf_wild.errors import DatasetError
from lerf_wild.render.raycast import Camera, Picture, RayScene, render
from lerf_wild.storage.atomic import write_bytes, write_json
from lerf_wild.synth.habitat import Habitat, orbit_cameras
from lerf_wild.synth.taxonomy import surely_absent, with_synonyms
from lerf_wild.synth.terrain import STUFF, WATER_ID

TEST_EVERY = 8
"""Every eighth view is held out."""
LABEL_MIN_SHARE = 0.002
"""An object is labelled in a view when it fills at least this share of the pixels (138 at
320x216)."""
DEPTH_UNIT_M = 1e-3


def write_habitat(
    habitat: Habitat,
    folder: Path,
    views: int = 60,
    size: tuple[int, int] = (320, 216),
    samples: int = 2,
    workers: int = 1,
    on_view: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Render ``views`` pictures and write the scene; returns the content of ``scene.json``.

    ``transforms.json`` is written last, so a folder that holds it is complete. The same seed gives
    the same bytes for any number of workers.

    Raises:
        DatasetError: when fewer than 8 views are asked for or the folder already holds another
        scene.
    """
    _check_target(folder, views, size)
    width, height = size
    rng = np.random.default_rng([habitat.seed, 0xCA3E])
    cameras = orbit_cameras(habitat, views, rng, width, height)
    scene = habitat.scene()
    boxes: list[list[dict[str, Any]]] = []
    seen: dict[int, int] = {}
    points = []
    for index, picture in enumerate(render_views(scene, cameras, samples, workers)):
        _write_view(folder, index, picture)
        shapes = view_labels(habitat, picture.instances)
        boxes.append(shapes)
        points.append(_sparse_points(picture, cameras[index], rng))
        for shape in shapes:
            seen[shape["instance"]] = seen.get(shape["instance"], 0) + 1
        on_view()
    _write_labels(folder, boxes, size)
    _write_points(folder / "sparse.ply", points)
    description = describe(habitat, seen)
    write_json(folder / "scene.json", description)
    write_json(folder / "transforms.json", _transforms(cameras))
    return description


def render_views(
    scene: RayScene, cameras: Sequence[Camera], samples: int, workers: int
) -> Iterator[Picture]:
    """Render cameras in order, in this process or in forked workers that share the scene."""
    jobs = [(scene, camera, samples, seed) for seed, camera in enumerate(cameras)]
    if workers <= 1 or "fork" not in multiprocessing.get_all_start_methods():
        yield from map(_render_job, jobs)
        return
    # An embree tree can't be pickled: the workers inherit it by forking.
    _FORKED_JOBS[:] = jobs
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        yield from pool.imap(_render_forked, range(len(jobs)))


def view_labels(habitat: Habitat, instances: NDArray[np.int32]) -> list[dict[str, Any]]:
    """One labelme rectangle a phrase for each object that is large enough in the view."""
    shapes = []
    for object_id, names in label_phrases(habitat).items():
        rows, columns = np.nonzero(instances == object_id)
        if len(rows) < LABEL_MIN_SHARE * instances.size:
            continue
        corners = [[int(columns.min()), int(rows.min())], [int(columns.max()), int(rows.max())]]
        shapes += [
            {"label": name, "shape_type": "rectangle", "points": corners, "instance": object_id}
            for name in names
        ]
    return shapes


def label_phrases(habitat: Habitat) -> dict[int, tuple[str, ...]]:
    """Catalogue phrases that hold of each object, wider kinds included: a fox is a carnivore
    too."""
    known = known_phrases()
    phrases = {item.object_id: item.asset.phrases for item in habitat.items}
    phrases[WATER_ID] = STUFF[WATER_ID]
    return {
        key: tuple(name for name in with_synonyms(names) if name in known)
        for key, names in phrases.items()
    }


def known_phrases() -> frozenset[str]:
    """Every phrase of the catalogue and of water."""
    things = {phrase for entry in catalogue.CATALOGUE.values() for phrase in entry.phrases}
    return frozenset(things | set(STUFF[WATER_ID]))


def describe(habitat: Habitat, seen: dict[int, int]) -> dict[str, Any]:
    """What stands where, which phrases hold of the place and which known phrases do not.

    An object that no view shows well counts neither as present nor as absent.
    """
    instances = [_describe_item(item, seen.get(item.object_id, 0)) for item in habitat.items]
    phrases = label_phrases(habitat)
    present = {p for object_id in seen for p in phrases[object_id]}
    standing = [item.object_id for item in habitat.items]
    standing += [WATER_ID] if habitat.terrain.pond is not None else []
    named = {p for object_id in standing for p in phrases[object_id]}
    return {
        "generator": "lerf-wild habitat",
        "seed": habitat.seed,
        "biome": habitat.terrain.biome,
        "meters_per_unit": 1.0,
        "instances": instances,
        "stuff": {str(key): list(value) for key, value in STUFF.items()},
        "present": sorted(present),
        "absent": list(surely_absent(known_phrases(), named)),
    }


def _describe_item(item, views: int) -> dict[str, Any]:
    return {
        "id": item.object_id,
        "asset": item.asset.name,
        "kind": item.asset.kind,
        "phrases": list(item.asset.phrases),
        "height_m": round(item.asset.height_m * item.scale, 4),
        "position_m": [round(float(x), 4) for x in item.position_3],
        "yaw_rad": round(item.yaw_rad, 5),
        "views": views,
        "provenance": dict(item.asset.provenance),
    }


def _check_target(folder: Path, views: int, size: tuple[int, int]) -> None:
    if views < TEST_EVERY:
        raise DatasetError(f"A habitat needs at least {TEST_EVERY} views, not {views}.")
    if min(size) < 16 or max(size) > 4096:
        raise DatasetError(f"View size {size[0]}x{size[1]} is out of range; use 16 to 4096 pixels.")
    if (folder / "transforms.json").exists():
        raise DatasetError(
            f"{folder} already holds a scene; choose another folder or remove it first."
        )


def _render_job(job) -> Picture:
    scene, camera, samples, seed = job
    return render(scene, camera, samples, seed)


_FORKED_JOBS: list = []


def _render_forked(index: int) -> Picture:
    return _render_job(_FORKED_JOBS[index])


def view_name(index: int) -> str:
    """File stem of a view."""
    return f"frame_{index + 1:05d}"


def _write_view(folder: Path, index: int, picture: Picture) -> None:
    depth_mm = np.clip(picture.depth_m / DEPTH_UNIT_M, 0, 65535).astype(np.uint16)
    for part, array in (
        ("images", picture.rgb),
        ("depth", depth_mm),
        ("instances", picture.instances.astype(np.uint16)),
    ):
        (folder / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / part / f"{view_name(index)}.png", compress_level=3)


def _write_labels(folder: Path, boxes: list[list[dict[str, Any]]], size: tuple[int, int]) -> None:
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    for index in range(0, len(boxes), TEST_EVERY):
        label = {
            "version": "5.0.1",
            "imagePath": f"../images/{view_name(index)}.png",
            "imageWidth": size[0],
            "imageHeight": size[1],
            "shapes": boxes[index],
        }
        write_json(folder / "labels" / f"{view_name(index)}.json", label)


def _sparse_points(
    picture: Picture, camera: Camera, rng: np.random.Generator, count: int = 250
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    rows, columns = np.nonzero(picture.depth_m > 0)
    pick = rng.choice(len(rows), min(count, len(rows)), replace=False)
    rows, columns = rows[pick], columns[pick]
    depth = picture.depth_m[rows, columns]
    x = (columns + 0.5 - camera.width / 2) / camera.focal_px * depth
    y = -(rows + 0.5 - camera.height / 2) / camera.focal_px * depth
    local = np.stack([x, y, -depth], axis=1)
    pose = camera.camera_to_world_34
    return local @ pose[:, :3].T + pose[:, 3], picture.rgb[rows, columns]


def _write_points(path: Path, points: list[tuple[NDArray[np.float64], NDArray[np.uint8]]]) -> None:
    positions = np.concatenate([xyz for xyz, _ in points])
    colours = np.concatenate([rgb for _, rgb in points])
    cloud = trimesh.PointCloud(positions, colors=colours)
    write_bytes(path, cloud.export(file_type="ply"))


def _transforms(cameras: Sequence[Camera]) -> dict[str, Any]:
    first = cameras[0]
    frames = [_frame(index, camera) for index, camera in enumerate(cameras)]
    held_out = [f["file_path"] for i, f in enumerate(frames) if i % TEST_EVERY == 0]
    training = [f["file_path"] for i, f in enumerate(frames) if i % TEST_EVERY != 0]
    return {
        "camera_model": "OPENCV",
        "fl_x": first.focal_px,
        "fl_y": first.focal_px,
        "cx": first.width / 2,
        "cy": first.height / 2,
        "w": first.width,
        "h": first.height,
        "meters_per_unit": 1.0,
        "ply_file_path": "sparse.ply",
        "train_filenames": training,
        "val_filenames": held_out,
        "test_filenames": held_out,
        "frames": frames,
    }


def _frame(index: int, camera: Camera) -> dict[str, Any]:
    matrix = np.vstack([camera.camera_to_world_34, [0.0, 0.0, 0.0, 1.0]])
    name = view_name(index)
    return {
        "file_path": f"images/{name}.png",
        "depth_file_path": f"depth/{name}.png",
        "instance_file_path": f"instances/{name}.png",
        "transform_matrix": matrix.tolist(),
    }
