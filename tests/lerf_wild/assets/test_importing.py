"""Meshes of others: GLB, OBJ and PLY in all their colours, and files that must be refused."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from lerf_wild.assets.glb_checks import check_glb
from lerf_wild.assets.importing import ImportSpec, import_mesh
from lerf_wild.assets.infinigen_pack import FOLDER, load_infinigen
from lerf_wild.assets.mesh import Asset
from lerf_wild.errors import AssetError


def box(colour: bool = True) -> trimesh.Trimesh:
    """Longest along x, and 0.5 high along y."""
    mesh = trimesh.creation.box((1.0, 0.5, 0.25))
    if colour:
        mesh.visual.vertex_colors = np.tile([200, 100, 50, 255], (8, 1))
    return mesh


def textured() -> trimesh.Trimesh:
    """A square: the left half red, the right half blue."""
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, :4, 0], picture[:, 4:, 2] = 255, 255
    mesh = trimesh.Trimesh(
        [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]], process=False
    )
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(picture))
    uv = np.float64([[0, 0], [1, 0], [1, 1], [0, 1]])
    mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return mesh


def saved(folder: Path, mesh: trimesh.Trimesh, suffix: str) -> Path:
    path = folder / f"thing.{suffix}"
    path.write_bytes(_bytes(mesh.export(file_type=suffix)))
    return path


def _bytes(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else data


def read(path: Path, **spec: object) -> Asset:
    return import_mesh(path, "thing", "rock", ("thing",), ImportSpec(**spec))


@pytest.mark.parametrize("suffix", ["glb", "obj", "ply"])
def test_colours_of_vertices_and_the_asset_frame(tmp_path, suffix):
    up = "y" if suffix == "ply" else None
    asset = read(saved(tmp_path, box(), suffix), up=up)
    np.testing.assert_allclose(np.ptp(asset.vertices_V3, axis=0), [1.0, 0.25, 0.5], atol=1e-6)
    assert asset.height_m == pytest.approx(0.5) and asset.vertices_V3[:, 2].min() == 0.0
    np.testing.assert_array_equal(asset.colours_V3[0], [200, 100, 50])


def test_the_front_is_turned_to_x(tmp_path):
    mesh = box()
    mesh.vertices[:, 2] += 5.0 * (mesh.vertices[:, 2] > 0)
    assert np.ptp(read(saved(tmp_path, mesh, "glb"), front="z").vertices_V3[:, 0]) > 5.0
    with pytest.raises(AssetError, match="front"):
        read(saved(tmp_path, mesh, "glb"), front="y")


def test_textures_become_colours_of_a_finer_mesh(tmp_path):
    asset = read(saved(tmp_path, textured(), "glb"), up="y")
    assert len(asset.faces_F3) > 1_000
    left = asset.vertices_V3[:, 0] < -0.2
    right = asset.vertices_V3[:, 0] > 0.2
    np.testing.assert_array_equal(asset.colours_V3[left].max(axis=0), [255, 0, 0])
    np.testing.assert_array_equal(asset.colours_V3[right].max(axis=0), [0, 0, 255])


def test_the_pack_reads_through_this_door_too():
    kept = load_infinigen("boulder_8")
    asset = read(FOLDER / "boulder_8.glb", height_m=kept.height_m)
    np.testing.assert_allclose(asset.vertices_V3, kept.vertices_V3, atol=1e-4)


def test_a_plain_material_gives_the_colour(tmp_path):
    mesh = box(colour=False)
    material = trimesh.visual.material.PBRMaterial(baseColorFactor=[1.0, 0.0, 0.0, 1.0])
    mesh.visual = trimesh.visual.TextureVisuals(material=material)
    np.testing.assert_array_equal(read(saved(tmp_path, mesh, "glb")).colours_V3[0], [255, 0, 0])


def test_a_material_that_is_nearly_black_stays_so(tmp_path):
    mesh = box(colour=False)
    material = trimesh.visual.material.PBRMaterial(baseColorFactor=np.uint8([1, 1, 1, 255]))
    mesh.visual = trimesh.visual.TextureVisuals(material=material)
    assert read(saved(tmp_path, mesh, "glb")).colours_V3.max() < 30


def test_meshes_without_uvs_or_colours_say_so(tmp_path):
    plain = saved(tmp_path, box(colour=False), "ply")
    with pytest.raises(AssetError, match=r"no colours.*UVs.*--colour"):
        read(plain)
    assert (read(plain, colour=(1, 2, 3)).colours_V3 == [1, 2, 3]).all()
    content, binary = glb_parts(_bytes(textured().export(file_type="glb")))
    del content["meshes"][0]["primitives"][0]["attributes"]["TEXCOORD_0"]
    path = tmp_path / "no_uv.glb"
    path.write_bytes(glb(content, binary))
    with pytest.raises(AssetError, match=r"no_uv\.glb: .*UVs"):
        read(path)


def test_heights_must_be_metres(tmp_path):
    mesh = box()
    mesh.apply_scale(1000.0)
    path = saved(tmp_path, mesh, "glb")
    with pytest.raises(AssetError, match="--height-m"):
        read(path)
    assert read(path, height_m=2.0).height_m == pytest.approx(2.0)


@pytest.mark.parametrize("suffix", ["glb", "obj", "ply"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_vertices_must_be_finite(tmp_path, suffix, value):
    mesh = box()
    mesh.vertices[3, 1] = value
    with np.errstate(all="ignore"), pytest.raises(AssetError, match=rf"thing\.{suffix}"):
        read(saved(tmp_path, mesh, suffix))


@pytest.mark.parametrize("suffix", ["glb", "obj", "ply"])
def test_random_bytes_are_refused(tmp_path, suffix):
    rng = np.random.default_rng(0)
    whole = _bytes(box().export(file_type=suffix))
    starts = [b"", whole[:20], whole[: len(whole) // 2]]
    for index, start in enumerate(starts):
        path = tmp_path / f"{index}.{suffix}"
        path.write_bytes(start + rng.bytes(300))
        with pytest.raises(AssetError, match=rf"{index}\.{suffix}"):
            read(path)


@pytest.mark.parametrize("suffix", ["glb", "ply"])
def test_every_cut_is_refused(tmp_path, suffix):
    whole = _bytes(box().export(file_type=suffix))
    path = tmp_path / f"cut.{suffix}"
    for end in range(0, len(whole) - 1, 37):
        path.write_bytes(whole[:end])
        with pytest.raises(AssetError, match="cut"):
            read(path)


def glb(content: dict, binary: bytes = b"") -> bytes:
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text
    if binary:
        body += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def glb_parts(data: bytes) -> tuple[dict, bytes]:
    length = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + length]), data[28 + length :]


def png(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    return file.getvalue()


def bombs() -> dict[str, bytes]:
    """Small GLBs that claim much."""
    content, binary = glb_parts(_bytes(box().export(file_type="glb")))

    def changed(change) -> bytes:
        copy = json.loads(json.dumps(content))
        change(copy)
        return glb(copy, binary)

    def nodes(copy, links, mesh_at=()):
        copy["nodes"] = [
            {"children": list(children), **({"mesh": 0} if index in mesh_at else {})}
            for index, children in enumerate(links)
        ]

    picture, primitives = png(9_000), content["meshes"][0]["primitives"] * 5
    return {
        "accessor without data": changed(
            lambda c: c["accessors"][0].update(count=10**9) or c["accessors"][0].pop("bufferView")
        ),
        "count beyond the data": changed(lambda c: c["accessors"][0].update(count=10**9)),
        "negative count": changed(lambda c: c["accessors"][0].update(count=-1)),
        "fractional count": changed(lambda c: c["accessors"][0].update(count=1.5)),
        "view beyond the end": changed(lambda c: c["bufferViews"][0].update(byteLength=10**9)),
        "sparse": changed(lambda c: c["accessors"][0].update(sparse={"count": 10**9})),
        "diamond of nodes": changed(
            lambda c: nodes(c, [[i + 1, i + 1] for i in range(40)] + [[]], {40})
        ),
        "circle of nodes": changed(lambda c: nodes(c, [[1], [0]], {0})),
        "deep nodes": changed(lambda c: nodes(c, [[i + 1] for i in range(900)] + [[]], {900})),
        "child that is not there": changed(lambda c: nodes(c, [[7]])),
        "many nodes": changed(lambda c: c.update(nodes=[{"mesh": 0}] * 30_000)),
        "copies of a mesh": changed(
            lambda c: c.update(nodes=[{"mesh": 0}] * 9_999, meshes=[{"primitives": primitives}])
        ),
        "file elsewhere": changed(lambda c: c["buffers"][0].update(uri="../secret.bin")),
        "address": changed(lambda c: c["buffers"][0].update(uri="http://example.org/a")),
        "picture elsewhere": changed(lambda c: c.update(images=[{"uri": "/etc/passwd"}])),
        "parts over each other": changed(
            lambda c: c["bufferViews"].extend([{"buffer": 0, "byteLength": len(binary)}] * 9)
        ),
        "numbers over each other": changed(lambda c: c["accessors"].extend(c["accessors"] * 9)),
        "extensions of nothing": changed(lambda c: c.update(extensionsRequired=None)),
        "draco": changed(lambda c: c.update(extensionsRequired=["KHR_draco_mesh_compression"])),
        "huge picture": glb(
            {
                **content,
                "bufferViews": [
                    *content["bufferViews"],
                    {"buffer": 0, "byteOffset": len(binary), "byteLength": len(picture)},
                ],
                "images": [{"bufferView": len(content["bufferViews"])}],
            },
            binary + picture,
        ),
        "no mesh": glb({"asset": {"version": "2.0"}}),
        "meshes of the wrong type": changed(lambda c: c.update(meshes={"0": 1})),
        "no primitives": changed(lambda c: c["meshes"][0].pop("primitives")),
        "deep JSON": struct.pack("<4sIII4s", b"glTF", 2, 100_020, 100_000, b"JSON")
        + b"[" * 100_000,
        "list": glb([]),
        "nan": glb({"a": float("nan")}),
    }


@pytest.mark.parametrize("name", sorted(bombs()))
def test_glb_bombs_are_refused_before_they_are_parsed(name):
    with pytest.raises(AssetError):
        check_glb(bombs()[name])


def test_whole_glbs_pass_the_checks():
    for mesh in (box(), textured()):
        check_glb(_bytes(mesh.export(file_type="glb")))


@pytest.mark.parametrize("count", ["1000000000", "1000000000000", "-4", "x"])
def test_ply_counts_are_measured_against_the_file(tmp_path, count):
    path = tmp_path / "bomb.ply"
    path.write_text(
        f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\nproperty float x\n"
        "property float y\nproperty float z\nend_header\n"
    )
    with pytest.raises(AssetError, match=r"bomb\.ply"):
        read(path)


def test_obj_materials_stay_in_their_folder(tmp_path):
    (tmp_path / "secret.mtl").write_text("newmtl a\nmap_Kd secret.png\n")
    folder = tmp_path / "inner"
    folder.mkdir()
    path = folder / "thing.obj"
    path.write_text("mtllib ../secret.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl a\nf 1 2 3\n")
    with pytest.raises(AssetError, match=r"thing\.obj"):
        read(path)


def test_other_formats_and_missing_files_are_named(tmp_path):
    with pytest.raises(AssetError, match="convert"):
        read(tmp_path / "a.blend")
    with pytest.raises(AssetError, match="can't be read"):
        read(tmp_path / "a.glb")
