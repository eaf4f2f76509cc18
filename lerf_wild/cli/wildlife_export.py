"""`lerf-wild wildlife export`: a populated scene as GLB, USD or Blender file, its views as data."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro
from rich.console import Console

from lerf_wild.cli.camtrap_options import NOWHERE, Survey
from lerf_wild.cli.progress import counting, numbered, say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.wildlife import open_populated
from lerf_wild.errors import ExportError, InputError

if TYPE_CHECKING:
    from lerf_wild.cli.runs import Run
    from lerf_wild.export.camtrap_dp import Medium
    from lerf_wild.wildlife.coco import CocoFile

DEPTH_UNIT_M = 1e-3
MIN_ACCUMULATION = 0.5
Format = Literal["glb", "usd", "blend"]
SUFFIXES = {"glb": ".glb", "usd": ".usdc", "blend": ".blend"}
RENDERED = "a rendered view of a captured place; the time is that of rendering"


@dataclass
class Annotations:
    """What is written about views beside their pictures."""

    coco: "CocoFile"
    frames: list[dict] = field(default_factory=list)
    media: list["Medium"] = field(default_factory=list)
    began: datetime = field(default_factory=lambda: datetime.now(timezone.utc))


def wildlife_export(
    load_config: Path,
    output_dir: Path,
    dataset: bool = True,
    views: Literal["held-out", "train"] = "held-out",
    max_views: int = 0,
    points: bool = True,
    formats: tuple[Format, ...] = ("glb",),
    camtrap_dp: Path | None = None,
    survey: Annotated[Survey, tyro.conf.arg(name="")] = NOWHERE,
    data: Path | None = None,
    json_file: JsonFile = None,
) -> None:
    """Writes a scene with its items: scene.glb, and views with masks, boxes, keypoints and depth.

    The views are a nerfstudio dataset (transforms.json) and a COCO one (coco.json) at once, and
    with --camtrap-dp a package of camera-trap observations too. The relevancy cloud with items is
    written by `lerf-wild export --load-config RUN/wildlife.yml`.

    Args:
        load_config: The run's config.yml.
        output_dir: Folder for the files.
        dataset: Whether views are written too.
        views: Which cameras.
        max_views: The first so many of them; 0 for all.
        points: Whether the scene's files hold the field's surface points.
        formats: Files of the whole scene: glb, usd (needs usd-core), blend (needs bpy).
        camtrap_dp: Folder for a Camtrap DP package of the animals in the views.
        survey: Where, for that package.
        data: Where the capture is now, if it has been moved.
        json_file: Where to write what was written as JSON.
    """
    if not formats and not dataset:
        raise InputError("Say what to write: --formats, --dataset True, or both.")
    if camtrap_dp is not None and not dataset:
        raise InputError("--camtrap-dp tells of the views, so it needs --dataset True.")
    deployment = None if camtrap_dp is None else survey.deployment(None)
    console, run = Console(), open_populated(load_config, data)
    count = write_scene(console, run, output_dir, formats, points)
    figures: dict[str, Any] = {"items": len(run.model.items.shown().scene), "points": count}
    if dataset:
        notes = write_views(console, run, output_dir / "views", views, max_views)
        figures |= {"views": len(notes.frames), "annotations": len(notes.coco.annotations)}
        if deployment is not None and camtrap_dp is not None:
            figures["sightings"] = _write_package(console, camtrap_dp, deployment, notes)
    write_report(json_file, figures)


def write_scene(
    console: Console, run: "Run", folder: Path, formats: tuple[Format, ...], points: bool
) -> int:
    """Writes the files of the whole scene; returns the number of the field's points in them.

    Raises:
        ExportError: when a format needs a package that is missing, or a file can't be written.
    """
    from lerf_wild.wildlife.scene_blend import write_scene_blend
    from lerf_wild.wildlife.scene_glb import write_scene_glb
    from lerf_wild.wildlife.scene_usd import write_scene_usd

    standing = run.model.items.shown().scene.standing
    around = run.model.items.surroundings() if points else None
    cloud = np.zeros((0, 3)) if around is None else around.points_N3
    colours = np.zeros((0, 3), np.uint8) if around is None else around.colours_N3
    glb = folder / "scene.glb"
    # Blender makes its file of the GLB.
    if {"glb", "blend"} & set(formats):
        write_scene_glb(glb, standing, cloud, colours)
    for name in dict.fromkeys(formats):
        path = folder / f"scene{SUFFIXES[name]}"
        if name == "usd":
            write_scene_usd(path, standing, cloud, colours)
        elif name == "blend":
            write_scene_blend(path, glb)
        say(console, f"{path}: {numbered(len(standing), 'item')}, {len(cloud)} points.")
    return len(cloud)


def write_views(
    console: Console, run: "Run", folder: Path, split: str, max_views: int
) -> Annotations:
    """Renders views and writes pictures, depths, masks and annotations; returns what it noted.

    Raises:
        ExportError: when the folder can't be written.
    """
    from lerf_wild.storage.atomic import write_json
    from lerf_wild.wildlife.coco import CocoFile

    cameras = run.dataset(split).cameras  # type: ignore[arg-type]
    count = min(len(cameras), max_views) if max_views > 0 else len(cameras)
    notes = Annotations(CocoFile())
    try:
        with counting(console, "rendering views", count) as advance:
            for index in range(count):
                _write_view(run, cameras, index, folder, notes)
                advance()
        write_json(folder / "coco.json", notes.coco.content())
        write_json(folder / "transforms.json", _transforms(run, cameras, notes.frames))
    except OSError as error:
        raise ExportError(f"{folder}: can't be written ({error.strerror or error}).") from None
    return notes


def _write_view(run: "Run", cameras: Any, index: int, folder: Path, notes: Annotations) -> None:
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
    image = notes.coco.add_image(f"images/{name}", numbers.shape[1], numbers.shape[0])
    for number, one in enumerate(run.model.items.shown().scene.standing):
        points = _keypoints(run, cameras, index, one, reach_m)
        notes.coco.add_item(image, one.item, one.look, numbers == number + 1, points)
    notes.media.append(_medium(run, cameras, index, numbers, notes.began))
    pose = np.vstack([_world_pose(run, cameras, index), [0.0, 0.0, 0.0, 1.0]])
    notes.frames.append(
        {
            "file_path": f"images/{name}",
            "depth_file_path": f"depth/{name}",
            "instance_file_path": f"instances/{name}",
            "transform_matrix": pose.tolist(),
        }
    )


def _medium(
    run: "Run", cameras: Any, index: int, numbers_HW: np.ndarray, began: datetime
) -> "Medium":
    """What a view shows of animals, with their distance and angle from its camera."""
    from lerf_wild.export.camtrap_dp import Medium
    from lerf_wild.wildlife.sightings import kind_of, sighting_of

    items, animals = run.model.items, []
    for number, one in enumerate(items.shown().scene.standing):
        kind = kind_of(one.item, items.library())
        middle = _in_camera(run, cameras, index, one.middle_3[None])[0] * run.length_per_nerf
        if kind is not None:
            animals.append(sighting_of(one.item, kind, numbers_HW == number + 1, middle))
    seen = tuple(animal for animal in animals if animal is not None)
    looks = _world_pose(run, cameras, index)[:, 2]
    tilt = float(-np.degrees(np.arcsin(np.clip(looks @ items.stage.up_3, -1.0, 1.0))))
    time = began + timedelta(seconds=index)
    return Medium(f"images/frame_{index + 1:05d}.png", time, seen, tilt, RENDERED)


def _write_package(console: Console, folder: Path, deployment: Any, notes: Annotations) -> int:
    from lerf_wild import __version__
    from lerf_wild.export.camtrap_dp import write_camtrap_dp

    write_camtrap_dp(folder, deployment, notes.media, f"lerf-wild wildlife {__version__}")
    count = sum(len(medium.animals) for medium in notes.media)
    say(console, f"{folder}: {count} sightings of animals in {len(notes.media)} views.")
    return count


def _in_camera(run: "Run", cameras: Any, index: int, points_N3: np.ndarray) -> np.ndarray:
    """Points of the stage in a camera's axes, in units of the training's frame."""
    pose = cameras.camera_to_worlds[index].numpy().astype(np.float64)
    return (run.model.items.stage.to_nerf(points_N3) - pose[:3, 3]) @ pose[:3, :3]


def _keypoints(run: "Run", cameras: Any, index: int, one: Any, reach_m: np.ndarray) -> np.ndarray:
    """Pixels of an item's keypoints and whether they are seen, by the camera's pinhole part."""
    from lerf_wild.wildlife.coco import seen_keypoints

    local = _in_camera(run, cameras, index, one.placed(one.look.keypoints_P3))
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
