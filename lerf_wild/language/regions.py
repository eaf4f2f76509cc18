"""From scored points to things with a place: peak, centroid and a box that stands upright.

N points in world coordinates (z up, units of the scene), V occupied voxels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, QhullError, cKDTree

from lerf_wild.language.thresholds import EXISTENCE_RELEVANCY, MASK_RELEVANCY

LINK_SHARE = 0.15
"""Points closer than this share of the query's size belong together: gaps within a thing are
smaller, gaps between two of them larger."""

TRIM_SHARE = 0.01
"""Share of points at either end of each axis that a box may leave out, as strays of the depth."""

LINK_GAPS = 2.0
"""Points within this many usual gaps belong to one thing: even samples are not evenly spaced."""

SUPPORT, NEAREST = 8, 32
"""Points that make a place relevant, and the neighbours among which they are looked for."""
FEWEST = 200
"""Of a phrase that is nowhere, this many of the best points are looked at."""


@dataclass(frozen=True)
class UprightBox:
    """A box whose vertical edges are parallel to z."""

    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    """Lengths along its own x, own y and the world's z; the first is the longer horizontal one."""
    yaw_rad: float
    """Angle from the world's x axis to the box's own, in (-pi/2, pi/2]."""

    @property
    def volume(self) -> float:
        """Content of the box in cubic scene units."""
        return float(np.prod(self.size))

    def corners(self) -> Float[np.ndarray, "8 3"]:
        """Returns the corners in world coordinates."""
        signs_83 = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1], indexing="ij")).reshape(3, 8).T
        local_83 = signs_83 * np.asarray(self.size) / 2
        cos, sin = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        rotation_33 = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        return local_83 @ rotation_33.T + np.asarray(self.centre)


@dataclass(frozen=True)
class FoundRegion:
    """One connected group of relevant points."""

    peak: tuple[float, float, float]
    """Position of its most relevant place."""
    score: float
    """Its highest relevancy."""
    support: float
    """What its rank among the regions follows: relevancy of its most relevant place."""
    centroid: tuple[float, float, float]
    """Mean position, weighted by how far the relevancy is above the threshold."""
    box: UprightBox
    point_count: int
    core_M3: Float[np.ndarray, "M 3"] = field(repr=False, compare=False)
    """Its more relevant points: those from halfway between the threshold and its score."""


class Sighting(NamedTuple):
    """A thing that the photos show."""

    region: FoundRegion
    """Its score and support are what the photos say."""
    size: float
    """Of the tiles that show it best, in the units of the points."""


def find_regions(
    points_N3: Float[np.ndarray, "N 3"],
    scores_N: Float[np.ndarray, "N"],
    size: float,
    threshold: float = MASK_RELEVANCY,
    existence: float = EXISTENCE_RELEVANCY,
    max_regions: int = 10,
    support_N: Float[np.ndarray, "N"] | None = None,
) -> list[FoundRegion]:
    """Groups the relevant points of a phrase into regions, the most relevant first.

    Args:
        points_N3: in world coordinates, z up. Points that are not finite are left out.
        scores_N: relevancy of every point, 0 to 1.
        size: extent of the thing that is sought (the scale of the query), in scene units.
        threshold: points above it belong to a region.
        existence: regions whose peak is not above it are left out.
        max_regions: at most this many are returned.
        support_N: what decides where a region's peak is and which region comes first (see
            `supported`); the scores when None.
    """
    chosen_N = np.isfinite(points_N3).all(-1) & (np.nan_to_num(scores_N) > threshold)
    points, scores = np.asarray(points_N3, np.float64)[chosen_N], np.asarray(scores_N)[chosen_N]
    if len(points) == 0:
        return []
    ranks = scores if support_N is None else np.asarray(support_N)[chosen_N]
    groups = group_points(points, LINK_SHARE * size)
    peaks, highest = np.full((2, groups.max() + 1), -np.inf)
    np.maximum.at(peaks, groups, scores)
    np.maximum.at(highest, groups, ranks)
    best_first = [
        group for group in np.argsort(-highest, kind="stable") if peaks[group] > existence
    ]
    own = [groups == group for group in best_first[:max_regions]]
    return [_describe(points[rows], scores[rows], ranks[rows], threshold) for rows in own]


def supported(
    points_N3: Float[np.ndarray, "N 3"],
    scores_N: Float[np.ndarray, "N"],
    reach: float,
    threshold: float = MASK_RELEVANCY,
) -> Float[np.ndarray, "N"]:
    """How relevant a place is, rather than one stray point of it.

    The mean of the SUPPORT highest scores among the NEAREST points within reach; a missing one
    counts 0. The most relevant point alone may be a sample that hangs in the air between things.

    Args:
        points_N3: evenly spread over surfaces.
        scores_N: relevancy of every point.
        reach: radius; a few times the distance of neighbouring points.
        threshold: points below it, but for the best few, are given 0.
    """
    found_N = np.zeros(len(scores_N))
    if len(scores_N) == 0:
        return found_N
    least = np.partition(scores_N, -min(FEWEST, len(scores_N)))[-min(FEWEST, len(scores_N))]
    rows = np.flatnonzero(scores_N >= min(threshold, least))
    near_RK = cKDTree(points_N3).query(points_N3[rows], k=NEAREST, distance_upper_bound=reach)[1]
    scores_RK = np.append(scores_N, 0.0)[near_RK]
    found_N[rows] = np.partition(scores_RK, NEAREST - SUPPORT, axis=1)[:, -SUPPORT:].mean(axis=1)
    return found_N


def point_gap(points_N3: Float[np.ndarray, "N 3"], probes: int = 2000) -> float:
    """Returns the usual distance from a point to its nearest neighbour."""
    if len(points_N3) < 2:
        return 0.0
    some_N3 = points_N3[:: max(1, len(points_N3) // probes)]
    distances, _ = cKDTree(points_N3).query(some_N3, k=2)
    return float(np.median(distances[:, 1]))


def linked_size(size: float, gap: float) -> float:
    """The size to group points by: where they are sparse, neighbours belong together however small
    the thing that is sought."""
    return max(size, LINK_GAPS * gap / LINK_SHARE)


def group_points(points_N3: Float[np.ndarray, "N 3"], distance: float) -> Int[np.ndarray, "N"]:
    """Numbers the connected groups of points, where neighbouring voxels of side `distance` connect.

    Working on voxels keeps the cost in step with the number of occupied ones, however densely the
    points lie. Numbers follow the first point of each group.
    """
    cells_N3 = np.floor((points_N3 - points_N3.min(0)) / max(distance, 1e-9)).astype(np.int64)
    cells_V3, voxel_N = np.unique(cells_N3, axis=0, return_inverse=True)
    # 1.75 is just above the distance of two voxels that share a corner, the square root of 3.
    pairs = cKDTree(cells_V3).query_pairs(1.75, output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(cells_V3), len(cells_V3)))
    label_V = connected_components(links, directed=False)[1]
    label_N = label_V[voxel_N.reshape(-1)]
    first = np.unique(label_N, return_index=True)[1]
    return np.argsort(np.argsort(first))[label_N]


def upright_box(points_N3: Float[np.ndarray, "N 3"], trim: float = TRIM_SHARE) -> UprightBox:
    """Returns the upright box of least floor area around the points.

    The floor rectangle of least area has a side along an edge of the convex hull (Freeman and
    Shapira 1975), so trying the hull's edges is exact. `trim` of the points may stick out at either
    end of each axis.
    """
    low_3, high_3 = np.quantile(points_N3, [trim, 1 - trim], axis=0)
    kept = points_N3[((points_N3 >= low_3) & (points_N3 <= high_3)).all(-1)]
    kept = kept if len(kept) > 0 else points_N3
    angles = _edge_angles(kept[:, :2])
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    along_EN = cos * kept[:, 0] + sin * kept[:, 1]
    across_EN = cos * kept[:, 1] - sin * kept[:, 0]
    lengths_E2 = np.stack([np.ptp(along_EN, axis=1), np.ptp(across_EN, axis=1)], axis=-1)
    best = int(np.argmin(lengths_E2.prod(-1) + 1e-9 * lengths_E2.sum(-1)))
    u, v = ((row.min() + row.max()) / 2 for row in (along_EN[best], across_EN[best]))
    centre_xy = np.cos(angles[best]) * np.array([u, v]) + np.sin(angles[best]) * np.array([-v, u])
    z0, z1 = kept[:, 2].min(), kept[:, 2].max()
    return _longer_side_first(centre_xy, lengths_E2[best], float(angles[best]), z0, z1)


def _longer_side_first(
    centre_xy: np.ndarray, lengths_2: np.ndarray, yaw: float, z0: float, z1: float
) -> UprightBox:
    length, breadth = (float(value) for value in lengths_2)
    if breadth > length:
        length, breadth, yaw = breadth, length, yaw + np.pi / 2
    yaw = float(np.pi / 2 - (np.pi / 2 - yaw) % np.pi)
    centre = (float(centre_xy[0]), float(centre_xy[1]), float(z0 + z1) / 2)
    return UprightBox(centre, (length, breadth, float(z1 - z0)), yaw)


def _edge_angles(points_N2: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "E"]:
    try:
        hull = points_N2[ConvexHull(points_N2).vertices]
    except (QhullError, ValueError):
        # Fewer than three points or all on a line: along the line between the extremes.
        spread = points_N2.max(0) - points_N2.min(0)
        ends = points_N2[[points_N2[:, np.argmax(spread)].argmin(), 0]]
        ends[1] = points_N2[points_N2[:, np.argmax(spread)].argmax()]
        hull = ends
    edges = np.roll(hull, -1, axis=0) - hull
    return np.unique(np.arctan2(edges[:, 1], edges[:, 0]))


def _describe(
    points: Float[np.ndarray, "N 3"],
    scores: Float[np.ndarray, "N"],
    ranks: Float[np.ndarray, "N"],
    threshold: float,
) -> FoundRegion:
    peak = int(np.argmax(ranks))
    weights = np.maximum(scores - threshold, 1e-9)
    centroid = (points * weights[:, None]).sum(0) / weights.sum()
    is_core = scores >= (threshold + scores.max()) / 2
    return FoundRegion(
        peak=tuple(float(value) for value in points[peak]),
        score=float(scores.max()),
        support=float(ranks[peak]),
        centroid=tuple(float(value) for value in centroid),
        box=upright_box(points),
        point_count=len(points),
        core_M3=points[is_core],
    )
