"""The door for meshes of others: GLB, OBJ and PLY become assets, or an AssetError that says why.

Symbols: V vertices, F faces. A file is measured before it is parsed (`glb_checks`, sizes, counts),
parsed by trimesh, then checked for finite values, triangles and colours, turned into the asset
frame (z up, nose along +x) and scaled. Textures become vertex colours; coarse meshes are divided
first, so that the picture is not lost.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from lerf_wild.assets.glb_checks import MAX_FACES, MAX_VERTICES, check_glb, picture_pixels
from lerf_wild.assets.mesh import Asset, Piece, finish, scaled
from lerf_wild.errors import AssetError, DatasetError
from lerf_wild.storage.safe_paths import inside

MAX_BYTES = 64 << 20
HEIGHT_RANGE_M = (0.01, 150.0)
FINE_FACES = 6_000
"""Textured meshes are divided until they have about as many triangles."""
AXES = {
    "x": (1, 0, 0), "-x": (-1, 0, 0), "y": (0, 1, 0), "-y": (0, -1, 0), "z": (0, 0, 1),
    "-z": (0, 0, -1),
}  # fmt: skip
FORMATS = (".glb", ".obj", ".ply")


@dataclass(frozen=True)
class ImportSpec:
    """How a file is to be understood."""

    up: str | None = None
    """Axis of the file that points up; y for GLB and OBJ, z for PLY when None."""
    front: str = "x"
    """Axis of the file along which the nose points."""
    height_m: float | None = None
    """Height to scale to; None takes the file's numbers for metres."""
    colour: tuple[int, int, int] | None = None
    """sRGB colour for meshes that have none."""


def import_mesh(
    path: Path, name: str, kind: str, phrases: Sequence[str], spec: ImportSpec = ImportSpec()
) -> Asset:
    """Read a mesh file into the asset frame.

    Raises:
        AssetError: naming the file, what is wrong with it and what helps.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise AssetError(f"{path}: only {', '.join(FORMATS)} files are read; convert it.")
    data = _read_capped(path)
    try:
        piece = _piece(path, suffix, data, spec)
        turned = _turned(piece, spec.up or ("z" if suffix == ".ply" else "y"), spec.front)
        provenance = {"source": path.name}
        asset = finish([turned], name, kind, tuple(phrases), provenance)
        asset = asset if spec.height_m is None else scaled(asset, spec.height_m)
    except AssetError as error:
        raise AssetError(f"{path}: {error}") from None
    low, high = HEIGHT_RANGE_M
    if not low <= asset.height_m <= high:
        raise AssetError(
            f"{path}: is {asset.height_m:.3g} m high; {low} to {high:g} is expected. Its numbers "
            "may not be metres: pass --height-m."
        )
    return asset


def _read_capped(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as fault:
        raise AssetError(f"{path}: can't be read ({fault.strerror}). Check the path.") from None
    if len(data) > MAX_BYTES:
        raise AssetError(f"{path}: is larger than {MAX_BYTES >> 20} MB; decimate the mesh.")
    return data


def _piece(path: Path, suffix: str, data: bytes, spec: ImportSpec) -> Piece:
    {".glb": check_glb, ".ply": _check_ply, ".obj": _check_obj}[suffix](data)
    try:
        loaded = trimesh.load_scene(
            io.BytesIO(data), file_type=suffix[1:], process=False, resolver=_Beside(path.parent)
        )
        parts = [part for part in loaded.dump() if isinstance(part, trimesh.Trimesh)]
    except (AssetError, DatasetError) as error:
        raise AssetError(str(error)) from None
    except Exception as fault:
        # Whatever a foreign parser trips over, the file is to blame.
        raise AssetError(f"is damaged or no mesh ({type(fault).__name__}); export it again.") from (
            None
        )
    parts = [part for part in parts if len(part.faces)]
    if not parts:
        raise AssetError("has no triangles; export it again as a mesh.")
    pieces = [_coloured(part, spec) for part in parts]
    starts = np.cumsum([0] + [len(piece.vertices_V3) for piece in pieces[:-1]])
    faces = [piece.faces_F3 + start for piece, start in zip(pieces, starts)]
    return Piece(
        np.concatenate([piece.vertices_V3 for piece in pieces]),
        np.concatenate(faces).astype(np.int32),
        np.concatenate([piece.colours_V3 for piece in pieces]),
    )


def _coloured(part: trimesh.Trimesh, spec: ImportSpec) -> Piece:
    vertices, faces = np.asarray(part.vertices), np.asarray(part.faces)
    if len(vertices) > MAX_VERTICES or len(faces) > MAX_FACES:
        raise AssetError(f"has {len(faces):,} triangles; {MAX_FACES:,} are read. Decimate it.")
    if not np.isfinite(vertices).all() or np.abs(vertices).max() > 1e6:
        raise AssetError("has vertices that are not finite or far off; export it again.")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise AssetError("has triangles of vertices that are not there; export it again.")
    if spec.colour is not None:
        colours = np.tile(np.float32(spec.colour), (len(vertices), 1))
    else:
        part = _divided(part)
        vertices, faces = np.asarray(part.vertices), np.asarray(part.faces)
        colours = _colours(part)
    return Piece(vertices.astype(np.float32), faces.astype(np.int32), colours.astype(np.float32))


def _has_texture(part: trimesh.Trimesh) -> bool:
    material = getattr(part.visual, "material", None)
    return any(getattr(material, name, None) is not None for name in ("image", "baseColorTexture"))


def _divided(part: trimesh.Trimesh) -> trimesh.Trimesh:
    if not _has_texture(part) or getattr(part.visual, "uv", None) is None:
        return part
    while 4 * len(part.faces) <= 2 * FINE_FACES:
        part = part.subdivide()
    return part


def _colours(part: trimesh.Trimesh) -> NDArray[np.float32]:
    """sRGB colours (V, 3) of a mesh from its vertices, its texture or its material."""
    visual: Any = part.visual
    if visual.kind in ("vertex", "face"):
        return np.asarray(visual.vertex_colors, np.float32)[:, :3]
    if visual.kind == "texture" or hasattr(visual, "material"):
        if not _has_texture(part):
            return _plain_colour(part)
        if visual.uv is None or len(visual.uv) != len(part.vertices):
            raise AssetError(
                "has a texture but no texture coordinates (UVs); unwrap it, or pass --colour."
            )
        if not np.isfinite(visual.uv).all():
            raise AssetError("has texture coordinates (UVs) that are not finite; unwrap it again.")
        return np.asarray(visual.to_color().vertex_colors, np.float32)[:, :3]
    raise AssetError(
        "has no colours: no texture coordinates (UVs) and no colour of its vertices; pass --colour."
    )


def _plain_colour(part: trimesh.Trimesh) -> NDArray[np.float32]:
    material = part.visual.material
    factor = getattr(material, "baseColorFactor", None)
    if factor is not None:
        linear = np.asarray(factor)[:3]
        # trimesh holds what a file has as bytes: of 255, however dark.
        linear = linear / 255.0 if linear.dtype.kind in "ui" or linear.max() > 1.0 else linear
        colour = 255.0 * np.clip(linear, 0, 1) ** (1 / 2.2)
    elif getattr(material, "diffuse", None) is not None and material.name is not None:
        colour = np.asarray(material.diffuse, np.float32)[:3]
    else:
        raise AssetError(
            "has no colours: no texture coordinates (UVs), no colour of its vertices and none of "
            "its material; pass --colour."
        )
    return np.tile(colour, (len(part.vertices), 1)).astype(np.float32)


def _turned(piece: Piece, up: str, front: str) -> Piece:
    """From the file's axes to the asset frame."""
    if up not in AXES or front not in AXES or up[-1] == front[-1]:
        raise AssetError(f"up {up!r} and front {front!r} must be two of {', '.join(AXES)}.")
    forward, upward = np.array(AXES[front]), np.array(AXES[up])
    rows = np.stack([forward, np.cross(upward, forward), upward])
    return Piece((piece.vertices_V3 @ rows.T).astype(np.float32), piece.faces_F3, piece.colours_V3)


def _check_ply(data: bytes) -> None:
    """Element counts of the header against the size of the file; a row has at least a byte."""
    end = data.find(b"end_header", 0, 1 << 16)
    if not data.startswith(b"ply") or end < 0:
        raise AssetError("is no PLY file.")
    for line in data[:end].splitlines():
        words = line.split()
        if words[:1] == [b"element"]:
            if len(words) != 3 or not re.fullmatch(rb"[0-9]{1,9}", words[2]):
                raise AssetError("has an element without a sane count; export it again.")
            if int(words[2]) > min(MAX_VERTICES, len(data)):
                raise AssetError(
                    f"claims {int(words[2]):,} rows; it may be damaged, else decimate it."
                )


def _check_obj(data: bytes) -> None:
    if b"\0" in data[:4096]:
        raise AssetError("is no OBJ file.")
    vertices, faces = data.count(b"\nv "), data.count(b"\nf ")
    if vertices > MAX_VERTICES or faces > MAX_FACES:
        raise AssetError(f"has {faces:,} faces; {MAX_FACES:,} are read. Decimate it.")


class _Beside(trimesh.resolvers.Resolver):
    """Gives the parser material files and textures from the mesh's own folder alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str) -> bytes:
        """The bytes of a file beside the mesh.

        Raises:
            AssetError: for a name outside the folder, and for a file too large.
        """
        path = inside(self.folder, name.strip())
        data = _read_capped(path)
        if path.suffix.lower() not in (".mtl", ".bin"):
            picture_pixels(data)
        return data

    def write(self, name: str, data: bytes) -> None:
        """Nothing is ever written."""
        raise AssetError(f"{name[:40]!r} is not written.")

    def namespaced(self, namespace: str) -> _Beside:
        """A part of the folder; meshes have no use for one."""
        raise AssetError(f"{namespace[:40]!r} is not read.")

    def keys(self) -> list[str]:
        """The parser has no need to list the folder."""
        return []
