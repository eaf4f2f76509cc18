"""One safetensors file a baked scene."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from lerf_wild.baked.field import BakedField
from lerf_wild.errors import ExportError, ModelFileError
from lerf_wild.storage.atomic import atomic_path

FORMAT = "lerf_wild.baked"
FORMAT_VERSION = 2
SUFFIX = ".safetensors"

_ARRAYS = {
    "positions_N3": np.float32,
    "normals_N3": np.int8,
    "colours_N3": np.uint8,
    "views_N": np.uint8,
    "counts_V": np.uint32,
    "codes_SKV": np.int8,
    "steps_K": np.float32,
    "basis_DK": np.float32,
    "sizes_S": np.float32,
    "transform_34": np.float64,
    "probes_TM": np.int32,
}


def write_baked(path: Path | str, baked: BakedField) -> None:
    """Writes a baked scene atomically; raises ExportError when the file can't be written."""
    from safetensors.numpy import save_file

    offset_3 = np.round(baked.positions_N3.astype(np.float64).mean(axis=0))
    arrays = {name: getattr(baked, name) for name in _ARRAYS}
    arrays["positions_N3"] = baked.positions_N3.astype(np.float64) - offset_3
    arrays = {name: np.ascontiguousarray(arrays[name], _ARRAYS[name]) for name in _ARRAYS}
    arrays["offset_3"] = offset_3
    arrays["texts_TD"] = _text_table(baked)
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "scale": baked.scale,
        "meters_per_unit": baked.meters_per_unit,
        "encoder": baked.encoder,
        "texts": list(baked.texts),
        "metadata": dict(baked.metadata),
    }
    try:
        with atomic_path(path) as temporary:
            save_file(arrays, temporary, {"lerf_wild": json.dumps(header, allow_nan=False)})
    except (OSError, ValueError, TypeError) as error:
        raise ExportError(f"{path}: can't be written ({error}).") from None


def read_baked(path: Path | str) -> BakedField:
    """Reads a baked scene; raises ModelFileError for anything else."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        with safe_open(path, framework="np") as handle:
            header = _header(path, (handle.metadata() or {}).get("lerf_wild"))
            names = {*_ARRAYS, "offset_3", "texts_TD"}
            missing = names - set(handle.keys())
            if missing:
                raise ModelFileError(f"{path}: lacks {', '.join(sorted(missing))}.")
            arrays = {name: handle.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path}: can't be read as a baked scene ({error}).") from None
    _check(path, arrays)
    offset_3, texts_TD = arrays.pop("offset_3"), arrays.pop("texts_TD")
    texts = header.get("texts", [])
    if offset_3.shape != (3,) or len(texts) != len(texts_TD):
        raise ModelFileError(f"{path}: its texts or its offset are damaged. Bake it again.")
    arrays["positions_N3"] = arrays["positions_N3"].astype(np.float64) + offset_3
    try:
        return BakedField(
            **arrays,
            scale=float(header["scale"]),
            meters_per_unit=header["meters_per_unit"],
            encoder=str(header["encoder"]),
            texts=dict(zip(texts, texts_TD.astype(np.float32))),
            metadata=header.get("metadata", {}),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: a damaged baked scene ({error}). Bake it again.") from None


def _text_table(baked: BakedField) -> np.ndarray:
    if not baked.texts:
        return np.zeros((0, len(baked.basis_DK)), np.float16)
    return np.stack(list(baked.texts.values())).astype(np.float16)


def _header(path: Path, text: str | None) -> dict:
    try:
        header = json.loads(text or "")
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelFileError(f"{path}: not a baked scene. Make one with `lerf-wild bake`.")
    if header.get("format_version") != FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: format version {header.get('format_version')}, expected {FORMAT_VERSION}. "
            "Update lerf-wild, or bake again."
        )
    return header


def _check(path: Path, arrays: dict[str, np.ndarray]) -> None:
    for name, dtype in _ARRAYS.items():
        if arrays[name].dtype != dtype:
            raise ModelFileError(f"{path}: {name} is {arrays[name].dtype}, expected {dtype}.")
        if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
            raise ModelFileError(f"{path}: {name} holds NaN or infinity.")
