"""A populated place as a Blender file, made of its GLB by Blender itself in a process of its own.

`bpy` is Blender as a Python module (`pip install bpy`, Python 3.11). It keeps global state and may
end its process, so that it never runs in ours.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from lerf_wild.errors import ExportError
from lerf_wild.render.blender import have_blender
from lerf_wild.storage.atomic import atomic_path

WORKER = Path(__file__).with_name("blend_worker.py")
TIMEOUT_S = 600


def write_scene_blend(path: Path, glb: Path) -> None:
    """Writes a .blend file of a GLB: nodes are objects, extras are custom properties.

    Raises:
        ExportError: when bpy is missing, fails, or the file can't be written.
    """
    if not have_blender():
        raise ExportError(
            "Blender's module bpy is missing; install it with `pip install bpy` on Python 3.11, "
            "or open the GLB in Blender."
        )
    try:
        with atomic_path(path) as file, tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "scene.blend"
            _run([sys.executable, str(WORKER), str(glb.resolve()), str(made)], made)
            file.write_bytes(made.read_bytes())
    except OSError as error:
        raise ExportError(f"{path}: can't be written ({error.strerror or error}).") from None


def _run(command: list[str], made: Path) -> None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ExportError(f"Blender took longer than {TIMEOUT_S // 60} minutes.") from None
    if done.returncode != 0 or not made.is_file():
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise ExportError(f"Blender failed (code {done.returncode}): {lines[-1][:200]}")
