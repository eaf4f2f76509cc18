"""Places that are emptied of what the photos show there, and ground filled in below it.

Symbols: N points, (u, v) a point's place in a clearing's ellipse, whose edge is u^2 + v^2 = 1 and
whose longer axis is that of u. Frame: the stage (metres, z up).

What stands in an upright elliptic column is taken out of the field. What is behind it, other
photos have shown; only the ground that it stood on, none has. There the field is asked elsewhere:
at the place that mirrors the point across the nearer long edge, v -> 2 sqrt(1 - u^2) - v, as high
above the ground there as it was here. So grass goes on as grass, in colour, density and language
alike. Where something stands beyond one of the edges, all is mirrored across the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from lerf_wild.errors import WildlifeError
from lerf_wild.wildlife.ground import OBSTACLE_M, Ground
from lerf_wild.wildlife.items import Clearing
from lerf_wild.wildlife.stage import Stage

LAYER_M = 0.1
"""What is no higher than this over the ground is filled in; grass is."""
SPARE_M = 0.12
"""Width that a clearing has around what it takes out, and above it."""
APART_M = 0.3
"""Surface points closer than this belong to one thing."""
SURELY, PERHAPS, GROWN_M = 0.5, 0.15, 0.6
"""Relevancy from which on a point is of the thing, and of one this close to such points: a head or
tail alone is less like an animal than its body is (as in Canny's hysteresis)."""
MAX_HALF_M = 4.0
MIN_POINTS = 8


@dataclass(frozen=True)
class Column:
    """A clearing on the stage."""

    foot_3: Float[np.ndarray, "3"]
    turn_22: Float[np.ndarray, "2 2"]
    """From the stage's x and y to the ellipse's axes."""
    half_2: Float[np.ndarray, "2"]
    height_m: float


def column_of(clearing: Clearing, stage: Stage) -> Column:
    """A clearing in the stage's frame."""
    cosine, sine = math.cos(clearing.yaw_rad), math.sin(clearing.yaw_rad)
    foot_3 = stage.from_world(np.array([clearing.position]))[0]
    turn_22 = np.array([[cosine, sine], [-sine, cosine]])
    return Column(foot_3, turn_22, np.array(clearing.half_lengths_m), clearing.height_m)


def is_cleared(
    points_N3: Float[np.ndarray, "N 3"], columns: Sequence[Column], ground: Ground
) -> Bool[np.ndarray, "N"]:
    """Whether surface points on the stage are of what was taken out."""
    points = np.asarray(points_N3, np.float64)
    rise_N = points[:, 2] - ground.height(points[:, :2])
    found_N = np.zeros(len(points), bool)
    for one in columns:
        place_N2 = (points[:, :2] - one.foot_3[:2]) @ one.turn_22.T / one.half_2
        is_inside_N = (np.square(place_N2).sum(axis=1) < 1) & (rise_N < one.height_m)
        found_N |= is_inside_N & (rise_N > LAYER_M)
    return found_N


class ClearedGround:
    """Where the field is asked in place of points of the stage, on any device."""

    def __init__(self, columns: Sequence[Column], ground: Ground) -> None:
        self._columns = [(one, _free_side(one, ground)) for one in columns]
        self._low = tuple(float(value) for value in ground.low_2)
        self._cell_m = ground.cell_m
        self._height_GG = torch.from_numpy(np.ascontiguousarray(ground.height_GG)).float()

    def moved(
        self, points_N3: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n 3"], Bool[Tensor, "n"]]:
        """Points to ask in place of points, and which of them are in the air of a clearing."""
        asked_N3, is_empty_N = points_N3, torch.zeros_like(points_N3[:, 0], dtype=torch.bool)
        for one, side in self._columns:
            asked_N3, is_in_air_N = self._moved_by(one, side, asked_N3)
            is_empty_N = is_empty_N | is_in_air_N
        return asked_N3, is_empty_N

    def _moved_by(self, column: Column, side: int, points_N3: Tensor) -> tuple[Tensor, Tensor]:
        foot_2 = points_N3.new_tensor(column.foot_3[:2])
        axes_22, half_2 = points_N3.new_tensor(column.turn_22), points_N3.new_tensor(column.half_2)
        place_N2 = (points_N3[:, :2] - foot_2) @ axes_22.T / half_2
        rise_N = points_N3[:, 2] - self.height(points_N3[:, :2])
        is_inside_N = (place_N2.square().sum(dim=-1) < 1) & (rise_N < column.height_m)
        is_in_air_N = is_inside_N & (rise_N > LAYER_M)
        across_N2 = (mirrored(place_N2, side) * half_2) @ axes_22 + foot_2
        filled_N3 = torch.cat([across_N2, (self.height(across_N2) + rise_N)[:, None]], dim=-1)
        is_filled_N1 = (is_inside_N & ~is_in_air_N)[:, None]
        return torch.where(is_filled_N1, filled_N3, points_N3), is_in_air_N

    def height(self, xy_N2: Float[Tensor, "n 2"]) -> Float[Tensor, "n"]:
        """Height of the ground, as `Ground.height` has it."""
        table_GG = self._height_GG.to(xy_N2)
        sizes_2 = xy_N2.new_tensor(table_GG.shape)
        cells_N2 = (xy_N2 - xy_N2.new_tensor(self._low)) / self._cell_m - 0.5
        cells_N2 = torch.minimum(cells_N2.clamp(min=0), sizes_2 - 1)
        low_N2 = torch.minimum(cells_N2.floor(), sizes_2 - 2).clamp(min=0)
        (row, column), part_N2 = low_N2.long().unbind(-1), cells_N2 - low_N2
        next_row = (row + 1).clamp(max=table_GG.shape[0] - 1)
        next_column = (column + 1).clamp(max=table_GG.shape[1] - 1)
        left = torch.lerp(table_GG[row, column], table_GG[next_row, column], part_N2[:, 0])
        right = torch.lerp(
            table_GG[row, next_column], table_GG[next_row, next_column], part_N2[:, 0]
        )
        return torch.lerp(left, right, part_N2[:, 1])


def mirrored(place_N2: Float[Tensor, "n 2"], side: int) -> Float[Tensor, "n 2"]:
    """Places (u, v) across the long edge at v > 0 (side 1), at v < 0 (-1) or the nearer one (0)."""
    u_N, v_N = place_N2.unbind(dim=-1)
    edge_N = (1 - u_N.square()).clamp(min=0).sqrt()
    way_N = torch.full_like(v_N, side) if side else torch.where(v_N < 0, -1.0, 1.0).to(v_N)
    return torch.stack([u_N, 2 * way_N * edge_N - v_N], dim=-1)


def _free_side(column: Column, ground: Ground) -> int:
    """The edge beyond which nothing stands; 0 where that is true of both, or of none."""
    steps = np.linspace(-0.95, 0.95, 15)
    place_N2 = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    place_N2 = torch.from_numpy(place_N2[np.square(place_N2).sum(axis=1) < 1])
    taken = []
    for side in (0, 1, -1):
        across_N2 = mirrored(place_N2, side).numpy() * column.half_2
        taken.append(float(ground.is_taken(across_N2 @ column.turn_22 + column.foot_3[:2]).mean()))
    return (0, 1, -1)[int(np.argmin(taken))]


def around_thing(
    points_N3: Float[np.ndarray, "N 3"],
    relevancy_N: Float[np.ndarray, "N"],
    seed_3: NDArray,
    ground: Ground,
) -> tuple[tuple[float, float], float, float, NDArray]:
    """The ellipse around surface points of a thing that hang together with one of them.

    Args:
        points_N3: surface points on the stage.
        relevancy_N: how much each is like the thing.
        seed_3: the place whose nearest point is of it for certain.

    Returns:
        Semi-axes (m), direction of the first (rad), height (m) and middle of the foot (3).

    Raises:
        WildlifeError: when too few points stand there, or too much hangs together.
    """
    points = np.asarray(points_N3, np.float64)
    stands_N = points[:, 2] - ground.height(points[:, :2]) > OBSTACLE_M
    own = _of_thing(points[stands_N], np.asarray(relevancy_N)[stands_N], seed_3)
    if len(own) < MIN_POINTS:
        raise WildlifeError("Nothing stands there; give --at and --radius-m.")
    middle_2 = 0.5 * (own[:, :2].min(axis=0) + own[:, :2].max(axis=0))
    _, _, axes_22 = np.linalg.svd(own[:, :2] - middle_2, full_matrices=False)
    along_N2 = (own[:, :2] - middle_2) @ axes_22.T
    middle_2 = middle_2 + 0.5 * (along_N2.min(axis=0) + along_N2.max(axis=0)) @ axes_22
    along_N2 = (own[:, :2] - middle_2) @ axes_22.T
    half_2 = np.maximum(np.abs(along_N2).max(axis=0), 0.05)
    half_2 = half_2 * np.sqrt(np.square(along_N2 / half_2).sum(axis=1).max()) + SPARE_M
    if half_2.max() > MAX_HALF_M:
        raise WildlifeError(
            f"What hangs together there is {2 * half_2.max():.1f} m wide; give --at and --radius-m."
        )
    height_m = float((own[:, 2] - ground.height(own[:, :2])).max()) + SPARE_M
    yaw_rad = math.atan2(axes_22[0, 1], axes_22[0, 0])
    foot_3 = np.array([*middle_2, ground.height(middle_2[None])[0]])
    return (float(half_2[0]), float(half_2[1])), yaw_rad, height_m, foot_3


def _of_thing(points_N3: NDArray, relevancy_N: NDArray, seed_3: NDArray) -> NDArray:
    """The points of the thing: what surely is, and what perhaps is and hangs together with it."""
    surely_M3 = points_N3[relevancy_N >= SURELY]
    surely_M3 = surely_M3[_hanging_together(surely_M3, seed_3)]
    if len(surely_M3) == 0:
        return surely_M3
    perhaps_N3 = points_N3[relevancy_N >= PERHAPS]
    near_N = cKDTree(surely_M3).query(perhaps_N3)[0] < GROWN_M
    grown_N3 = perhaps_N3[near_N]
    return grown_N3[_hanging_together(grown_N3, seed_3)]


def _hanging_together(points_N3: NDArray, seed_3: NDArray) -> NDArray[np.int64]:
    """Indices of the points that a chain of short steps joins with the one nearest to a place."""
    if len(points_N3) == 0:
        return np.zeros(0, np.int64)
    tree = cKDTree(points_N3)
    first = int(tree.query(seed_3)[1])
    found, front = {first}, [first]
    while front:
        near = tree.query_ball_point(points_N3[front], APART_M)
        front = sorted({index for one in near for index in one} - found)
        found.update(front)
    return np.array(sorted(found))
