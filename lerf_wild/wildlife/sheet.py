"""Maps of the ground: heights that are read between their cells, and cells that are read as such.

Symbols: N positions (any leading dimensions), X x Y cells; row i, column j of a map is the middle
of a cell. Frame: the stage (metres, z up).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True)
class Sheet:
    """Heights on a regular map."""

    low_2: Float[np.ndarray, "2"]
    """Corner of the map's first cell."""
    cell_m: float
    height_XY: Float[np.ndarray, "X Y"]
    is_sure_XY: Bool[np.ndarray, "X Y"] | None = None
    """Where enough photos show it and agree; everywhere when None."""

    def height(self, xy_N2: Float[np.ndarray, "*N 2"]) -> Float[np.ndarray, "*N"]:
        """Heights, interpolated; beyond the map those of the nearest cell."""
        return self._read(self.height_XY, xy_N2)

    def to_sure(self, xy_N2: Float[np.ndarray, "*N 2"]) -> Float[np.ndarray, "*N"]:
        """Metres to the nearest sure cell; 0 everywhere on a map that has none."""
        return self._read(self._to_sure_XY, xy_N2)

    def _read(self, values_XY: NDArray, xy_N2: NDArray) -> NDArray:
        cells_N2 = (np.asarray(xy_N2, np.float64) - self.low_2) / self.cell_m - 0.5
        cells_2N = np.moveaxis(cells_N2, -1, 0)
        return ndimage.map_coordinates(values_XY, cells_2N, order=1, mode="nearest")

    @cached_property
    def _to_sure_XY(self) -> Float[np.ndarray, "X Y"]:
        if self.is_sure_XY is None or not self.is_sure_XY.any():
            return np.zeros(self.height_XY.shape)
        return self.cell_m * ndimage.distance_transform_edt(~self.is_sure_XY)


def values_at(map_KK: NDArray, xy_N2: NDArray, low_2: NDArray, cell_m: float) -> NDArray[np.bool_]:
    """Values of a map at positions (..., 2); False beyond it."""
    cells_N2 = np.floor((np.asarray(xy_N2, np.float64) - low_2) / cell_m).astype(int)
    size_2 = np.array(map_KK.shape)
    inside = ((cells_N2 >= 0) & (cells_N2 < size_2)).all(axis=-1)
    rows, columns = np.moveaxis(np.clip(cells_N2, 0, size_2 - 1), -1, 0)
    return inside & map_KK[rows, columns]
