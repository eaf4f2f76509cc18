"""Scene programs in Blender: a .blend file and a Cycles picture, made in a process of its own.

`bpy` is Blender as a Python module (`pip install bpy`, Python 3.11). It keeps global state and may
end its process, so that it never runs in ours: meshes and settings go through a folder of
files to `lerf_wild.render.blender_worker`.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file

from lerf_wild.errors import ExportError
from lerf_wild.program.types import Program
from lerf_wild.render.light import to_srgb
from lerf_wild.render.scene_program import (
    FIRST_ID,
    AssetFinder,
    asset_named,
    camera_height_m,
    focal_px,
    placements,
)
from lerf_wild.storage.atomic import write_json
from lerf_wild.synth.grounds import GROUNDS, ground_paint

WORKER = Path(__file__).with_name("blender_worker.py")
TIMEOUT_S = 1800


@dataclass(frozen=True)
class BlenderPicture:
    """What Cycles saw; instance numbers are those of `render_program`, 0 for ground and sky."""

    rgb: NDArray[np.uint8]
    instances: NDArray[np.int32]


def have_blender() -> bool:
    """Whether `bpy` is installed for this Python."""
    return importlib.util.find_spec("bpy") is not None


def render_in_blender(
    program: Program,
    picture_path: Path,
    width: int = 256,
    height: int = 256,
    samples: int = 32,
    blend_path: Path | None = None,
    find: AssetFinder = asset_named,
) -> BlenderPicture:
    """Render a program with Cycles and Blender's physical sky; optionally keep the .blend.

    Raises:
        ExportError: when bpy is missing, fails, or takes longer than half an hour.
    """
    if not have_blender():
        raise ExportError(
            "Blender's module bpy is missing; install it with `pip install bpy` on Python 3.11, "
            "or render with the ray-caster."
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_scene(folder, program, find)
        job = {
            "width": width,
            "height": height,
            "samples": samples,
            "focal_px": focal_px(program, height),
            "picture": str(picture_path.resolve()),
            "blend": None if blend_path is None else str(blend_path.resolve()),
            **_light(program),
        }
        write_json(folder / "job.json", job)
        for path in filter(None, (picture_path, blend_path)):
            path.parent.mkdir(parents=True, exist_ok=True)
        _run(folder)
        rgb = np.asarray(Image.open(picture_path).convert("RGB"))
        numbers = np.asarray(Image.open(folder / "instances.png").convert("L")).astype(np.int32)
    return BlenderPicture(rgb, np.where(numbers > 0, numbers - 1 + FIRST_ID, 0).astype(np.int32))


def _write_scene(folder: Path, program: Program, find: AssetFinder) -> None:
    for i, place in enumerate(placements(program, find)):
        level = place.height_m * place.asset.vertices_V3 @ place.turn_33.T + place.foot_3
        arrays = {
            "vertices": level.astype(np.float32),
            "faces": np.ascontiguousarray(place.asset.faces_F3, np.int32),
            "albedo": np.ascontiguousarray(place.asset.albedo_V3, np.float32),
        }
        save_file(arrays, folder / f"object_{i:03d}.safetensors")
    name = program.settings.ground_name
    paint = ground_paint(name if name in GROUNDS else GROUNDS[0])
    Image.fromarray(to_srgb(paint)[::-1]).save(folder / "ground.png")


def _light(program: Program) -> dict[str, float]:
    settings = program.settings
    return {
        "sun_elevation": settings.sun_elevation_rad,
        "sun_rotation": float(np.radians(settings.sun_rotation_deg)),
        "sun_size": max(settings.sun_size_rad, 1e-3),
        "sun_intensity": settings.sun_intensity,
        "strength": settings.sun_strength,
        "air": settings.air,
        "dust": settings.dust,
        "ozone": settings.ozone,
        "haze_per_m": settings.haze_per_m,
        "pitch": float(np.radians(settings.camera_pitch_deg)),
        "camera_height": camera_height_m(program),
    }


def _run(folder: Path) -> None:
    command = [sys.executable, str(WORKER), str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ExportError(
            f"Blender took longer than {TIMEOUT_S // 60} minutes; give fewer samples or pixels."
        ) from None
    if done.returncode != 0 or not (folder / "instances.png").is_file():
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise ExportError(f"Blender failed (code {done.returncode}): {lines[-1][:200]}")
