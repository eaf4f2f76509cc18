"""Meshes that are huge, flat or hold NaN, and library files that do: one clear line each."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from safetensors.numpy import save_file

from lerf_wild.assets.asset_files import read_asset
from lerf_wild.assets.importing import ImportSpec, import_mesh
from lerf_wild.assets.library import added_entry, open_library
from lerf_wild.assets.library_assets import find_asset
from lerf_wild.cli import main
from lerf_wild.errors import AssetError
from lerf_wild.program.files import write_program
from lerf_wild.program.types import Program, SceneObject

TRIANGLE = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0]])


def read(path: Path, **spec: object) -> object:
    return import_mesh(path, "thing", "rock", ("thing",), ImportSpec(**spec))


def refused(path: Path, **spec: object) -> str:
    with np.errstate(all="ignore"), pytest.raises(AssetError) as error:
        read(path, **spec)
    said = str(error.value)
    assert path.name in said and "\n" not in said and len(said) < 300
    return said


def glb(
    arrays: dict[str, np.ndarray], indices: np.ndarray | None = None, image: bytes = b""
) -> bytes:
    """A GLB of one primitive whose attributes are float32 arrays."""
    parts = list(arrays.values()) + ([indices.astype(np.uint32)] if indices is not None else [])
    views, accessors, binary = [], [], b""
    for part in parts:
        data = np.ascontiguousarray(part).tobytes()
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(data)})
        kind = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}[
            part.shape[1] if part.ndim == 2 else 1
        ]
        accessors.append(
            {
                "bufferView": len(views) - 1, "count": len(part), "type": kind,
                "componentType": 5126 if part.dtype == np.float32 else 5125,
            }
        )  # fmt: skip
        binary += data + b"\0" * (-len(data) % 4)
    primitive: dict[str, object] = {"attributes": {n: i for i, n in enumerate(arrays)}}
    if indices is not None:
        primitive["indices"] = len(parts) - 1
    content: dict[str, object] = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}], "meshes": [{"primitives": [primitive]}],
        "accessors": accessors,
    }  # fmt: skip
    if image:
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(image)})
        binary += image + b"\0" * (-len(image) % 4)
        primitive["material"] = 0
        content |= {
            "images": [{"bufferView": len(views) - 1, "mimeType": "image/png"}],
            "textures": [{"source": 0}],
            "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        }
    content |= {"bufferViews": views, "buffers": [{"byteLength": len(binary)}]}
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text
    body += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def png(tmp_path: Path) -> bytes:
    Image.new("RGB", (4, 4), (200, 90, 30)).save(tmp_path / "p.png")
    return (tmp_path / "p.png").read_bytes()


def test_a_sound_glb_of_this_make_is_read(tmp_path):
    path = tmp_path / "sound.glb"
    path.write_bytes(
        glb({"POSITION": TRIANGLE, "TEXCOORD_0": TRIANGLE[:, :2]}, image=png(tmp_path))
    )
    assert len(read(path).faces_F3) >= 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_texture_coordinates_must_be_finite(tmp_path, value):
    uv = TRIANGLE[:, :2].copy()
    uv[1, 0] = value
    path = tmp_path / "uv.glb"
    path.write_bytes(glb({"POSITION": TRIANGLE, "TEXCOORD_0": uv}, image=png(tmp_path)))
    assert "UVs" in refused(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -5.0])
def test_colours_of_vertices_are_numbers_or_refused(tmp_path, value):
    colours = np.full((3, 4), 0.5, np.float32)
    colours[2, 1] = value
    path = tmp_path / "colours.glb"
    path.write_bytes(glb({"POSITION": TRIANGLE, "COLOR_0": colours}))
    with np.errstate(all="ignore"):
        try:
            asset = read(path)
        except AssetError as error:
            assert "colours.glb" in str(error)
        else:
            assert asset.colours_V3.dtype == np.uint8


def test_vertices_that_are_not_finite_are_refused_wherever_they_are(tmp_path):
    for place in range(3):
        vertices = TRIANGLE.copy()
        vertices[place, place] = np.nan
        path = tmp_path / "nan.glb"
        path.write_bytes(glb({"POSITION": vertices, "TEXCOORD_0": TRIANGLE[:, :2]}, image=b""))
        refused(path, colour=(1, 2, 3))


def test_triangles_of_vertices_that_are_not_there_are_refused(tmp_path):
    path = tmp_path / "beyond.glb"
    path.write_bytes(glb({"POSITION": TRIANGLE}, np.uint32([0, 1, 4_000_000_000])))
    refused(path, colour=(1, 2, 3))


def test_meshes_without_extent_are_refused(tmp_path):
    path = tmp_path / "flat.glb"
    path.write_bytes(glb({"POSITION": 0.0 * TRIANGLE}))
    refused(path, colour=(1, 2, 3))


@pytest.mark.parametrize("suffix", ["glb", "obj", "ply"])
def test_more_triangles_than_are_read_are_refused(tmp_path, suffix):
    count = 300_003
    path = tmp_path / f"huge.{suffix}"
    if suffix == "glb":
        path.write_bytes(glb({"POSITION": TRIANGLE}, np.tile(np.uint32([0, 1, 2]), count)))
    elif suffix == "obj":
        path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n" + "f 1 2 3\n" * count)
    else:
        mesh = trimesh.Trimesh(TRIANGLE, np.tile([[0, 1, 2]], (count, 1)), process=False)
        path.write_bytes(mesh.export(file_type="ply"))
    said = refused(path, colour=(1, 2, 3))
    assert "300,000" in said or "claims" in said


def test_files_over_the_cap_are_not_read_whole(tmp_path):
    path = tmp_path / "long.ply"
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    assert "64 MB" in refused(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["accessors"][0].update(count=10**9), "more numbers than it holds"),
        (lambda c: c["accessors"][0].pop("bufferView"), "without bytes"),
        (lambda c: c["buffers"][0].update(uri="a.bin"), "into one GLB"),
        (lambda c: c.update(nodes=[{"children": [1]}, {"children": [0]}]), "nested"),
        (lambda c: c.update(extensionsRequired=["KHR_draco_mesh_compression"]), "draco"),
        (lambda c: c.update(nodes=[{"mesh": 7}]), "missing or wrong"),
    ],
)
def test_a_refused_glb_is_told_what_is_wrong_with_it(tmp_path, change, said):
    data = glb({"POSITION": TRIANGLE})
    length = struct.unpack_from("<I", data, 12)[0]
    content, rest = json.loads(data[20 : 20 + length]), data[20 + length :]
    change(content)
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text + rest
    path = tmp_path / "changed.glb"
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body)
    assert said in refused(path, colour=(1, 2, 3))


@pytest.mark.parametrize("seed", range(20))
def test_a_changed_byte_is_read_or_refused_but_never_breaks_anything(tmp_path, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(glb({"POSITION": TRIANGLE, "COLOR_0": np.ones((3, 4), np.float32)}))
    for place in rng.integers(0, len(data), 1 + seed % 4):
        data[place] = rng.integers(256)
    path = tmp_path / "changed.glb"
    path.write_bytes(bytes(data))
    with np.errstate(all="ignore"):
        try:
            read(path, height_m=1.0)
        except AssetError as error:
            assert "changed.glb" in str(error)


HEADER = {
    "kind": "rock", "species": "rock", "phrases": ["rock"], "licence": "CC0-1.0",
    "provenance": {}, "height_m": 1.0, "key": "0" * 64,
}  # fmt: skip


def library_file(folder: Path, name: str = "odd", **changes: object) -> Path:
    arrays = {
        "vertices": np.float32([[0, 0, 0], [1, 0, 0], [0, 0, 1]]),
        "faces": np.int32([[0, 1, 2]]),
        "colours": np.full((3, 3), 90, np.uint8),
    }
    header = {**HEADER, **{k: v for k, v in changes.items() if k in HEADER}}
    arrays |= {k: v for k, v in changes.items() if k in arrays}
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.safetensors"
    save_file(arrays, path, {"asset": json.dumps(header)})
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"vertices": np.float32([[0, 0, 0], [1, np.nan, 0], [0, 0, 1]])},
        {"vertices": np.float32([[0, 0, 0], [1, 0, 0], [0, 0, np.inf]])},
        {"faces": np.int32([[0, 1, -1]])},
        {"faces": np.zeros((0, 3), np.int32)},
        {"faces": np.zeros((400_001, 3), np.int32)},
        {"colours": np.zeros((2, 3), np.uint8)},
        {"colours": np.zeros((3, 3), np.float32)},
        {"vertices": np.zeros((3, 3), np.float64)},
    ],
)
def test_library_files_with_wrong_arrays_are_refused(tmp_path, changes):
    path = library_file(tmp_path, **changes)
    with pytest.raises(AssetError, match=r"odd\.safetensors"):
        read_asset(path)


@pytest.mark.parametrize(
    "changes",
    [{"kind": "dragon"}, {"height_m": -1.0}, {"height_m": 10**400}, {"key": "x"}, {"phrases": 3},
     {"provenance": 3}, {"height_m": "tall"}],
)  # fmt: skip
def test_library_files_with_wrong_descriptions_are_left_out(tmp_path, changes):
    library_file(tmp_path, **changes)
    library = open_library(tmp_path)
    assert "odd" not in library.names and "odd.safetensors" in library.damaged[0]
    with pytest.raises(AssetError, match=r"odd\.safetensors"):
        added_entry("odd", tmp_path)


def test_programs_that_name_a_damaged_asset_say_which(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LERF_WILD_ASSETS", str(tmp_path / "assets"))
    library_file(tmp_path / "assets", vertices=np.full((3, 3), np.nan, np.float32))
    (tmp_path / "assets" / "noise.safetensors").write_bytes(np.random.default_rng(0).bytes(4000))
    with pytest.raises(AssetError, match=r"odd\.safetensors"):
        find_asset("odd")
    for name in ("odd", "noise"):
        item = SceneObject(9, (0.0, -1.0, -5.0), 1.0, kind="rock", asset=name)
        write_program(tmp_path / "scene.txt", Program(objects=(item,)))
        with pytest.raises(SystemExit) as stopped:
            main(["raw", "render", str(tmp_path / "scene.txt"), "--output-path", "never.png"])
        error = capsys.readouterr().err
        assert stopped.value.code == 2 and name in error and "Traceback" not in error
