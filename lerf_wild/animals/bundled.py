"""The bundled quadruped: the model, its species, and the regions that coats are painted by."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lerf_wild.animals.body import BodyModel
from lerf_wild.animals.body_files import body_from_arrays, read_body_arrays
from lerf_wild.errors import InputError

QUADRUPED = Path(__file__).parent.parent / "weights" / "quadruped" / "quadruped.safetensors"


@dataclass(frozen=True)
class Quadruped:
    """The bundled body model and what belongs to its own mesh."""

    model: BodyModel
    species_betas: dict[str, Tensor]
    """Shape coefficients (41,) of each named species."""
    species_height_m: dict[str, float]
    """Typical height at the withers."""
    regions_VR: NDArray[np.float32]
    """How much each vertex belongs to each of ``region_names``."""
    region_names: tuple[str, ...]

    def betas_of(self, species: str) -> Tensor:
        """Shape coefficients of a species by name.

        Raises:
            InputError: the species is not in the table.
        """
        if species not in self.species_betas:
            known = ", ".join(self.species_betas)
            raise InputError(f"No species is called {species[:60]!r}; known are {known}.")
        return self.species_betas[species]

    def region(self, *names: str) -> NDArray[np.float32]:
        """Weight 0-1 of regions for each vertex, (V,)."""
        columns = [self.region_names.index(name) for name in names]
        return self.regions_VR[:, columns].sum(axis=1)


@cache
def load_quadruped(path: Path = QUADRUPED) -> Quadruped:
    """Reads the bundled quadruped once a process."""
    arrays, metadata = read_body_arrays(path)
    names = json.loads(metadata["species"])
    return Quadruped(
        model=body_from_arrays(arrays, metadata, str(path)),
        species_betas=dict(zip(names, torch.from_numpy(arrays["species_betas"]))),
        species_height_m=dict(zip(names, map(float, arrays["species_height_m"]))),
        regions_VR=arrays["regions"],
        region_names=tuple(json.loads(metadata["region_names"])),
    )
