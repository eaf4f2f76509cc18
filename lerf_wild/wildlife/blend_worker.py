"""Runs inside a process of its own, with `bpy`: a GLB as a Blender file with its colours shown.

    python blend_worker.py SCENE.glb SCENE.blend

Imports nothing of lerf_wild.
"""

from __future__ import annotations

import sys

import bpy


def main(source: str, target: str) -> None:
    """Imports, paints and saves."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=source)
    for mesh in bpy.data.meshes:
        if len(mesh.polygons) and len(mesh.color_attributes):
            paint(mesh)
    bpy.context.scene.unit_settings.system = "METRIC"
    bpy.ops.wm.save_as_mainfile(filepath=target)


def paint(mesh: bpy.types.Mesh) -> None:
    """A material that shows the colours of the mesh's vertices."""
    material = bpy.data.materials.new(mesh.name)
    material.use_nodes = True
    nodes = material.node_tree.nodes
    colour = nodes.new("ShaderNodeVertexColor")
    colour.layer_name = mesh.color_attributes[0].name
    shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    material.node_tree.links.new(colour.outputs["Color"], shader.inputs["Base Color"])
    mesh.materials.clear()
    mesh.materials.append(material)


if __name__ == "__main__":
    main(*sys.argv[1:3])
