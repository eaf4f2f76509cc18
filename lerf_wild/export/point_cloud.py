"""The relevancy point cloud: what an export holds, whatever the file format.

Symbols: N points, P phrases.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from lerf_wild.errors import ExportError

SLUG_CHARACTERS = 24
"""Longest column name a phrase gets."""


@dataclass(frozen=True, eq=False)
class RelevancyCloud:
    """Points of a scene with a score per phrase.

    Raises ExportError when the arrays disagree in length or are of the wrong kind. Values that
    aren't finite are let in, and taken out by `without_non_finite` before writing.
    """

    positions_N3: np.ndarray
    """float64, world frame, right-handed with z up; metres where the scene has a metric scale."""
    normals_N3: np.ndarray
    """float32 unit vectors, or zeros where unknown."""
    colours_N3: np.ndarray
    """uint8 RGB."""
    relevancy_NP: np.ndarray
    """float32 scores from 0 to 1, one column a phrase."""
    scale_N: np.ndarray
    """float32 size at which the best phrase was found, in metres or scene units."""
    views_N: np.ndarray
    """uint16 number of training views that see the point."""
    phrases: tuple[str, ...]
    """What was asked for, one phrase a column of relevancy_NP."""
    canonical: tuple[str, ...] = ()
    """The phrases that scores were measured against."""
    metadata: Mapping[str, object] = field(default_factory=dict)
    """JSON values by lower-case name, such as frame, units, encoder, meters_per_unit."""

    def __post_init__(self) -> None:
        points, phrases = len(self.positions_N3), len(self.phrases)
        if phrases == 0:
            raise ExportError("A relevancy cloud needs at least one phrase.")
        expected = {
            "positions_N3": ((points, 3), np.float64),
            "normals_N3": ((points, 3), np.float32),
            "colours_N3": ((points, 3), np.uint8),
            "relevancy_NP": ((points, phrases), np.float32),
            "scale_N": ((points,), np.float32),
            "views_N": ((points,), np.uint16),
        }
        for name, (shape, dtype) in expected.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != dtype:
                raise ExportError(
                    f"{name} is {array.dtype}{list(array.shape)}, "
                    f"expected {np.dtype(dtype)}{list(shape)}."
                )

    def __len__(self) -> int:
        return len(self.positions_N3)

    @property
    def best_N(self) -> np.ndarray:
        """The highest score over all phrases, float32."""
        return self.relevancy_NP.max(axis=1)


def without_non_finite(cloud: RelevancyCloud) -> tuple[RelevancyCloud, int]:
    """Returns the cloud without points that hold NaN or infinity, and how many those were."""
    keep_N = finite_points(cloud)
    dropped = int(len(cloud) - keep_N.sum())
    if dropped == 0:
        return cloud, 0
    arrays = {
        item.name: getattr(cloud, item.name)[keep_N]
        for item in fields(cloud)
        if item.name.endswith(("_N", "_N3", "_NP"))
    }
    return replace(cloud, **arrays), dropped


def finite_points(cloud: RelevancyCloud) -> np.ndarray:
    """Returns bool [N]: True where every number of the point is finite."""
    whole = np.isfinite(cloud.scale_N)
    for array in (cloud.positions_N3, cloud.normals_N3, cloud.relevancy_NP):
        # A sum is finite only if its terms are (float32 scores can't overflow it), and it is
        # several times faster than reducing a mask of every number.
        with np.errstate(invalid="ignore", over="ignore"):
            whole &= np.isfinite(array.sum(axis=1, dtype=np.float64))
    return whole


def require_finite(cloud: RelevancyCloud) -> None:
    """Raises ExportError when a point holds NaN or infinity."""
    bad = int(len(cloud) - finite_points(cloud).sum())
    if bad:
        raise ExportError(f"{bad} of {len(cloud)} points are not finite; drop them before writing.")


def slugs(phrases: Sequence[str], max_characters: int = SLUG_CHARACTERS) -> tuple[str, ...]:
    """Returns a unique column name `[a-z0-9_]{1,max_characters}` for each phrase, in order.

    Accents are dropped; a phrase with nothing left, such as an emoji, is named by its place.
    """
    taken: dict[str, None] = {}
    for index, phrase in enumerate(phrases):
        plain = unicodedata.normalize("NFKD", phrase).encode("ascii", "ignore").decode()
        stem = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")[:max_characters].strip("_")
        stem = stem or f"phrase_{index}"
        slug, number = stem, 1
        while slug in taken:
            number += 1
            ending = f"_{number}"
            slug = stem[: max_characters - len(ending)] + ending
        taken[slug] = None
    return tuple(taken)


def coordinate_offset(positions_N3: np.ndarray) -> np.ndarray:
    """Returns float64 [3], whole numbers to subtract so that float32 keeps a tenth of a millimetre.

    It is zero for scenes near the origin, which is most of them, and the rounded centre for
    geographic coordinates.
    """
    if len(positions_N3) == 0 or np.abs(positions_N3).max() < 1000:
        return np.zeros(3)
    return np.round((positions_N3.min(axis=0) + positions_N3.max(axis=0)) / 2)
