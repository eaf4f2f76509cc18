"""Looks through a GLB before anything is allocated for what it claims to hold.

Everything that a file can promise without paying for it in bytes is refused here: accessors
without data, counts beyond their buffer, nodes that multiply meshes, pictures of huge size, files
elsewhere.
Format: glTF 2.0, section 4 (binary) and 5 (properties).
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from typing import Any, NoReturn

from PIL import Image

from lerf_wild.errors import AssetError

MAX_JSON_BYTES = 4 << 20
MAX_ITEMS = 20_000
MOST_SHARED = 4
"""How often over the parts of a file may read the same bytes, on average."""
"""Most nodes, meshes, accessors, views or materials."""
MAX_DEPTH = 64
MAX_VERTICES = 1_000_000
MAX_FACES = 300_000
"""Most triangles of an imported mesh, all its copies counted."""
MAX_TEXTURE_PIXELS = 64_000_000
"""Most pixels of all textures together."""
_COMPONENT_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_TYPE_SIZE = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_READABLE = ("KHR_materials_", "KHR_texture_transform", "KHR_lights_punctual", "EXT_texture_webp")
_LISTS = ("nodes", "meshes", "accessors", "bufferViews", "buffers", "materials", "images", "scenes")


def check_glb(data: bytes) -> None:
    """Check a whole GLB file.

    Raises:
        AssetError: saying what is wrong; the caller names the file.
    """
    content, binary = _chunks(data)
    for name in _LISTS:
        items = content.get(name, [])
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            _refuse(f"{name} is no list of objects")
        if len(items) > MAX_ITEMS:
            _refuse(f"{len(items)} {name}; {MAX_ITEMS} at most")
    try:
        _check_extensions(content)
        _check_buffers(content, binary)
        _check_accessors(content)
        _check_scene(content)
        _check_images(content, binary)
    except AssetError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as fault:
        raise AssetError(f"a part of it is missing or wrong ({type(fault).__name__})") from None


def _check_extensions(content: Mapping[str, Any]) -> None:
    required = content.get("extensionsRequired", [])
    foreign = [str(name)[:40] for name in required if not str(name).startswith(_READABLE)]
    if foreign:
        _refuse(f"it needs {foreign[0]}, which is not read; export it without compression")


def _chunks(data: bytes) -> tuple[Mapping[str, Any], bytes]:
    if len(data) < 20 or data[:4] != b"glTF":
        _refuse("it is no GLB file; export it as binary glTF")
    _, version, length = struct.unpack_from("<4sII", data)
    json_bytes, json_kind = struct.unpack_from("<I4s", data, 12)
    if version != 2 or length != len(data) or json_kind != b"JSON":
        _refuse("its header does not fit its size; it may be cut off, copy it again")
    if json_bytes > MAX_JSON_BYTES or 20 + json_bytes > len(data):
        _refuse(f"its description has {json_bytes:,} bytes; {MAX_JSON_BYTES:,} are read")
    try:
        content = json.loads(data[20 : 20 + json_bytes], parse_constant=_refuse)
    except (ValueError, RecursionError) as fault:
        raise AssetError(f"its description is not JSON ({type(fault).__name__})") from None
    if not isinstance(content, dict):
        _refuse("its description is no object")
    rest = data[20 + json_bytes :]
    if len(rest) < 8:
        return content, b""
    binary_bytes, kind = struct.unpack_from("<I4s", rest)
    if kind != b"BIN\0" or 8 + binary_bytes > len(rest):
        _refuse("its binary part is cut off")
    return content, rest[8 : 8 + binary_bytes]


def _check_buffers(content: Mapping[str, Any], binary: bytes) -> None:
    buffers = content.get("buffers", [])
    if len(buffers) > 1 or any("uri" in item for item in buffers):
        _refuse("it keeps data in other files; export everything into one GLB")
    total = 0
    for view in content.get("bufferViews", []):
        start, length = _count(view.get("byteOffset", 0)), _count(view["byteLength"])
        if start + length > len(binary) or view.get("buffer") != 0:
            _refuse("a part of its data lies beyond its end")
        total += length
    # Each part is copied when it is read: parts that share bytes would be a bomb.
    if total > MOST_SHARED * len(binary):
        _refuse("its parts overlap; export it again")


def _check_accessors(content: Mapping[str, Any]) -> None:
    views, total = content.get("bufferViews", []), 0
    for item in content.get("accessors", []):
        if "bufferView" not in item or "sparse" in item:
            _refuse("it has sparse data or data without bytes, which is not read")
        size = _COMPONENT_BYTES[item["componentType"]] * _TYPE_SIZE[item["type"]]
        count, offset = _count(item["count"]), _count(item.get("byteOffset", 0))
        view = views[_count(item["bufferView"])]
        stride = _count(view.get("byteStride", 0)) or size
        if count and offset + stride * (count - 1) + size > view["byteLength"]:
            _refuse("it claims more numbers than it holds")
        total += count * size
    if total > MOST_SHARED * sum(view["byteLength"] for view in views):
        _refuse("its parts overlap; export it again")


def _check_scene(content: Mapping[str, Any]) -> None:
    """Count what is drawn; every node may hang on one parent only, so nothing multiplies."""
    nodes = content.get("nodes", [])
    children = [child for node in nodes for child in node.get("children", [])]
    if len(set(children)) != len(children) or any(not 0 <= c < len(nodes) for c in children):
        _refuse("its nodes form no tree")
    parents = {c: index for index, node in enumerate(nodes) for c in node.get("children", [])}
    for start in range(len(nodes)):
        steps, at = 0, start
        # A circle is a nesting without end.
        while at in parents and steps <= MAX_DEPTH:
            at, steps = parents[at], steps + 1
        if steps > MAX_DEPTH:
            _refuse(f"its nodes are nested more than {MAX_DEPTH} deep")
    meshes = content.get("meshes", [])
    drawn = [_count(node["mesh"]) for node in nodes if "mesh" in node] or range(len(meshes))
    vertices = faces = 0
    for index in drawn:
        for primitive in meshes[index]["primitives"]:
            added = _primitive_size(content, primitive)
            vertices, faces = vertices + added[0], faces + added[1]
    if vertices > MAX_VERTICES or faces > MAX_FACES:
        _refuse(f"{faces:,} triangles; {MAX_FACES:,} are read. Decimate the mesh")
    if faces == 0:
        _refuse("it has no triangles")


def _primitive_size(content: Mapping[str, Any], primitive: Mapping[str, Any]) -> tuple[int, int]:
    accessors = content["accessors"]
    position = accessors[_count(primitive["attributes"]["POSITION"])]
    if position["type"] != "VEC3":
        _refuse("its positions are not triples")
    corners = position["count"]
    if "indices" in primitive:
        corners = accessors[_count(primitive["indices"])]["count"]
    mode = primitive.get("mode", 4)
    return position["count"], corners // 3 if mode == 4 else max(corners - 2, 0)


def _check_images(content: Mapping[str, Any], binary: bytes) -> None:
    pixels = 0
    for item in content.get("images", []):
        if "bufferView" not in item:
            _refuse("it keeps pictures in other files; export everything into one GLB")
        view = content["bufferViews"][_count(item["bufferView"])]
        start = view.get("byteOffset", 0)
        pixels += picture_pixels(binary[start : start + view["byteLength"]])
    if pixels > MAX_TEXTURE_PIXELS:
        _refuse(f"textures of {pixels:,} pixels; {MAX_TEXTURE_PIXELS:,} are read. Shrink them")


def picture_pixels(data: bytes) -> int:
    """The number of pixels that a picture's header claims.

    Raises:
        AssetError: when it is no picture or claims more than the cap.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            pixels = picture.width * picture.height
    except Exception as fault:
        raise AssetError(f"a texture can't be read ({type(fault).__name__})") from None
    if pixels > MAX_TEXTURE_PIXELS:
        _refuse(f"a texture has {pixels:,} pixels; {MAX_TEXTURE_PIXELS:,} are read. Shrink it")
    return pixels


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 32:
        _refuse(f"{str(value)[:20]} stands where a count is expected")
    return value


def _refuse(problem: str) -> NoReturn:
    raise AssetError(problem)
