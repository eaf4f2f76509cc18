"""Runs inside a process of its own, with `bpy`: builds a scene from a folder and renders it.

    python blender_worker.py FOLDER

The folder holds `job.json`, `ground.png` and an `object_NNN.safetensors` for each object, in the
level frame: camera at the origin, y forward, z up, metres. Imports nothing of lerf_wild.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from safetensors.numpy import load_file

GROUND_HALF_M, GROUND_TILE_M = 400.0, 24.0
SENSOR_MM = 36.0
EXPOSURE = -2.0
"""Stops at which the physical sun lights a matt ground about as brightly as the ray-caster's."""


def main(folder: Path) -> None:
    """Build, save and render."""
    job = json.loads((folder / "job.json").read_text())
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    add_ground(job, folder / "ground.png")
    for index, path in enumerate(sorted(folder.glob("object_*.safetensors"))):
        add_object(path, index)
    add_camera(job)
    add_sky(job)
    settings(scene, job)
    if job["blend"]:
        bpy.ops.file.pack_all()
        bpy.ops.wm.save_as_mainfile(filepath=job["blend"])
    scene.render.filepath = job["picture"]
    bpy.ops.render.render(write_still=True)
    render_numbers(scene, folder / "instances.png")


def add_object(path: Path, index: int) -> None:
    """A mesh whose vertex colours are its albedo; its pass index is its place plus one."""
    arrays = load_file(path)
    mesh = bpy.data.meshes.new(path.stem)
    mesh.from_pydata(arrays["vertices"].tolist(), [], arrays["faces"].tolist())
    colours = mesh.color_attributes.new("albedo", "FLOAT_COLOR", "POINT")
    rgba = np.column_stack([arrays["albedo"], np.ones(len(arrays["albedo"]))])
    colours.data.foreach_set("color", rgba.astype(np.float32).ravel())
    mesh.polygons.foreach_set("use_smooth", np.ones(len(mesh.polygons), bool))
    thing = bpy.data.objects.new(path.stem, mesh)
    thing.pass_index = index + 1
    bpy.context.collection.objects.link(thing)
    material, shader = diffuse(path.stem)
    colour = material.node_tree.nodes.new("ShaderNodeVertexColor")
    colour.layer_name = "albedo"
    material.node_tree.links.new(colour.outputs["Color"], shader.inputs["Color"])
    mesh.materials.append(material)


def add_ground(job: dict, picture: Path) -> None:
    """A large plane with a repeating picture."""
    half, level = GROUND_HALF_M, -job["camera_height"]
    corners = [(-half, -half, level), (half, -half, level), (half, half, level)]
    corners.append((-half, half, level))
    mesh = bpy.data.meshes.new("ground")
    mesh.from_pydata(corners, [], [(0, 1, 2, 3)])
    layer = mesh.uv_layers.new(name="paint")
    for loop, (x, y, _) in zip(layer.data, corners):
        loop.uv = (x / GROUND_TILE_M + 0.5, y / GROUND_TILE_M + 0.5)
    bpy.context.collection.objects.link(bpy.data.objects.new("ground", mesh))
    material, shader = diffuse("ground")
    image = material.node_tree.nodes.new("ShaderNodeTexImage")
    image.image = bpy.data.images.load(str(picture))
    material.node_tree.links.new(image.outputs["Color"], shader.inputs["Color"])
    mesh.materials.append(material)


def diffuse(name: str) -> tuple[Any, Any]:
    """A matt material and its shader node."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes = material.node_tree.nodes
    nodes.clear()
    shader, output = nodes.new("ShaderNodeBsdfDiffuse"), nodes.new("ShaderNodeOutputMaterial")
    material.node_tree.links.new(shader.outputs["BSDF"], output.inputs["Surface"])
    return material, shader


def add_camera(job: dict) -> None:
    """A camera at the origin; Blender's pitch is that of the program."""
    data = bpy.data.cameras.new("camera")
    data.sensor_fit, data.sensor_width = "HORIZONTAL", SENSOR_MM
    data.lens = job["focal_px"] / job["width"] * SENSOR_MM
    data.clip_end = 2.0 * GROUND_HALF_M
    camera = bpy.data.objects.new("camera", data)
    camera.rotation_euler = (job["pitch"], 0.0, 0.0)
    bpy.context.collection.objects.link(camera)
    bpy.context.scene.camera = camera


def add_sky(job: dict) -> None:
    """The physical sky with the program's sun and air, and haze as a volume of the world."""
    world = bpy.data.worlds.new("world")
    world.use_nodes = True
    bpy.context.scene.world = world
    tree = world.node_tree
    tree.nodes.clear()
    sky = tree.nodes.new("ShaderNodeTexSky")
    kinds = {item.identifier for item in sky.bl_rna.properties["sky_type"].enum_items}
    sky.sky_type = "NISHITA" if "NISHITA" in kinds else "SINGLE_SCATTERING"
    sky.sun_elevation, sky.sun_rotation = job["sun_elevation"], job["sun_rotation"]
    sky.sun_size, sky.sun_intensity = job["sun_size"], job["sun_intensity"]
    sky.air_density, sky.ozone_density = job["air"], job["ozone"]
    # Blender 5 calls dust aerosols.
    dust = "dust_density" if hasattr(sky, "dust_density") else "aerosol_density"
    setattr(sky, dust, job["dust"])
    background = tree.nodes.new("ShaderNodeBackground")
    background.inputs["Strength"].default_value = job["strength"]
    output = tree.nodes.new("ShaderNodeOutputWorld")
    tree.links.new(sky.outputs["Color"], background.inputs["Color"])
    tree.links.new(background.outputs["Background"], output.inputs["Surface"])


def settings(scene: Any, job: dict) -> None:
    """Cycles on the processor, with a fixed seed and the view transform of plain sRGB."""
    scene.render.engine = "CYCLES"
    scene.cycles.device, scene.cycles.samples = "CPU", job["samples"]
    scene.cycles.seed, scene.cycles.use_denoising = 0, False
    scene.render.resolution_x, scene.render.resolution_y = job["width"], job["height"]
    scene.render.resolution_percentage = 100
    scene.render.image_settings.file_format = "PNG"
    scene.view_settings.view_transform = "Standard"
    scene.view_settings.exposure = EXPOSURE
    scene.render.use_persistent_data = True


def render_numbers(scene: Any, path: Path) -> None:
    """Which object each pixel's middle shows: a render of flat, glowing numbers."""
    for thing in scene.objects:
        if thing.type != "MESH":
            continue
        glow = bpy.data.materials.new("number")
        glow.use_nodes = True
        nodes = glow.node_tree.nodes
        nodes.clear()
        shader, output = nodes.new("ShaderNodeEmission"), nodes.new("ShaderNodeOutputMaterial")
        shader.inputs["Color"].default_value = (*[thing.pass_index / 255.0] * 3, 1.0)
        glow.node_tree.links.new(shader.outputs["Emission"], output.inputs["Surface"])
        thing.data.materials.clear()
        thing.data.materials.append(glow)
    scene.world.node_tree.nodes.clear()
    scene.cycles.samples, scene.cycles.filter_width = 1, 0.01
    scene.render.dither_intensity = 0.0
    scene.render.image_settings.color_mode = "BW"
    scene.view_settings.view_transform, scene.view_settings.exposure = "Raw", 0.0
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
