"""A populated place as a USD stage: a transform for each item, the field as coloured points.

The stage is in metres, y up, as the GLB is; what an item is, its phrases, licence and provenance
are its transform's user properties, which Blender shows as custom properties.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerf_wild.errors import ExportError
from lerf_wild.render.light import to_linear
from lerf_wild.storage.atomic import atomic_path
from lerf_wild.wildlife.scene_glb import FIELD_NODE, Y_UP_33, extras_of, node_transform
from lerf_wild.wildlife.tracing import Standing

ROOT = "/Scene"
POINT_WIDTH_M = 0.03
PREFIX = "userProperties:"


def write_scene_usd(
    path: Path,
    standing: Sequence[Standing],
    points_N3: NDArray,
    colours_N3: NDArray[np.uint8],
) -> None:
    """Writes items and the field's surface points (.usda or .usdc by the name).

    Args:
        path: The file.
        standing: Items on the stage.
        points_N3: Surface points on the stage; none for items alone.
        colours_N3: Their sRGB colours.

    Raises:
        ExportError: when usd-core is missing, there is nothing to write, or the file can't be.
    """
    try:
        from pxr import Usd, UsdGeom
    except ImportError:
        raise ExportError(
            "USD files need the package usd-core; install it with `pip install usd-core`."
        ) from None
    if not standing and len(points_N3) == 0:
        raise ExportError(f"{path}: there is neither an item nor a point to write.")
    try:
        with atomic_path(path) as file:
            # Usd chooses the format by the suffix, which the temporary name lacks.
            named = file.with_name(file.name + path.suffix)
            stage = Usd.Stage.CreateNew(str(named))
            UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
            UsdGeom.SetStageMetersPerUnit(stage, 1.0)
            stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, ROOT).GetPrim())
            for one in standing:
                _add_item(stage, one)
            if len(points_N3):
                _add_points(stage, np.asarray(points_N3) @ Y_UP_33.T, to_linear(colours_N3))
            stage.GetRootLayer().Save()
            named.replace(file)
    except (OSError, RuntimeError) as error:
        raise ExportError(f"{path}: can't be written ({str(error)[:100]}).") from None


def _add_item(stage: Any, one: Standing) -> None:
    from pxr import Gf, Sdf, UsdGeom

    node = UsdGeom.Xform.Define(stage, _free_path(stage, one.item.id))
    # A row of Gf's matrices is a column of ours.
    node.AddTransformOp().Set(Gf.Matrix4d(node_transform(one).T.tolist()))
    prim = node.GetPrim()
    prim.SetDisplayName(one.item.id)
    for name, value in {"id": one.item.id, **extras_of(one)}.items():
        text = value if isinstance(value, str) else json.dumps(value)
        prim.CreateAttribute(PREFIX + name, Sdf.ValueTypeNames.String).Set(text)
    mesh = UsdGeom.Mesh.Define(stage, f"{prim.GetPath()}/mesh")
    mesh.CreatePointsAttr((one.look.vertices_V3 @ np.float32(Y_UP_33).T).tolist())
    mesh.CreateFaceVertexCountsAttr([3] * len(one.look.faces_F3))
    mesh.CreateFaceVertexIndicesAttr(one.look.faces_F3.ravel().tolist())
    mesh.CreateSubdivisionSchemeAttr("none")
    shown = mesh.CreateDisplayColorPrimvar(UsdGeom.Tokens.vertex)
    shown.Set([Gf.Vec3f(*row) for row in one.look.albedo_V3.tolist()])


def _add_points(stage: Any, points_N3: NDArray, colours_N3: NDArray) -> None:
    from pxr import Gf, UsdGeom

    cloud = UsdGeom.Points.Define(stage, f"{ROOT}/{FIELD_NODE}")
    cloud.CreatePointsAttr(points_N3.tolist())
    cloud.CreateWidthsAttr([POINT_WIDTH_M])
    cloud.SetWidthsInterpolation(UsdGeom.Tokens.constant)
    shown = cloud.CreateDisplayColorPrimvar(UsdGeom.Tokens.vertex)
    shown.Set([Gf.Vec3f(*row) for row in colours_N3.tolist()])


def _free_path(stage: Any, name: str) -> str:
    """A path that USD takes for an item; ids that differ in signs alone get numbers."""
    from pxr import Tf

    stem = f"{ROOT}/{Tf.MakeValidIdentifier(name)}"
    path, number = stem, 2
    while stage.GetPrimAtPath(path).IsValid() or path == f"{ROOT}/{FIELD_NODE}":
        path, number = f"{stem}_{number}", number + 1
    return path
