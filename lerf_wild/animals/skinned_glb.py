"""Animals as GLB: skin, skeleton, vertex colours and an animation, for any 3D program.

Symbols: V vertices, F faces, J joints, T frames. glTF is right-handed with y up and metres:
(x, y, z) of the body becomes (x, z, -y). Pose blend shapes and limb scales have no counterpart in a
glTF skin; the shape is baked in, the pose is the skeleton's.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import roma
import torch
from numpy.typing import NDArray

from lerf_wild import __version__
from lerf_wild.animals.body import BodyModel
from lerf_wild.animals.schema import JOINT_NAMES
from lerf_wild.errors import ExportError
from lerf_wild.render.raycast import vertex_normals
from lerf_wild.storage.atomic import write_bytes, writing

Floats = NDArray[np.float32]
_COMPONENTS = {"f4": 5126, "u1": 5121, "u2": 5123, "u4": 5125}
_KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
ARRAY_BUFFER, ELEMENT_BUFFER = 34962, 34963


@dataclass(frozen=True)
class Animation:
    """Rotations (T, J, 3, 3) and root translations (T, 3) in model units, at equal steps."""

    rotations: torch.Tensor
    translation: torch.Tensor
    seconds: float
    """Time from the first frame to the repetition of the first."""
    name: str = "walk"
    loops: bool = True


@dataclass
class _Buffer:
    """Collects arrays as accessors of one binary chunk."""

    data: bytearray = field(default_factory=bytearray)
    views: list[dict] = field(default_factory=list)
    accessors: list[dict] = field(default_factory=list)

    def add(self, array: NDArray, target: int | None = None, normalised: bool = False) -> int:
        array = np.ascontiguousarray(array)
        self.data += b"\0" * (-len(self.data) % 4)
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes}
        self.views.append(view | ({"target": target} if target else {}))
        self.data += array.tobytes()
        width = 1 if array.ndim == 1 else array.shape[1]
        accessor = {
            "bufferView": len(self.views) - 1,
            "componentType": _COMPONENTS[array.dtype.str[1:]],
            "count": len(array),
            "type": _KINDS[width],
        }
        if normalised:
            accessor["normalized"] = True
        if array.dtype.kind == "f" and width <= 4:
            rows = array.reshape(len(array), width)
            accessor["min"], accessor["max"] = rows.min(0).tolist(), rows.max(0).tolist()
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def write_skinned_glb(
    path: Path | str,
    model: BodyModel,
    betas: torch.Tensor | None = None,
    metres_per_unit: float = 1.0,
    animations: tuple[Animation, ...] = (),
    colours_V3: NDArray[np.uint8] | None = None,
) -> None:
    """Writes one animal as GLB, atomically.

    Args:
        path: Ends in .glb.
        model: The body model.
        betas: Its shape (K,).
        metres_per_unit: Size of the file's animal.
        animations: Each becomes a clip.
        colours_V3: sRGB colours of the vertices.

    Raises:
        ExportError: the path doesn't end in .glb or can't be written.
    """
    if Path(path).suffix.lower() != ".glb":
        raise ExportError(f"{path}: name the file with .glb.")
    buffer = _Buffer()
    rest = model.rest(betas).detach().cpu()
    joints = _y_up((model.joint_regressor_JV.cpu() @ rest).numpy()) * metres_per_unit
    primitive = _primitive(buffer, model, rest.numpy() * metres_per_unit, colours_V3)
    inverse = np.tile(np.eye(4, dtype=np.float32), (len(joints), 1, 1))
    inverse[:, :3, 3] = -joints
    matrices = inverse.transpose(0, 2, 1).reshape(-1, 16).astype("<f4")
    document = {
        "asset": {"version": "2.0", "generator": f"lerf-wild {__version__}"},
        "scene": 0,
        "scenes": [{"nodes": [0, 1]}],
        "nodes": [{"name": model.name, "mesh": 0, "skin": 0}, *_joint_nodes(model, joints)],
        "meshes": [{"name": model.name, "primitives": [primitive]}],
        "materials": [{"name": "coat", "pbrMetallicRoughness": _ROUGH}],
        "skins": [
            {
                "inverseBindMatrices": buffer.add(matrices),
                "joints": list(range(1, len(joints) + 1)),
                "skeleton": 1,
            }
        ],
    }
    clips = [_clip(buffer, clip, joints[0], metres_per_unit) for clip in animations]
    if clips:
        document["animations"] = clips
    document |= {"bufferViews": buffer.views, "accessors": buffer.accessors}
    with writing(path):
        write_bytes(path, _container(document, bytes(buffer.data)))


_ROUGH = {"baseColorFactor": [1, 1, 1, 1], "metallicFactor": 0.0, "roughnessFactor": 0.9}


def _primitive(
    buffer: _Buffer, model: BodyModel, rest_V3: Floats, colours_V3: NDArray[np.uint8] | None
) -> dict:
    faces = model.faces_F3.cpu().numpy()
    normals = vertex_normals(rest_V3.astype(np.float32), faces)
    attributes = {
        "POSITION": buffer.add(_y_up(rest_V3).astype("<f4"), ARRAY_BUFFER),
        "NORMAL": buffer.add(_y_up(normals).astype("<f4"), ARRAY_BUFFER),
    }
    weights = model.weights_VJ.cpu().numpy()
    count = int((weights > 0).sum(1).max())
    order = np.argsort(-weights, axis=1, kind="stable")[:, : -(-count // 4) * 4]
    chosen = np.take_along_axis(weights, order, 1)
    chosen = chosen / chosen.sum(1, keepdims=True)
    # glTF wants joint 0 where a weight is 0.
    order = np.where(chosen > 0, order, 0)
    for number in range(order.shape[1] // 4):
        part = slice(4 * number, 4 * number + 4)
        attributes[f"JOINTS_{number}"] = buffer.add(order[:, part].astype("u1"), ARRAY_BUFFER)
        attributes[f"WEIGHTS_{number}"] = buffer.add(chosen[:, part].astype("<f4"), ARRAY_BUFFER)
    if colours_V3 is not None:
        # glTF's vertex colours are linear.
        linear = (colours_V3.astype(np.float32) / 255.0) ** 2.2
        opaque = np.column_stack([linear, np.ones(len(linear))]) * 65535.0 + 0.5
        attributes["COLOR_0"] = buffer.add(opaque.astype("<u2"), ARRAY_BUFFER, normalised=True)
    indices = buffer.add(faces.astype("<u4").ravel(), ELEMENT_BUFFER)
    return {"attributes": attributes, "indices": indices, "material": 0, "mode": 4}


def _joint_nodes(model: BodyModel, joints: Floats) -> list[dict]:
    nodes = []
    for joint, parent in enumerate(model.parents):
        place = joints[joint] - (joints[parent] if parent >= 0 else 0.0)
        node = {"name": JOINT_NAMES[joint], "translation": [float(v) for v in place]}
        children = [child + 1 for child, above in enumerate(model.parents) if above == joint]
        nodes.append(node | ({"children": children} if children else {}))
    return nodes


def _clip(buffer: _Buffer, clip: Animation, root_3: Floats, scale: float) -> dict:
    rotations, shift = clip.rotations.detach().cpu(), clip.translation.detach().cpu().numpy()
    frames = len(rotations)
    if clip.loops:
        # The last key repeats the first, so that players join the ends.
        rotations = torch.cat([rotations, rotations[:1]])
        shift = np.concatenate([shift, shift[:1]])
    times = np.arange(len(rotations)) * (clip.seconds / max(frames - (not clip.loops), 1))
    clock = buffer.add(times.astype("<f4"))
    quaternions = _y_up_quaternions(roma.rotmat_to_unitquat(rotations.double()).numpy())
    tracks = [(0, "translation", root_3 + _y_up(shift) * scale)]
    for joint in range(quaternions.shape[1]):
        if np.abs(quaternions[:, joint] - [0, 0, 0, 1]).max() > 1e-7:
            tracks.append((joint, "rotation", quaternions[:, joint]))
    samplers = [
        {"input": clock, "output": buffer.add(values.astype("<f4")), "interpolation": "LINEAR"}
        for _, _, values in tracks
    ]
    channels = [
        {"sampler": index, "target": {"node": joint + 1, "path": path}}
        for index, (joint, path, _) in enumerate(tracks)
    ]
    return {"name": clip.name, "samplers": samplers, "channels": channels}


def _y_up(points: NDArray) -> NDArray:
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def _y_up_quaternions(xyzw: NDArray) -> NDArray:
    """Quaternions (T, J, 4) in xyzw, their axes turned, neighbours in time on one hemisphere."""
    turned = np.concatenate([_y_up(xyzw[..., :3]), xyzw[..., 3:]], axis=-1)
    turned[0] *= np.where(turned[0, :, 3:] < 0, -1.0, 1.0)
    for frame in range(1, len(turned)):
        dot = np.sum(turned[frame] * turned[frame - 1], axis=-1, keepdims=True)
        turned[frame] *= np.where(dot < 0, -1.0, 1.0)
    return turned


def _container(document: dict, data: bytes) -> bytes:
    data += b"\0" * (-len(data) % 4)
    document["buffers"] = [{"byteLength": len(data)}]
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + len(data)
    header = struct.pack("<4sII", b"glTF", 2, total)
    json_chunk = struct.pack("<I4s", len(text), b"JSON") + text
    return header + json_chunk + struct.pack("<I4s", len(data), b"BIN\0") + data
