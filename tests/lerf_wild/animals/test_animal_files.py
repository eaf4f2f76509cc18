"""GLB, OBJ, PLY and npz: what is written is what the model says."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from lerf_wild.animals.animal_files import (
    AnimalParameters,
    read_parameters,
    write_mesh,
    write_parameters,
)
from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.animals.poses.library import gait_cycle
from lerf_wild.animals.skinned_glb import Animation, write_skinned_glb
from lerf_wild.errors import ExportError, InputError, ModelFileError

SIZES = {5126: "<f4", 5121: "u1", 5123: "<u2", 5125: "<u4"}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def read_glb(path):
    raw = path.read_bytes()
    magic, version, total = struct.unpack_from("<4sII", raw)
    assert (magic, version, total) == (b"glTF", 2, len(raw))
    length, kind = struct.unpack_from("<I4s", raw, 12)
    assert kind == b"JSON" and length % 4 == 0
    return json.loads(raw[20 : 20 + length]), raw[28 + length :]


def accessor(document, data, index):
    entry = document["accessors"][index]
    view = document["bufferViews"][entry["bufferView"]]
    assert view["byteOffset"] % 4 == 0
    dtype, width = np.dtype(SIZES[entry["componentType"]]), WIDTHS[entry["type"]]
    array = np.frombuffer(data, dtype, entry["count"] * width, view["byteOffset"])
    array = array.reshape(entry["count"], width)
    if "min" in entry:
        np.testing.assert_array_equal(array.min(0), np.float32(entry["min"]))
    return array


def matrix_of(quaternion):
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def play(document, data, frame):
    """Vertices of a frame, as the glTF specification says they are to be computed."""
    local = {}
    for index, node in enumerate(document["nodes"][1:], 1):
        local[index] = [np.eye(3), np.array(node["translation"])]
    clip = document["animations"][0]
    for channel in clip["channels"]:
        values = accessor(document, data, clip["samplers"][channel["sampler"]]["output"])[frame]
        target = local[channel["target"]["node"]]
        if channel["target"]["path"] == "rotation":
            target[0] = matrix_of(values.astype(float))
        else:
            target[1] = values.astype(float)
    world = {1: local[1]}
    for index, node in enumerate(document["nodes"]):
        for child in node.get("children", ()):
            turn, place = world[index]
            world[child] = [turn @ local[child][0], turn @ local[child][1] + place]
    skin = document["skins"][0]
    inverse = accessor(document, data, skin["inverseBindMatrices"]).reshape(-1, 4, 4)
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    points = accessor(document, data, attributes["POSITION"]).astype(float)
    joints = accessor(document, data, attributes["JOINTS_0"])
    weights = accessor(document, data, attributes["WEIGHTS_0"]).astype(float)
    total = np.zeros_like(points)
    for place, node in enumerate(skin["joints"]):
        weight = (weights * (joints == place)).sum(1, keepdims=True)
        bind = points + inverse[place].T[:3, 3]
        total += weight * (bind @ world[node][0].T + world[node][1])
    return total


def test_an_animated_glb_plays_as_the_model_poses(tmp_path):
    quadruped = load_quadruped()
    model, betas = quadruped.model, quadruped.betas_of("horse")
    pose = gait_cycle(model, betas, "trot", 4)
    clip = Animation(pose.rotations, pose.translation, 0.8, "trot")
    path = tmp_path / "horse.glb"
    colours = np.full((3889, 3), 128, np.uint8)
    write_skinned_glb(path, model, betas, 1.7, (clip,), colours)
    document, data = read_glb(path)
    posed = model.pose(betas, pose.rotations.float(), pose.translation.float())
    for frame in (0, 2, 4):
        expected = 1.7 * posed.vertices[frame % 4].numpy()
        found = play(document, data, frame)
        np.testing.assert_allclose(
            np.stack([found[:, 0], -found[:, 2], found[:, 1]], 1), expected, atol=2e-5
        )
    times = accessor(document, data, document["animations"][0]["samplers"][0]["input"])
    np.testing.assert_allclose(times[:, 0], [0, 0.2, 0.4, 0.6, 0.8], atol=1e-6)
    names = [node["name"] for node in document["nodes"]]
    assert names[1] == "pelvis" and len(names) == 36


def test_trimesh_reads_the_glb(tmp_path):
    model = load_quadruped().model
    write_skinned_glb(tmp_path / "animal.glb", model)
    mesh = trimesh.load(tmp_path / "animal.glb", force="mesh", process=False)
    assert len(mesh.vertices) == 3889 and len(mesh.faces) == 7774
    assert mesh.is_watertight and mesh.volume > 0


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_meshes_come_back(tmp_path, suffix):
    model = load_quadruped().model
    path = tmp_path / f"animal{suffix}"
    write_mesh(path, model.template_V3.numpy(), model.faces_F3.numpy())
    mesh = trimesh.load(path, process=False)
    np.testing.assert_allclose(mesh.vertices, model.template_V3, atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, model.faces_F3)


def test_other_suffixes_are_refused(tmp_path):
    model = load_quadruped().model
    with pytest.raises(ExportError, match="obj"):
        write_mesh(tmp_path / "a.stl", np.zeros((3, 3)), np.zeros((1, 3), int))
    with pytest.raises(ExportError, match="glb"):
        write_skinned_glb(tmp_path / "a.fbx", model)


def parameters(model):
    return AnimalParameters(
        torch.arange(3.0), model.identity_pose(), torch.ones(3), model.sha256, 0.6
    )


def test_parameters_come_back(tmp_path):
    model = load_quadruped().model
    path = tmp_path / "animal.npz"
    write_parameters(path, parameters(model))
    found = read_parameters(path, model)
    assert torch.equal(found.betas, torch.arange(3.0)) and found.metres_per_unit == 0.6
    assert torch.equal(found.rotations, model.identity_pose())


def test_parameters_of_another_model_are_refused(tmp_path):
    model = load_quadruped().model
    path = tmp_path / "animal.npz"
    write_parameters(path, parameters(model))
    other = replace(model, template_V3=model.template_V3 + 1)
    with pytest.raises(InputError, match="another body model"):
        read_parameters(path, other)


def test_damaged_parameters_are_refused(tmp_path):
    model = load_quadruped().model
    path = tmp_path / "animal.npz"
    with pytest.raises(ModelFileError, match="no such file"):
        read_parameters(path, model)
    write_parameters(path, parameters(model))
    whole = path.read_bytes()
    for end in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:end])
        with pytest.raises((ModelFileError, InputError)):
            read_parameters(path, model)
