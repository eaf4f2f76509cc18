"""Points of a scene with a score for each phrase, whatever scored them.

N points, P phrases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from lerf_wild.export.point_cloud import RelevancyCloud
from lerf_wild.frames import Placed

Frame = Literal["world", "nerf"]


@dataclass(frozen=True)
class SurfacePoints:
    """Points in the nerf frame with their scores."""

    positions_N3: Float[np.ndarray, "N 3"]
    normals_N3: Float[np.ndarray, "N 3"]
    colours_N3: np.ndarray
    relevancy_NP: Float[np.ndarray, "N P"]
    views_N: Int[np.ndarray, "N"]

    def __len__(self) -> int:
        return len(self.positions_N3)


@dataclass(frozen=True)
class MarchedPoints(SurfacePoints):
    """Surface points with what their rays went through, for asking later."""

    samples_NK4: Float[np.ndarray, "N K 4"]
    """The heaviest samples of each ray: contracted position and weight."""
    shown_by_N: Int[np.ndarray, "N"]
    """Index of the training view whose ray ends in the point."""


@dataclass(frozen=True)
class ScoredScene:
    """What a query found in a whole scene."""

    points: SurfacePoints
    phrases: tuple[str, ...]
    canonical: tuple[str, ...]
    size_P: Float[np.ndarray, "P"]
    """Size at which each phrase was looked for, in nerf units."""


def cloud_of(
    place: Placed, found: ScoredScene, encoder: str, frame: Frame = "world"
) -> RelevancyCloud:
    """Returns the points as an exportable cloud, in the world frame or in that of the training."""
    points = found.points
    is_world = frame == "world"
    positions = place.to_world(points.positions_N3) if is_world else points.positions_N3
    normals = place.directions_to_world(points.normals_N3) if is_world else points.normals_N3
    length = place.length_per_nerf if is_world else 1.0
    best_N = points.relevancy_NP.argmax(axis=1)
    metric = is_world and place.meters_per_unit is not None
    metadata: dict[str, object] = {
        "frame": frame,
        "units": "scale in metres, positions as in the capture" if metric else "scene units",
        "encoder": encoder,
    }
    if place.meters_per_unit is not None:
        metadata["meters_per_unit"] = place.meters_per_unit / (1.0 if is_world else place.scale)
    return RelevancyCloud(
        positions_N3=positions.astype(np.float64),
        normals_N3=normals.astype(np.float32),
        colours_N3=points.colours_N3,
        relevancy_NP=np.ascontiguousarray(points.relevancy_NP),
        scale_N=(found.size_P * length)[best_N].astype(np.float32),
        views_N=points.views_N.astype(np.uint16),
        phrases=found.phrases,
        canonical=found.canonical,
        metadata=metadata,
    )
