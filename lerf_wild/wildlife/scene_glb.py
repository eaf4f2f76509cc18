"""A populated place as a GLB file: a node for each item, the field as coloured points.

The file is in metres, y up, as glTF has it; (x, y, z) of the stage is (x, z, -y) there. A node's
mesh has a height of 1 in its own frame, so that its scale is the item's height, and its extras
tell what it is, what it may be called, and under which licence.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence, Set
from pathlib import Path

import msgspec
import numpy as np
import trimesh
from numpy.typing import NDArray

from lerf_wild.errors import ExportError
from lerf_wild.render.light import to_srgb
from lerf_wild.storage.atomic import write_bytes
from lerf_wild.wildlife.tracing import Standing

Y_UP_33 = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
FIELD_NODE, ROOT_NODE = "field", "place"
"""Names of the points and of the node above all; with a number where an item has that name."""


def write_scene_glb(
    path: Path | str,
    standing: Sequence[Standing],
    points_N3: NDArray,
    colours_N3: NDArray[np.uint8],
) -> None:
    """Writes items and the field's surface points.

    Args:
        path: The file.
        standing: Items on the stage.
        points_N3: Surface points on the stage; none for items alone.
        colours_N3: Their sRGB colours.

    Raises:
        ExportError: when there is nothing to write, or the file can't be written.
    """
    if not standing and len(points_N3) == 0:
        raise ExportError(f"{path}: there is neither an item nor a point to write.")
    taken = {one.item.id for one in standing}
    scene = trimesh.Scene(base_frame=_free_name(ROOT_NODE, taken))
    if len(points_N3):
        cloud = trimesh.PointCloud(np.asarray(points_N3) @ Y_UP_33.T, colors=colours_N3)
        name = _free_name(FIELD_NODE, taken)
        scene.add_geometry(cloud, node_name=name, geom_name=name)
    for one in standing:
        mesh = trimesh.Trimesh(
            one.look.vertices_V3 @ Y_UP_33.T,
            one.look.faces_F3,
            vertex_colors=to_srgb(one.look.albedo_V3),
            process=False,
            metadata=extras_of(one),
        )
        scene.add_geometry(
            mesh,
            node_name=one.item.id,
            geom_name=one.item.id,
            transform=node_transform(one),
            metadata=extras_of(one),
        )
    try:
        write_bytes(path, scene.export(file_type="glb"))
    except OSError as error:
        raise ExportError(f"{path}: can't be written ({error.strerror or error}).") from None


def _free_name(name: str, taken: Set[str]) -> str:
    numbered = (f"{name}_{number}" for number in itertools.count(2))
    return next(one for one in itertools.chain([name], numbered) if one not in taken)


def node_transform(one: Standing) -> NDArray[np.float64]:
    """Matrix (4, 4) from an item's own frame, y up, to the file's."""
    matrix = np.eye(4)
    matrix[:3, :3] = one.item.height_m * Y_UP_33 @ one.turn_33 @ Y_UP_33.T
    matrix[:3, 3] = Y_UP_33 @ one.foot_3
    return matrix


def extras_of(one: Standing) -> dict[str, object]:
    """What a node says of its item."""
    return {
        "what": one.item.what,
        "height_m": one.item.height_m,
        "phrases": list(one.item.phrases),
        "licence": one.look.licence,
        "position": list(one.item.position),
        "provenance": msgspec.to_builtins(one.item.provenance),
    }
