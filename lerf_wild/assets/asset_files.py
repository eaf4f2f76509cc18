"""The door for library assets on disk: one safetensors file each, mesh and description together.

Symbols: V vertices, F faces. The mesh is in the asset frame (metres, z up, nose along +x, standing
on z = 0); the description is JSON in the file's header.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lerf_wild.assets.mesh import Asset
from lerf_wild.errors import AssetError
from lerf_wild.program.statements import KINDS
from lerf_wild.storage.atomic import write_bytes, writing

SUFFIX = ".safetensors"
MAX_FILE_BYTES = 64 << 20
MAX_FACES = 400_000
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_ARRAYS = {"vertices": ("F32", 3), "faces": ("I32", 3), "colours": ("U8", 3)}


@dataclass(frozen=True)
class Description:
    """What a library asset says about itself."""

    kind: str
    species: str
    phrases: tuple[str, ...]
    licence: str
    provenance: Mapping[str, object]


def checked_name(name: str) -> str:
    """The name of an asset, which is also the name of its file.

    Raises:
        AssetError: for anything but 1 to 64 small letters, digits and `_.-`.
    """
    if not _NAME.fullmatch(name) or ".." in name or name.endswith("."):
        raise AssetError(
            f"{name[:40]!r} can't name an asset; use small letters, digits and _ . - "
            "(such as red_fox_2)."
        )
    return name


def checked_kind(kind: object) -> str:
    """One of the six kinds.

    Raises:
        AssetError: for any other.
    """
    if kind not in KINDS:
        raise AssetError(f"Kind {str(kind)[:40]!r} is none of {', '.join(KINDS)}.")
    return str(kind)


def mesh_key(asset: Asset) -> str:
    """Hash of the arrays of a mesh, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for array in (asset.vertices_V3, asset.faces_F3, asset.colours_V3):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def write_asset(folder: Path, asset: Asset, description: Description) -> Path:
    """Write an asset atomically and return its file.

    Raises:
        AssetError: when the name can't be used or the file can't be written.
    """
    path = folder / f"{checked_name(asset.name)}{SUFFIX}"
    content = {
        "kind": checked_kind(description.kind),
        "species": description.species,
        "phrases": list(description.phrases),
        "licence": description.licence,
        "provenance": dict(description.provenance),
        "height_m": asset.height_m,
        "key": mesh_key(asset),
    }
    arrays = {
        "vertices": np.ascontiguousarray(asset.vertices_V3, np.float32),
        "faces": np.ascontiguousarray(asset.faces_F3, np.int32),
        "colours": np.ascontiguousarray(asset.colours_V3, np.uint8),
    }
    data = save(arrays, {"asset": json.dumps(content, allow_nan=False)})
    with writing(path, AssetError):
        write_bytes(path, data)
    return path


def read_description(path: Path) -> tuple[Description, float, str]:
    """The description, the height in metres and the mesh's hash of an asset file.

    Raises:
        AssetError: when the file is missing or is no asset.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise AssetError(f"is larger than {MAX_FILE_BYTES >> 20} MB.")
        with safe_open(path, "np") as file:
            text = (file.metadata() or {}).get("asset", "")
        content = json.loads(text)
        description = Description(
            checked_kind(content["kind"]),
            _words(content["species"]),
            tuple(_words(phrase) for phrase in content["phrases"][:32]),
            _words(content["licence"]),
            {_words(k): _plain(v) for k, v in dict(content["provenance"]).items()},
        )
        height_m, key = float(content["height_m"]), str(content["key"])
        if not 0.0 < height_m < 1e3 or not re.fullmatch(r"[0-9a-f]{64}", key):
            raise ValueError("height or hash out of range")
        return description, height_m, key
    except AssetError as fault:
        raise AssetError(f"{path}: {fault}") from None
    except (
        *(OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError),
        *(AttributeError, OverflowError),
    ) as fault:
        raise AssetError(f"{path}: is no asset file ({_reason(fault)}); add it again.") from None


def read_asset(path: Path) -> Asset:
    """The mesh of an asset file, checked.

    Raises:
        AssetError: when the file is damaged, too big or holds values out of range.
    """
    description, height_m, _ = read_description(path)
    try:
        with safe_open(path, "np") as file:
            for name, (dtype, columns) in _ARRAYS.items():
                layout = file.get_slice(name)
                shape = layout.get_shape()
                if layout.get_dtype() != dtype or len(shape) != 2 or shape[1] != columns:
                    raise ValueError(f"{name} is {layout.get_dtype()} of shape {shape}")
            vertices, faces, colours = (file.get_tensor(name) for name in _ARRAYS)
    except (OSError, SafetensorError, ValueError) as fault:
        raise AssetError(f"{path}: is no asset file ({_reason(fault)}); add it again.") from None
    _check_arrays(path, vertices, faces, colours)
    return Asset(
        path.name.removesuffix(SUFFIX),
        description.kind,
        description.phrases,
        vertices,
        faces,
        colours,
        height_m,
        description.provenance,
    )


def _check_arrays(path: Path, vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray) -> None:
    sound = (
        0 < len(faces) <= MAX_FACES
        and len(vertices) == len(colours)
        and np.isfinite(vertices).all()
        and faces.min() >= 0
        and faces.max() < len(vertices)
    )
    if not sound:
        raise AssetError(f"{path}: holds vertices or faces out of range; add the asset again.")


def _plain(value: object) -> object:
    return _words(value, 300) if isinstance(value, str) else value


def _words(text: object, most: int = 80) -> str:
    """Text that a terminal can show: files may come from others."""
    return "".join(c if c.isprintable() else " " for c in str(text)[:most])


def _reason(fault: Exception) -> str:
    return (str(fault) or type(fault).__name__).splitlines()[0][:120]
