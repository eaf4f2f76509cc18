"""Lists of animals' names and betas that users have for their own body models.

Symbols: N animals, K betas.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lerf_wild.animals.body import BodyModel
from lerf_wild.errors import InputError
from lerf_wild.storage.json_files import read_json


def read_named_betas(path: Path | str, model: BodyModel) -> tuple[list[str], Tensor]:
    """Names and betas (N, K) from .npz (`names`, `betas`) or JSON (name -> list of betas).

    Raises:
        InputError: the file is neither, its betas aren't the model's, or aren't finite.
    """
    path = Path(path)
    names, betas = _from_json(path) if path.suffix == ".json" else _from_npz(path)
    if betas.ndim != 2 or len(betas) != len(names) or betas.shape[1] != model.beta_count:
        raise InputError(
            f"{path}: betas are {betas.shape} for {len(names)} names; the model {model.name!r} has "
            f"{model.beta_count} betas."
        )
    if not np.isfinite(betas).all():
        raise InputError(f"{path}: the betas hold NaN or infinity.")
    return names, torch.from_numpy(betas).float()


def _from_json(path: Path) -> tuple[list[str], np.ndarray]:
    found = read_json(path)
    try:
        return [str(name) for name in found], np.array(list(found.values()), dtype=np.float64)
    except (AttributeError, TypeError, ValueError):
        raise InputError(f"{path}: expected an object of name -> list of betas.") from None


def _from_npz(path: Path) -> tuple[list[str], np.ndarray]:
    try:
        with open(path, "rb") as handle:
            found = np.load(handle, allow_pickle=False)  # noqa: TID251 - this module is the door.
            return [str(name) for name in found["names"]], found["betas"].astype(np.float64)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).split("\n")[0][:100]
        raise InputError(f"{path}: holds no names and betas ({reason}).") from None
