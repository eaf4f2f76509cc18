"""Posed animals as OBJ, PLY and npz, and parameter files that remember whose they are.

Symbols: V vertices, J joints, K betas. Meshes keep the body's frame (z up) and its units.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray

from lerf_wild.animals.body import BodyModel
from lerf_wild.errors import ExportError, InputError, ModelFileError
from lerf_wild.storage.atomic import write_bytes, writing

MESH_SUFFIXES = (".obj", ".ply")


@dataclass(frozen=True)
class AnimalParameters:
    """A shape, a pose and a size of one animal, and the hash of the model that they belong to."""

    betas: torch.Tensor
    """(K,)."""
    rotations: torch.Tensor
    """(J, 3, 3)."""
    translation: torch.Tensor
    """(3,), model units."""
    model_sha256: str
    metres_per_unit: float = 1.0


def write_mesh(
    path: Path | str,
    vertices_V3: NDArray[np.floating],
    faces_F3: NDArray[np.integer],
    colours_V3: NDArray[np.uint8] | None = None,
) -> None:
    """Writes a mesh as .obj or binary .ply, atomically; raises ExportError for another suffix."""
    suffix = Path(path).suffix.lower()
    if suffix not in MESH_SUFFIXES:
        raise ExportError(f"{path}: name the file with one of {', '.join(MESH_SUFFIXES)}.")
    mesh = trimesh.Trimesh(vertices_V3, faces_F3, vertex_colors=colours_V3, process=False)
    content = mesh.export(file_type=suffix[1:])
    with writing(path):
        write_bytes(path, content.encode() if isinstance(content, str) else content)


def write_parameters(path: Path | str, animal: AnimalParameters) -> None:
    """Writes parameters as .npz without pickles, atomically."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        betas=animal.betas.detach().cpu().numpy(),
        rotations=animal.rotations.detach().cpu().numpy(),
        translation=animal.translation.detach().cpu().numpy(),
        metres_per_unit=np.float64(animal.metres_per_unit),
        model_sha256=np.frombuffer(animal.model_sha256.encode("ascii"), np.uint8),
    )
    write_bytes(path, buffer.getvalue())


def read_parameters(path: Path | str, model: BodyModel) -> AnimalParameters:
    """Reads what `write_parameters` wrote, for the model that it was written for.

    Raises:
        ModelFileError: the file is missing, damaged or something else.
        InputError: it belongs to another model, or holds numbers that aren't finite.
    """
    arrays = _read_npz(Path(path))
    digest = arrays["model_sha256"].astype(np.uint8).tobytes().decode("ascii", "replace")
    if digest != model.sha256:
        raise InputError(
            f"{path}: its betas belong to another body model ({digest[:12]}, this one is "
            f"{model.sha256[:12]}); give that model."
        )
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise InputError(f"{path}: holds NaN or infinity.")
    tensors = {name: torch.from_numpy(arrays[name]) for name in ("betas", "rotations")}
    shift = torch.from_numpy(arrays["translation"])
    size = float(arrays["metres_per_unit"])
    return AnimalParameters(**tensors, translation=shift, model_sha256=digest, metres_per_unit=size)


def _read_npz(path: Path) -> dict[str, NDArray]:
    names = ("betas", "rotations", "translation", "metres_per_unit", "model_sha256")
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file. Give parameters as .npz.")
    try:
        # The handle is ours, since numpy leaves its own open when the archive is damaged.
        with open(path, "rb") as handle:
            found = np.load(handle, allow_pickle=False)  # noqa: TID251 - this module is the door.
            return {name: found[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).split("\n")[0][:100]
        raise ModelFileError(f"{path}: holds no animal's parameters ({reason}).") from None
