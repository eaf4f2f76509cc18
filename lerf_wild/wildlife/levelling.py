"""The ground's height where the photos agree on its colours.

A field that was trained on some dozen photos puts ground of one colour centimetres too high or too
low: hardly a pixel changes. All photos together know better. A sheet over the field's ground is
bent until the photos that show a point of it show the same colour there (space carving's photo
consistency with a smooth surface; Gauss-Newton steps):

    minimise over z   sum_n sum_v w_nv |c_v(x_n, z_n) - m_n|^2 / SIGMA^2
                      + sum (second differences of z / (BEND a^2))^2 + sum ((z - z_0) / STAY)^2

Symbols: N samples of the sheet, v one of the views, c_v its colour (times a gain, for exposure), m
the mean of c over views, w the view's weight (0 where the point is hidden; less for a colour far
from the others'), a the width of a cell, X x Y cells, z_0 where the sheet was before. Frame: the
stage (metres, z up).

It is bent twice: first from the field's ground by photos that are made coarse and then finer, whose
colours say from further off where the ground is; then, now that it is known what is higher than the
ground, by what of the photos shows nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import LinearOperator, cg, splu
from torch import Tensor

from lerf_wild.wildlife.ground import Ground, laid_on
from lerf_wild.wildlife.ground_views import GroundView, coarser, colours_at, of_ground, seen
from lerf_wild.wildlife.sheet import Sheet

CELL_M, MOST_CELLS = 0.1, 256
"""Width of a cell; wider where the ground would take more than so many on a side."""
SIGMA = 0.01
"""Spread of the colours (sRGB, 0 to 1) in which photos show the same place."""
BEND = 1.2
"""Usual curvature of natural ground, per metre."""
STAY_M = 0.3
"""How far off the sheet was before, if its cells were off independently: some three centimetres,
shared by about a hundred cells."""
OUTLIER = 3.0
"""Colours this many SIGMA from the mean count half."""
CLOSE = 1e-4
"""How near, as a share of the right side, a step is solved."""
MIN_VIEWS = 3
AGREE = 0.04
"""Photos that differ by more (root mean square over views and channels) show no ground there: water
that mirrors, leaves, the edge of a thing."""
TOLD = 0.4
"""The spread of the heights that photos allow, as a share of what it is without photos, below which
they say something: not so where all is of one colour, or far off."""
DRAWS = 64
"""Random sheets from which the spread is estimated."""


@dataclass(frozen=True)
class Level:
    """Steps of the sheet by photos of one fineness."""

    factor: int
    """How many pixels along a side of a photo become one."""
    heights_m: tuple[float, ...]
    """Half the height over which each step looks how colours change."""
    farthest_m: float
    """How far a step goes at most."""


@dataclass(frozen=True)
class Bending:
    """How a sheet is bent from where it was before."""

    levels: tuple[Level, ...]
    per_side: int
    """Samples along a side of a cell."""


FIRST = Bending(
    (
        Level(4, (0.06, 0.06, 0.06, 0.06), 0.1),
        Level(2, (0.03, 0.03, 0.03), 0.05),
        Level(1, (0.02, 0.02, 0.01), 0.05),
    ),
    per_side=1,
)
SECOND = Bending((Level(1, (0.02, 0.02, 0.01, 0.01, 0.01, 0.01), 0.05),), per_side=2)


@dataclass(frozen=True)
class Evidence:
    """What photos say of samples: half the cost is curvature / 2 d^2 - push d for a rise d."""

    push_N: Float[Tensor, "N"]
    curvature_N: Float[Tensor, "N"]
    is_sure_N: Bool[Tensor, "N"]
    """Whether at least MIN_VIEWS photos show it and agree."""


class LastStep(NamedTuple):
    """What is known after the last step of a bending."""

    roots: sparse.csc_array
    """Second differences."""
    matrix: sparse.csc_array
    """Inverse covariance of the heights."""
    cell_N: Int[np.ndarray, "N"]
    is_sure_N: Bool[np.ndarray, "N"]


def agreed_sheet(
    ground: Ground, points_N3: Float[np.ndarray, "N 3"], views: Sequence[GroundView]
) -> Sheet:
    """A sheet over the known ground, bent to where the photos agree.

    Where fewer than MIN_VIEWS photos show it, it goes on smoothly and near the field's ground.

    Args:
        ground: What `find_ground` found.
        points_N3: The surface points in which it was found.
        views: The photos.
    """
    first, _ = bent_sheet(_unbent(ground), ground, views, FIRST)
    laid = laid_on(ground, first, points_N3)
    second, last = bent_sheet(first, laid, [of_ground(view, laid) for view in views], SECOND)
    return replace(second, is_sure_XY=_inner(_sure(second, last), second, laid))


def bent_sheet(
    before: Sheet, ground: Ground, views: Sequence[GroundView], bending: Bending
) -> tuple[Sheet, LastStep]:
    """A sheet after all steps of a bending, by samples of known ground on which nothing stands."""
    xy_N2, cell_N = _samples(before, ground, bending.per_side)
    roots = _roots(before.height_XY.shape, before.cell_m)
    sheet, gains_V3 = before, torch.ones(len(views), 3)
    for level in bending.levels:
        shown, factors = [coarser(view, level.factor) for view in views], None
        for height_m in level.heights_m:
            points = torch.from_numpy(np.column_stack([xy_N2, sheet.height(xy_N2)])).float()
            mean_N3, gains_V3 = mean_colours(shown, points, gains_V3)
            found = evidence(shown, points, mean_N3, gains_V3, height_m)
            matrix, down = _system(sheet, before, roots, found, cell_N)
            # Factors of a level's first matrix bring those of its other steps near the identity;
            # to factorise anew takes longer than all else together.
            factors = factors or splu(matrix, permc_spec="MMD_AT_PLUS_A")
            near = LinearOperator(matrix.shape, factors.solve)
            step_C, _ = cg(matrix, down, rtol=CLOSE, M=near)
            step_XY = step_C.clip(-level.farthest_m, level.farthest_m).reshape(
                sheet.height_XY.shape
            )
            sheet = replace(sheet, height_XY=sheet.height_XY + step_XY)
    return sheet, LastStep(roots, matrix, cell_N, found.is_sure_N.numpy())


def _sure(sheet: Sheet, last: LastStep) -> Bool[np.ndarray, "X Y"]:
    """Where photos agree on the ground and say something of its height."""
    agreed_C = np.bincount(last.cell_N, last.is_sure_N, sheet.height_XY.size) > 0
    # The spread without photos, far from edges: the root of the integral over the plane of wave
    # numbers k of a^2 / (k^4 / BEND^2 + 1 / STAY_M^2), over 4 pi^2.
    unseen_m = sheet.cell_m * np.sqrt(BEND * STAY_M / 8)
    is_told_C = spread(last.roots, last.matrix) < TOLD * unseen_m
    return (agreed_C & is_told_C).reshape(sheet.height_XY.shape)


def spread(roots: sparse.csc_array, matrix: sparse.csc_array) -> Float[np.ndarray, "C"]:
    """Standard deviation of the heights of C cells under an inverse covariance, in metres.

    From random sheets: with matrix = roots^T roots + diag(d) and u, v of unit variance, what solves
    matrix x = roots^T u + sqrt(d) v has the inverse of the matrix as covariance.

    Args:
        roots: Second differences, (R, C).
        matrix: Of a step, (C, C).
    """
    draw = np.random.default_rng(0)
    rest_C = (matrix - roots.T @ roots).diagonal().clip(min=0)
    pushes = roots.T @ draw.normal(size=(roots.shape[0], DRAWS))
    pushes += np.sqrt(rest_C)[:, None] * draw.normal(size=(len(rest_C), DRAWS))
    sheets = splu(matrix, permc_spec="MMD_AT_PLUS_A").solve(pushes)
    return np.sqrt((sheets**2).mean(axis=1))


def mean_colours(
    views: Sequence[GroundView], points_N3: Float[Tensor, "N 3"], gains_V3: Float[Tensor, "V 3"]
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "V 3"]]:
    """Mean colours of points over the views that show them, and the factor that brings each view's
    colours to the mean."""
    total_N3, weight_N1 = torch.zeros(len(points_N3), 3), torch.zeros(len(points_N3), 1)
    shown = [_shown(view, points_N3) for view in views]
    for view, gain_3, (rows, weight) in zip(views, gains_V3, shown):
        total_N3[rows] += weight[:, None] * gain_3 * colours_at(view, points_N3[rows])
        weight_N1[rows] += weight[:, None]
    mean_N3, gains_V3 = total_N3 / weight_N1.clamp(min=1e-9), torch.ones_like(gains_V3)
    for view, gain_3, (rows, weight) in zip(views, gains_V3, shown):
        own = colours_at(view, points_N3[rows])
        above = (weight[:, None] * own * mean_N3[rows]).sum(dim=0)
        below = (weight[:, None] * own * own).sum(dim=0)
        gain_3.copy_(torch.where(below > 0, above / below.clamp(min=1e-9), 1.0))
    return mean_N3, gains_V3


def evidence(
    views: Sequence[GroundView],
    points_N3: Float[Tensor, "N 3"],
    mean_N3: Float[Tensor, "N 3"],
    gains_V3: Float[Tensor, "V 3"],
    step_m: float,
) -> Evidence:
    """How much more alike colours would be a little higher or lower.

    With r the colour less the mean and J its change with height, each less its mean over views:
    push = -sum w J r / SIGMA^2, curvature = sum w J^2 / SIGMA^2. The sums are taken one view at a
    time, so that memory does not grow with the views. Nothing is said of what fewer than MIN_VIEWS
    photos show.
    """
    count = len(points_N3)
    up_3 = torch.tensor([0.0, 0.0, step_m])
    weight_N, number_N = torch.zeros(count), torch.zeros(count)
    colour_N3, change_N3 = torch.zeros(count, 3), torch.zeros(count, 3)
    product_N, square_N, spread_N = torch.zeros(3, count)
    shown_N = torch.zeros(count)
    for view, gain_3 in zip(views, gains_V3):
        rows, w = _shown(view, points_N3)
        points = points_N3[rows]
        r = gain_3 * colours_at(view, points) - mean_N3[rows]
        j = gain_3 * (colours_at(view, points + up_3) - colours_at(view, points - up_3))
        j = j / (2 * step_m)
        far = r.square().sum(dim=-1)
        number_N[rows] += 1
        shown_N[rows] += w
        spread_N[rows] += w * far / 3
        w = w / (1 + far / (OUTLIER * SIGMA) ** 2)
        weight_N[rows] += w
        colour_N3[rows] += w[:, None] * r
        change_N3[rows] += w[:, None] * j
        product_N[rows] += w * (r * j).sum(dim=-1)
        square_N[rows] += w * (j * j).sum(dim=-1)
    is_shown_N = number_N >= MIN_VIEWS
    is_sure_N = is_shown_N & (spread_N < AGREE**2 * shown_N)
    scale_N = is_shown_N / SIGMA**2
    weight_N = weight_N.clamp(min=1e-9)
    push_N = (change_N3 * colour_N3).sum(dim=-1) / weight_N - product_N
    curvature_N = square_N - change_N3.square().sum(dim=-1) / weight_N
    return Evidence(scale_N * push_N, (scale_N * curvature_N).clamp(min=0), is_sure_N)


def _shown(view: GroundView, points_N3: Tensor) -> tuple[Int[Tensor, "M"], Float[Tensor, "M"]]:
    """Rows of the points that a photo shows, and their weights."""
    weight_N = seen(view, points_N3)[1]
    rows = torch.nonzero(weight_N)[:, 0]
    return rows, weight_N[rows]


def _inner(is_sure_XY: NDArray, sheet: Sheet, ground: Ground) -> Bool[np.ndarray, "X Y"]:
    """Sure cells without those at the edge, where the sheet is held on one side alone and every
    fifth is two centimetres off; a thing that stands there makes no edge."""
    is_taken_XY = ground.is_taken(_middles(sheet)).reshape(is_sure_XY.shape)
    return is_sure_XY & ndimage.binary_erosion(is_sure_XY | is_taken_XY, np.ones((3, 3)))


def _middles(sheet: Sheet) -> Float[np.ndarray, "C 2"]:
    cells_C2 = np.indices(sheet.height_XY.shape).reshape(2, -1).T
    return sheet.low_2 + sheet.cell_m * (cells_C2 + 0.5)


def _unbent(ground: Ground) -> Sheet:
    """The ground's own heights on the cells of a sheet over all that is known of it."""
    cells = np.argwhere(ground.is_known_GG)
    low, high = cells.min(axis=0), cells.max(axis=0) + 1
    size_m = (high - low) * ground.cell_m
    cell_m = max(CELL_M, float(size_m.max()) / MOST_CELLS)
    shape = np.maximum(np.ceil(size_m / cell_m).astype(int), 3)
    low_2 = ground.low_2 + low * ground.cell_m
    flat = Sheet(low_2, cell_m, np.zeros(shape))
    return replace(flat, height_XY=ground.height(_middles(flat)).reshape(shape))


def _samples(
    sheet: Sheet, ground: Ground, per_side: int
) -> tuple[Float[np.ndarray, "N 2"], Int[np.ndarray, "N"]]:
    """Positions on known ground where nothing stands, and the cell in which each lies."""
    shape = sheet.height_XY.shape
    fine = tuple(per_side * side for side in shape)
    index_N2 = np.indices(fine).reshape(2, -1).T
    xy_N2 = sheet.low_2 + sheet.cell_m / per_side * (index_N2 + 0.5)
    is_own = ground.is_known(xy_N2) & ~ground.is_taken(xy_N2)
    cells_N2 = index_N2[is_own] // per_side
    return xy_N2[is_own], cells_N2[:, 0] * shape[1] + cells_N2[:, 1]


def _roots(shape: tuple[int, ...], cell_m: float) -> sparse.csc_array:
    """Second differences over what is usual, along both axes and across: a row for each."""
    rows, columns = (_differences(side, 2) for side in shape)
    both = sparse.kron(_differences(shape[0], 1), _differences(shape[1], 1)) * np.sqrt(2.0)
    parts = [
        sparse.kron(rows, sparse.eye_array(shape[1])),
        sparse.kron(sparse.eye_array(shape[0]), columns),
        both,
    ]
    return sparse.csc_array(sparse.vstack(parts) / (BEND * cell_m**2))


def _differences(side: int, order: int) -> sparse.dia_array:
    """First or second differences along an axis."""
    factors = {1: (-1.0, 1.0), 2: (1.0, -2.0, 1.0)}[order]
    diagonals = [np.full(side - order, factor) for factor in factors]
    return sparse.diags_array(diagonals, offsets=list(range(order + 1)), shape=(side - order, side))


def _system(
    sheet: Sheet, before: Sheet, roots: sparse.csc_array, found: Evidence, cell_N: NDArray
) -> tuple[sparse.csc_array, Float[np.ndarray, "C"]]:
    """Matrix and right side of a step of Gauss and Newton: how much higher the C cells would best
    be."""
    cells = sheet.height_XY.size
    push, curvature = (
        np.bincount(cell_N, weights=part.double().numpy(), minlength=cells)
        for part in (found.push_N, found.curvature_N)
    )
    height, stay = sheet.height_XY.ravel(), 1.0 / STAY_M**2
    down = push - roots.T @ (roots @ height) - stay * (height - before.height_XY.ravel())
    return sparse.csc_array(sparse.diags_array(curvature + stay) + roots.T @ roots), down
