"""Scene programs as GLB and USD files that other programs open.

Both are in metres with y up, the ground under the camera at y = 0; the camera looks along -z at no
yaw. Licences of the assets travel along as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image
from trimesh.visual.material import PBRMaterial

from lerf_wild.errors import ExportError
from lerf_wild.program.types import Program
from lerf_wild.render.light import to_srgb
from lerf_wild.render.scene_program import (
    AssetFinder,
    Placement,
    asset_named,
    camera_height_m,
    focal_px,
    placements,
)
from lerf_wild.render.sky import light_of, sun_direction
from lerf_wild.storage.atomic import atomic_path, write_bytes, writing
from lerf_wild.synth.grounds import GROUNDS, ground_paint
from lerf_wild.synth.terrain import PAINTED_HALF_M

GROUND_HALF_M = 48.0
Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""Takes the level frame (y forward, z up) to the files' frame (y up, -z forward)."""
APERTURE_MM = 24.0


def write_glb(path: Path, program: Program, find: AssetFinder = asset_named) -> None:
    """Write meshes with vertex colours and a textured ground.

    Raises:
        ExportError: when the file can't be written.
    """
    scene = trimesh.Scene()
    scene.add_geometry(_ground_mesh(program), node_name="ground")
    lift = camera_height_m(program)
    for i, place in enumerate(placements(program, find)):
        mesh = trimesh.Trimesh(file_vertices(place, lift), place.asset.faces_F3, process=False)
        mesh.visual = trimesh.visual.ColorVisuals(mesh, vertex_colors=vertex_colours(place))
        name = f"object_{i + 1}_{place.asset.name.replace(' ', '_')}"
        scene.add_geometry(mesh, node_name=name, geom_name=name)
    _save(path, scene.export(file_type="glb"))


def write_usd(path: Path, program: Program, find: AssetFinder = asset_named) -> None:
    """Write a USD stage (.usda or .usdc by the name) with meshes, camera, sun and sky.

    Raises:
        ExportError: when usd-core is missing or the file can't be written.
    """
    try:
        from pxr import Gf, Usd, UsdGeom, UsdLux
    except ImportError:
        raise ExportError(
            "USD files need the package usd-core; install it with `pip install usd-core`."
        ) from None
    try:
        with atomic_path(path) as file:
            # Usd chooses the format by the suffix, which the temporary name lacks.
            named = file.with_name(file.name + path.suffix)
            stage = Usd.Stage.CreateNew(str(named))
            UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
            UsdGeom.SetStageMetersPerUnit(stage, 1.0)
            root = UsdGeom.Xform.Define(stage, "/Scene")
            stage.SetDefaultPrim(root.GetPrim())
            lift = camera_height_m(program)
            for name, (vertices, faces, colours) in _usd_meshes(program, find, lift).items():
                mesh = UsdGeom.Mesh.Define(stage, f"/Scene/{name}")
                mesh.CreatePointsAttr(vertices.tolist())
                mesh.CreateFaceVertexCountsAttr([3] * len(faces))
                mesh.CreateFaceVertexIndicesAttr(faces.ravel().tolist())
                mesh.CreateSubdivisionSchemeAttr("none")
                shown = mesh.CreateDisplayColorPrimvar(UsdGeom.Tokens.vertex)
                shown.Set([Gf.Vec3f(*map(float, row)) for row in colours])
            _usd_camera(UsdGeom.Camera.Define(stage, "/Scene/camera"), program, lift, Gf)
            _usd_sun(UsdLux.DistantLight.Define(stage, "/Scene/sun"), program, Gf)
            stage.GetRootLayer().Save()
            named.replace(file)
    except (OSError, RuntimeError) as error:
        raise ExportError(f"{path}: can't be written ({str(error)[:100]}).") from None


def file_vertices(place: Placement, lift_m: float) -> NDArray[np.float32]:
    """Vertices (V, 3) of an object in the files' frame."""
    level = place.height_m * place.asset.vertices_V3 @ place.turn_33.T + place.foot_3
    return ((level + [0.0, 0.0, lift_m]) @ Y_UP.T).astype(np.float32)


def vertex_colours(place: Placement) -> NDArray[np.uint8]:
    """sRGB colours (V, 3) of an object."""
    return to_srgb(place.asset.albedo_V3)


def _ground_mesh(program: Program) -> trimesh.Trimesh:
    half = GROUND_HALF_M
    corners = np.array([[-half, 0, half], [half, 0, half], [half, 0, -half], [-half, 0, -half]])
    uv = np.stack([corners[:, 0], -corners[:, 2]], axis=1)
    uv = (uv + PAINTED_HALF_M) / (2 * PAINTED_HALF_M)
    picture = Image.fromarray(to_srgb(ground_paint(_ground_name(program)))[::-1])
    material = PBRMaterial(
        baseColorTexture=picture, roughnessFactor=1.0, metallicFactor=0.0, name="ground"
    )
    visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False)


def _ground_name(program: Program) -> str:
    name = program.settings.ground_name
    return name if name in GROUNDS else GROUNDS[0]


def _usd_meshes(
    program: Program, find: AssetFinder, lift: float
) -> Mapping[str, tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]]:
    half = np.float32(GROUND_HALF_M)
    corners = np.float32([[-half, 0, half], [half, 0, half], [half, 0, -half], [-half, 0, -half]])
    tone = ground_paint(_ground_name(program)).mean(axis=(0, 1))
    meshes = {"ground": (corners, np.int32([[0, 1, 2], [0, 2, 3]]), np.tile(tone, (4, 1)))}
    for i, place in enumerate(placements(program, find)):
        name = "".join(c if c.isalnum() else "_" for c in place.asset.name)
        meshes[f"object_{i + 1}_{name}"] = (
            file_vertices(place, lift),
            place.asset.faces_F3,
            place.asset.albedo_V3,
        )
    return meshes


def _usd_camera(camera, program: Program, lift: float, Gf) -> None:
    camera.CreateVerticalApertureAttr(APERTURE_MM)
    camera.CreateHorizontalApertureAttr(APERTURE_MM)
    camera.CreateFocalLengthAttr(focal_px(program, 1) * APERTURE_MM)
    camera.AddTranslateOp().Set(Gf.Vec3d(0.0, lift, 0.0))
    camera.AddRotateXOp().Set(program.settings.camera_pitch_deg - 90.0)


def _usd_sun(sun, program: Program, Gf) -> None:
    light = light_of(program.settings)
    settings = program.settings
    towards = Y_UP @ sun_direction(settings.sun_elevation_rad, settings.sun_rotation_deg)
    sun.CreateColorAttr(Gf.Vec3f(*map(float, light.sun_colour_3 / light.sun_colour_3.max())))
    sun.CreateIntensityAttr(float(light.sun_colour_3.max()))
    sun.CreateAngleAttr(float(np.degrees(settings.sun_size_rad)))
    # A distant light shines along -z; turn that away from the sun.
    turn = Gf.Rotation(Gf.Vec3d(0, 0, 1), Gf.Vec3d(*map(float, towards)))
    sun.AddTransformOp().Set(Gf.Matrix4d().SetRotate(turn))


def _save(path: Path, data: bytes) -> None:
    with writing(path):
        write_bytes(path, data)
