"""The ground of a captured place from points of its surfaces, and what stands on it.

Symbols: N points, G x G cells of a map, K = 2 G. Frame: the stage (metres, z up). A cell's ground
is the lowest surface that spreads over a wide enough patch; what rises above it is an obstacle.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

from lerf_wild.errors import WildlifeError
from lerf_wild.wildlife.sheet import Sheet, values_at

CELL_M = 0.2
LOW_SHARE = 0.15
"""Quantile of the heights in a cell that is taken for its ground before smoothing."""
PATCHES_M = (1.0, 2.0, 4.0, 7.0)
"""Things narrower than one of these and steeper than STEEPEST stand on the ground."""
STEEPEST = 0.12
"""Rise of natural ground within a patch, as a share of its width."""
GROUND_BAND_M = 0.07
"""Points this near to the coarse ground are ground."""
SMOOTH_M = 0.25
OBSTACLE_M = 0.12
"""Points higher above the ground than this are of something that stands there."""
MIN_CELL_POINTS = 3
LOW_M = 0.6
"""What is higher, such as a crown, is in the way of tall items alone."""
MIN_TAKEN = 2
"""Points in half a cell's width that say that something stands there."""
PLATE_CELLS, PLATE_SMOOTHING = 40, 0.1
"""Cells that each height follows from, and how little it follows any one of them."""
PASSING_SHARE = 0.9
"""Of a thing's points that are no higher than ground is, when it passes for ground as a whole."""
RIM_M, FIELD_M = 0.7, 2.0
"""What passes for ground lifts what is laid around it as far as the first; ground up to the second
beyond that says what is below it."""
FIELD_CELLS = 1000
MAX_CELLS = 400
LEAST_FALL = 0.05
"""Rays that fall by less than this share of their length say little of where the ground is."""


@dataclass(frozen=True)
class Ground:
    """Heights on a regular map; row i, column j is the middle of a cell."""

    low_2: Float[np.ndarray, "2"]
    """Corner of the map's first cell."""
    cell_m: float
    height_GG: Float[np.ndarray, "x y"]
    is_known_GG: Bool[np.ndarray, "x y"]
    """Whether the photos show ground there."""
    obstacles_N3: Float[np.ndarray, "N 3"]
    """Surface points that are not ground."""
    is_taken_KK: Bool[np.ndarray, "u v"] = field(default_factory=lambda: np.zeros((1, 1), bool))
    """Where low things stand, their insides too, on a map of half the cells' width."""
    sheet: Sheet | None = None
    """What the photos say of its height, where they were asked."""
    points_N3: Float[np.ndarray, "N 3"] = field(default_factory=lambda: np.zeros((0, 3)))
    """The surface points that all of it is from."""

    def height(self, xy_N2: Float[np.ndarray, "*N 2"]) -> Float[np.ndarray, "*N"]:
        """Height of the ground, interpolated; beyond the map that of its nearest cell."""
        return Sheet(self.low_2, self.cell_m, self.height_GG).height(xy_N2)

    def is_known(self, xy_N2: Float[np.ndarray, "*N 2"]) -> Bool[np.ndarray, "*N"]:
        """Whether the ground at positions was seen."""
        return values_at(self.is_known_GG, xy_N2, self.low_2, self.cell_m)

    def is_sure(self, xy_N2: Float[np.ndarray, "*N 2"]) -> Bool[np.ndarray, "*N"]:
        """Whether enough photos show the ground at positions, and agree on it."""
        sheet = self.sheet
        if sheet is None or sheet.is_sure_XY is None:
            return self.is_known(xy_N2)
        return values_at(sheet.is_sure_XY, xy_N2, sheet.low_2, sheet.cell_m)

    def to_sure(self, xy_N2: Float[np.ndarray, "*N 2"]) -> Float[np.ndarray, "*N"]:
        """Metres from positions to the nearest sure ground; 0 where the photos were not asked.

        Off sure ground the height is a guess, the worse the further off it is.
        """
        return np.zeros(xy_N2.shape[:-1]) if self.sheet is None else self.sheet.to_sure(xy_N2)

    def is_taken(self, xy_N2: Float[np.ndarray, "*N 2"]) -> Bool[np.ndarray, "*N"]:
        """Whether a low thing stands at positions."""
        return values_at(self.is_taken_KK, xy_N2, self.low_2, 0.5 * self.cell_m)

    def normal(self, xy_N2: Float[np.ndarray, "*N 2"]) -> Float[np.ndarray, "*N 3"]:
        """Unit normal of the ground, upwards."""
        xy = np.asarray(xy_N2, np.float64)
        step = self.cell_m
        slope_x = self.height(xy + [step, 0]) - self.height(xy - [step, 0])
        slope_y = self.height(xy + [0, step]) - self.height(xy - [0, step])
        normal = np.stack([-slope_x, -slope_y, np.full_like(slope_x, 2 * step)], axis=-1)
        return normal / np.linalg.norm(normal, axis=-1, keepdims=True)

    def obstacles_near(self, spot_2: NDArray, radius_m: float) -> Float[np.ndarray, "M 3"]:
        """The surface points of what stands around a position, at any height."""
        return self.obstacles_N3[self._obstacle_tree.query_ball_point(spot_2, radius_m)]

    @cached_property
    def _obstacle_tree(self) -> cKDTree:
        return cKDTree(self.obstacles_N3[:, :2])

    def met(
        self, points_N3: NDArray, directions_N3: NDArray
    ) -> tuple[Float[np.ndarray, "N 3"], Bool[np.ndarray, "N"]]:
        """Where the rays that end near the ground meet it, and which do; other ends stay.

        Args:
            points_N3: Where a field ends rays.
            directions_N3: Unit directions of the rays.
        """
        ends, towards = np.asarray(points_N3, float), np.asarray(directions_N3, float)
        fall = np.minimum(towards[:, 2], -LEAST_FALL)
        moved = ends.copy()
        for _ in range(3):
            rise = moved[:, 2] - self.height(moved[:, :2])
            moved = moved - (rise / fall)[:, None] * towards
        is_near = np.abs(ends[:, 2] - self.height(ends[:, :2])) < GROUND_BAND_M
        is_near &= (towards[:, 2] < -LEAST_FALL) & self.is_known(ends[:, :2])
        return np.where(is_near[:, None], moved, ends), is_near

    def under(self, origins_N3: NDArray, directions_N3: NDArray) -> Float[np.ndarray, "N 3"]:
        """Where rays meet the ground, NaN for those that don't within 200 m."""
        origins, directions = np.asarray(origins_N3, float), np.asarray(directions_N3, float)
        low, high = np.zeros(len(origins)), np.full(len(origins), np.nan)
        for distance in np.arange(0.1, 200.0, 0.1):
            points = origins + distance * directions
            below = np.isnan(high) & (points[:, 2] < self.height(points[:, :2]))
            high[below] = distance
            low[np.isnan(high)] = distance
            if not np.isnan(high).any():
                break
        for _ in range(12):
            middle = 0.5 * (low + high)
            points = origins + middle[:, None] * directions
            below = points[:, 2] < self.height(points[:, :2])
            low, high = np.where(below, low, middle), np.where(below, middle, high)
        return origins + high[:, None] * directions


def find_ground(points_N3: NDArray, cell_m: float = CELL_M) -> Ground:
    """The ground under the surface points of a place.

    Raises:
        WildlifeError: when there are too few points.
    """
    points = np.asarray(points_N3, np.float64)
    if len(points) < 100:
        raise WildlifeError(
            f"The run shows {len(points)} surface points, too few to find its ground. Train it for "
            "longer."
        )
    low_2, shape = _extent(points, cell_m)
    cells = np.floor((points[:, :2] - low_2) / cell_m).astype(int)
    inside = ((cells >= 0) & (cells < shape)).all(axis=1)
    points, cells = points[inside], cells[inside]
    flat = cells[:, 0] * shape[1] + cells[:, 1]
    lowest, count = _cell_quantile(points[:, 2], flat, int(np.prod(shape)), LOW_SHARE)
    is_known = (count >= MIN_CELL_POINTS).reshape(shape)
    coarse, is_ground_cell = _opened(lowest.reshape(shape), is_known, cell_m)
    rough = Ground(low_2, cell_m, coarse, _grown(is_ground_cell), points[:0])
    for _ in range(2):
        rise = points[:, 2] - rough.height(points[:, :2])
        is_ground = np.abs(rise) < GROUND_BAND_M
        shift = _mean_around(rise[is_ground], flat[is_ground], shape, cell_m)
        rough = replace(rough, height_GG=rough.height_GG + shift)
    return _finished(rough, points)


def laid_on(ground: Ground, sheet: Sheet, points_N3: NDArray) -> Ground:
    """A ground with the heights of a sheet that knows better; what stands on it is found anew.

    Args:
        ground: What `find_ground` found.
        sheet: Heights over all of it that is known.
        points_N3: The same surface points.
    """
    size = ground.height_GG.shape
    middles = ground.low_2 + ground.cell_m * (np.indices(size).reshape(2, -1).T + 0.5)
    cells = np.floor((middles - sheet.low_2) / sheet.cell_m)
    inside = ((cells >= 0) & (cells < sheet.height_XY.shape)).all(axis=1).reshape(size)
    height = np.where(inside, sheet.height(middles).reshape(size), ground.height_GG)
    laid = replace(ground, height_GG=height)
    rise = points_N3[:, 2] - laid.height(points_N3[:, :2])
    fine = (2 * size[0], 2 * size[1])
    is_taken = _taken(points_N3, rise, ground.low_2, 0.5 * ground.cell_m, fine)
    obstacles = points_N3[rise > OBSTACLE_M]
    return replace(
        laid, is_taken_KK=is_taken, obstacles_N3=obstacles, sheet=sheet, points_N3=points_N3
    )


def beside(ground: Ground, thing_M3: NDArray) -> Ground:
    """The same ground with what a thing takes of it taken, also where that passes for ground.

    Args:
        ground: What was found of a place.
        thing_M3: Surface points of the thing, on the stage. A wide flat boulder looks like ground.
    """
    rise_M = thing_M3[:, 2] - ground.height(thing_M3[:, :2])
    size = ground.is_taken_KK.shape
    own = _closed(thing_M3[rise_M < LOW_M, :2], ground.low_2, 0.5 * ground.cell_m, size)
    if own.any() and np.quantile(rise_M, PASSING_SHARE) < OBSTACLE_M:
        without = _without(ground, own)
        # What does not stand out of the ground around it either is ground: a path, a pond.
        if np.median(thing_M3[:, 2] - without.height(thing_M3[:, :2])) > OBSTACLE_M:
            ground = without
    return replace(ground, is_taken_KK=ground.is_taken_KK | own)


def _without(ground: Ground, own_KK: NDArray[np.bool_]) -> Ground:
    """The ground without a thing that passed for it: below the thing and around it the height is
    carried on from further off, and not sure."""
    sheet = ground.sheet or Sheet(ground.low_2, ground.cell_m, ground.height_GG)
    middles = sheet.low_2 + sheet.cell_m * (
        np.indices(sheet.height_XY.shape).reshape(2, -1).T + 0.5
    )
    away = 0.5 * ground.cell_m * ndimage.distance_transform_edt(~own_KK)
    away = Sheet(ground.low_2, 0.5 * ground.cell_m, away).height(middles)
    is_known = ground.is_known(middles)
    is_hole, is_field = is_known & (away <= RIM_M), is_known & (away > RIM_M)
    field_F = np.flatnonzero(is_field & (away <= RIM_M + FIELD_M))
    if len(field_F) < PLATE_CELLS or not len(ground.points_N3):
        return ground
    # The plate's cost grows with the cube of its cells; around wide things fewer will do.
    field_F = field_F[:: 1 + len(field_F) // FIELD_CELLS]
    height, is_sure = sheet.height_XY.flatten(), ground.is_sure(middles) & ~is_hole
    height[is_hole] = RBFInterpolator(middles[field_F], height[field_F])(middles[is_hole])
    shape = sheet.height_XY.shape
    laid = replace(sheet, height_XY=height.reshape(shape), is_sure_XY=is_sure.reshape(shape))
    return laid_on(ground, laid, ground.points_N3)


def _finished(rough: Ground, points_N3: NDArray) -> Ground:
    """The ground from points beside all that stands, carried on below it, and its obstacles."""
    rise = points_N3[:, 2] - rough.height(points_N3[:, :2])
    size = tuple(2 * side for side in rough.height_GG.shape)
    is_taken = _taken(points_N3, rise, rough.low_2, 0.5 * rough.cell_m, size)
    wider = ndimage.binary_dilation(is_taken, np.ones((3, 3)))
    is_free = ~values_at(wider, points_N3[:, :2], rough.low_2, 0.5 * rough.cell_m)
    own = points_N3[is_free & (np.abs(rise) < GROUND_BAND_M)]
    height = _carried_on(own, rough)
    ground = replace(rough, height_GG=height, is_taken_KK=is_taken)
    rise = points_N3[:, 2] - ground.height(points_N3[:, :2])
    return replace(ground, obstacles_N3=points_N3[rise > OBSTACLE_M], points_N3=points_N3)


def _taken(
    points_N3: NDArray, rise_N: NDArray, low_2: NDArray, cell_m: float, size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Cells in which something low stands; what encloses others has an inside without points."""
    is_low_N = (rise_N > OBSTACLE_M) & (rise_N < LOW_M)
    return _closed(points_N3[is_low_N, :2], low_2, cell_m, size)


def _closed(
    xy_N2: NDArray, low_2: NDArray, cell_m: float, size: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Cells with enough points, small gaps between them closed, and all that they enclose."""
    cells = np.floor((xy_N2 - low_2) / cell_m).astype(int)
    cells = cells[((cells >= 0) & (cells < size)).all(axis=1)]
    count = np.bincount(cells[:, 0] * size[1] + cells[:, 1], minlength=size[0] * size[1])
    outside = np.pad(count.reshape(size) >= MIN_TAKEN, 1)
    whole = ndimage.binary_closing(outside, np.ones((3, 3)))[1:-1, 1:-1]
    return ndimage.binary_fill_holes(whole)


def _carried_on(own_N3: NDArray, rough: Ground) -> NDArray[np.float64]:
    """Heights of the cells from points of the ground alone, by a thin plate through their means."""
    shape = rough.height_GG.shape
    cells = np.floor((own_N3[:, :2] - rough.low_2) / rough.cell_m).astype(int)
    inside = ((cells >= 0) & (cells < shape)).all(axis=1)
    flat = cells[inside, 0] * shape[1] + cells[inside, 1]
    count = np.bincount(flat, minlength=shape[0] * shape[1])
    rows = np.flatnonzero(count >= 2)
    if len(rows) < PLATE_CELLS:
        return rough.height_GG
    means = [np.bincount(flat, own_N3[inside, k], len(count))[rows] / count[rows] for k in range(3)]
    plate = RBFInterpolator(
        np.stack(means[:2], axis=1), means[2], neighbors=PLATE_CELLS, smoothing=PLATE_SMOOTHING
    )
    known = np.argwhere(ndimage.binary_fill_holes(rough.is_known_GG))
    height = rough.height_GG.copy()
    height[tuple(known.T)] = plate(rough.low_2 + rough.cell_m * (known + 0.5))
    return height


def _extent(points_N3: NDArray, cell_m: float) -> tuple[NDArray, tuple[int, int]]:
    """Corner and size of a map that holds nearly all points; a few stray far out."""
    low, high = np.quantile(points_N3[:, :2], [0.005, 0.995], axis=0)
    size = np.minimum(np.ceil((high - low) / cell_m).astype(int) + 4, MAX_CELLS)
    middle = 0.5 * (low + high)
    return middle - 0.5 * size * cell_m, (int(size[0]), int(size[1]))


def _cell_quantile(
    values_N: NDArray, flat_N: NDArray, cells: int, share: float
) -> tuple[NDArray, NDArray]:
    """Quantile of the values in each cell, NaN in empty ones, and their numbers."""
    order = np.lexsort((values_N, flat_N))
    count = np.bincount(flat_N, minlength=cells)
    starts = np.cumsum(count) - count
    place = np.minimum(starts + (share * (count - 1)).clip(min=0).astype(int), len(values_N) - 1)
    return np.where(count > 0, values_N[order][place], np.nan), count


def _opened(low_GG: NDArray, is_known_GG: NDArray, cell_m: float) -> tuple[NDArray, NDArray]:
    """The lowest surface without what stands on it, and which cells it was taken from.

    A progressive morphological filter (Zhang et al., 2003): openings of growing width, each of
    which drops cells that rise over the opened surface by more than ground of its width would.
    """
    is_ground = is_known_GG
    for width_m in PATCHES_M:
        window = (max(3, 2 * round(0.5 * width_m / cell_m) + 1),) * 2
        slack = 0.5 * GROUND_BAND_M + STEEPEST * width_m
        filled = _calm(low_GG, is_ground)
        opened = ndimage.grey_opening(filled, window, mode="nearest")
        is_ground = is_ground & (low_GG - opened < slack)
        # Water shows a mirrored world below it, which is no ground either.
        filled = _calm(low_GG, is_ground)
        closed = ndimage.grey_closing(filled, window, mode="nearest")
        is_ground = is_ground & (closed - low_GG < slack)
    return _calm(low_GG, is_ground), is_ground


def _calm(low_GG: NDArray, is_ground_GG: NDArray) -> NDArray:
    """The map filled in and without single stray cells."""
    return ndimage.median_filter(_filled(low_GG, is_ground_GG), 3, mode="nearest")


def _grown(is_ground_GG: NDArray) -> NDArray:
    """Cells with ground in them or beside them."""
    return ndimage.binary_dilation(is_ground_GG, iterations=2)


def _filled(values_GG: NDArray, is_known_GG: NDArray) -> NDArray:
    """The map with each unknown cell as its nearest known one."""
    if not is_known_GG.any():
        raise WildlifeError("The run shows no ground. Train it for longer.")
    _, index = ndimage.distance_transform_edt(~is_known_GG, return_indices=True)
    return values_GG[tuple(index)]


def _mean_around(
    values_N: NDArray, flat_N: NDArray, shape: tuple[int, int], cell_m: float
) -> NDArray:
    """Mean of values around each cell, weighted by a Gaussian; 0 where there are none."""
    cells = shape[0] * shape[1]
    total = np.bincount(flat_N, weights=values_N, minlength=cells).reshape(shape)
    count = np.bincount(flat_N, minlength=cells).reshape(shape).astype(float)
    sigma = SMOOTH_M / cell_m
    weight = ndimage.gaussian_filter(count, sigma, mode="constant")
    return ndimage.gaussian_filter(total, sigma, mode="constant") / np.maximum(weight, 0.05)
