"""`lerf-wild wildlife export`: a populated scene as GLB, and its views as a dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from rich.console import Console

from lerf_wild.cli.progress import counting, say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.wildlife import open_populated
from lerf_wild.errors import ExportError

if TYPE_CHECKING:
    from lerf_wild.cli.runs import Run
    from lerf_wild.wildlife.coco import CocoFile

DEPTH_UNIT_M = 1e-3
MIN_ACCUMULATION = 0.5


def wildlife_export(
    load_config: Path,
    output_dir: Path,
    dataset: bool = True,
    views: Literal["held-out", "train"] = "held-out",
    max_views: int = 0,
    points: bool = True,
    data: Path | None = None,
    json_file: JsonFile = None,
) -> None:
    """Writes a scene with its items: scene.glb, and views with masks, boxes, keypoints and depth.

    The views are a nerfstudio dataset (transforms.json) and a COCO one (coco.json) at once. The
    relevancy cloud with items is written by `lerf-wild export --load-config RUN/wildlife.yml`.

    Args:
        load_config: The run's config.yml.
        output_dir: Folder for the files.
        dataset: Whether views are written too.
        views: Which cameras.
        max_views: The first so many of them; 0 for all.
        points: Whether the GLB holds the field's surface points.
        data: Where the capture is now, if it has been moved.
        json_file: Where to write what was written as JSON.
    """
    from lerf_wild.wildlife.scene_glb import write_scene_glb

    console, run = Console(), open_populated(load_config, data)
    items = run.model.items
    standing = items.shown().scene.standing
    surroundings = items.surroundings() if points else None
    cloud = np.zeros((0, 3)) if surroundings is None else surroundings.points_N3
    colours = np.zeros((0, 3), np.uint8) if surroundings is None else surroundings.colours_N3
    write_scene_glb(output_dir / "scene.glb", standing, cloud, colours)
    say(console, f"{output_dir / 'scene.glb'}: {len(standing)} items, {len(cloud)} points.")
    figures: dict[str, Any] = {"items": len(standing), "points": len(cloud)}
    if dataset:
        figures |= write_views(console, run, output_dir / "views", views, max_views)
    write_report(json_file, figures)


def write_views(
    console: Console, run: "Run", folder: Path, split: str, max_views: int
) -> dict[str, int]:
    """Renders views and writes pictures, depths, masks and annotations; returns their numbers.

    Raises:
        ExportError: when the folder can't be written.
    """
    from lerf_wild.storage.atomic import write_json
    from lerf_wild.wildlife.coco import CocoFile

    cameras = run.dataset(split).cameras  # type: ignore[arg-type]
    count = min(len(cameras), max_views) if max_views > 0 else len(cameras)
    coco, frames = CocoFile(), []
    try:
        with counting(console, "rendering views", count) as advance:
            for index in range(count):
                frames.append(_write_view(run, cameras, index, folder, coco))
                advance()
        write_json(folder / "coco.json", coco.content())
        write_json(folder / "transforms.json", _transforms(run, cameras, frames))
    except OSError as error:
        raise ExportError(f"{folder}: can't be written ({error.strerror or error}).") from None
    return {"views": count, "annotations": len(coco.annotations)}


def _write_view(run: "Run", cameras: Any, index: int, folder: Path, coco: "CocoFile") -> dict:
    from PIL import Image

    found = run.answer(cameras, index, None)
    name = f"frame_{index + 1:05d}.png"
    numbers = found.outputs["items"][..., 0].numpy().astype(np.uint16)
    reach_m = found.outputs["depth"][..., 0].numpy() * run.length_per_nerf
    reach_m = np.where(found.outputs["accumulation"][..., 0].numpy() < MIN_ACCUMULATION, 0, reach_m)
    along_m = reach_m * _cosines(cameras, index)
    millimetres = np.clip(along_m / DEPTH_UNIT_M, 0, 65535).astype(np.uint16)
    for part, array in (("images", found.rgb_HW3), ("depth", millimetres), ("instances", numbers)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / part / name)
    image = coco.add_image(f"images/{name}", numbers.shape[1], numbers.shape[0])
    for number, one in enumerate(run.model.items.shown().scene.standing):
        points = _keypoints(run, cameras, index, one, reach_m)
        coco.add_item(image, one.item, one.look, numbers == number + 1, points)
    pose = np.vstack([_world_pose(run, cameras, index), [0.0, 0.0, 0.0, 1.0]])
    return {
        "file_path": f"images/{name}",
        "depth_file_path": f"depth/{name}",
        "instance_file_path": f"instances/{name}",
        "transform_matrix": pose.tolist(),
    }


def _keypoints(run: "Run", cameras: Any, index: int, one: Any, reach_m: np.ndarray) -> np.ndarray:
    """Pixels of an item's keypoints and whether they are seen, by the camera's pinhole part."""
    from lerf_wild.wildlife.coco import seen_keypoints

    points = run.model.items.stage.to_nerf(one.placed(one.look.keypoints_P3))
    pose = cameras.camera_to_worlds[index].numpy().astype(np.float64)
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    depth = np.where(local[:, 2] < 0, -local[:, 2], np.nan)
    fx, fy, cx, cy = (float(getattr(cameras, name)[index]) for name in ("fx", "fy", "cx", "cy"))
    pixels = np.stack([cx + fx * local[:, 0] / depth, cy - fy * local[:, 1] / depth], axis=1)
    distance_m = np.linalg.norm(local, axis=1) * run.length_per_nerf
    shown_m = np.where(reach_m > 0, reach_m, np.inf)
    return seen_keypoints(pixels, distance_m, shown_m)


def _cosines(cameras: Any, index: int) -> np.ndarray:
    """Cosine of the angle between each pixel's ray and the optical axis."""
    rays = cameras.generate_rays(index, keep_shape=True)
    forward = -cameras.camera_to_worlds[index, :3, 2]
    return (rays.directions @ forward.to(rays.directions)).numpy()


def _world_pose(run: "Run", cameras: Any, index: int) -> np.ndarray:
    """Camera-to-world matrix (3, 4) in the capture's coordinates."""
    pose = cameras.camera_to_worlds[index].numpy().astype(np.float64)
    turn = run.directions_to_world(pose[:3, :3].T).T
    return np.column_stack([turn, run.to_world(pose[None, :3, 3])[0]])


def _transforms(run: "Run", cameras: Any, frames: list[dict]) -> dict[str, Any]:
    first = {name: float(getattr(cameras, name)[0]) for name in ("fx", "fy", "cx", "cy")}
    content: dict[str, Any] = {
        "camera_model": "OPENCV",
        "fl_x": first["fx"],
        "fl_y": first["fy"],
        "cx": first["cx"],
        "cy": first["cy"],
        "w": int(cameras.width[0]),
        "h": int(cameras.height[0]),
        "frames": frames,
    }
    if run.meters_per_unit is not None:
        content["meters_per_unit"] = run.meters_per_unit
    return content
