"""Run by Infinigen's own Python: joins what it exported, thins it, and writes one GLB.

    python infinigen_finish.py EXPORT_FOLDER OUT.glb

It imports nothing of lerf-wild, which is not installed there.
"""

from __future__ import annotations

import sys
from pathlib import Path

TRIANGLES = 9_000


def main(folder: Path, out: Path) -> None:
    """Join every OBJ below a folder into one mesh of at most TRIANGLES, with its textures."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    files = sorted(folder.rglob("*.obj"))
    if not files:
        raise SystemExit(f"Infinigen exported no mesh into {folder}.")
    for file in files:
        bpy.ops.wm.obj_import(filepath=str(file))
    meshes = [item for item in bpy.context.scene.objects if item.type == "MESH"]
    bpy.ops.object.select_all(action="DESELECT")
    for item in meshes:
        item.select_set(True)
    bpy.context.view_layer.objects.active = meshes[0]
    bpy.ops.object.join()
    whole = bpy.context.view_layer.objects.active
    triangles = sum(len(face.vertices) - 2 for face in whole.data.polygons)
    if triangles > TRIANGLES:
        thinner = whole.modifiers.new("thinner", "DECIMATE")
        thinner.ratio = TRIANGLES / triangles
        bpy.ops.object.modifier_apply(modifier=thinner.name)
    bpy.ops.export_scene.gltf(filepath=str(out), export_format="GLB", use_selection=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
