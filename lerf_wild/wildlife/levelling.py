"""The ground's height where the photos agree on its colours.

A field that was trained on some dozen photos puts ground of one colour centimetres too high or too
low: hardly a pixel changes. All photos together know better. A sheet over the field's ground is
bent until the photos that show a point of it show the same colour there (space carving's photo
consistency with a smooth surface; Gauss-Newton steps):

    minimise over z   sum_n sum_v w_nv |c_v(x_n, z_n) - m_n|^2 / SIGMA^2
                      + sum (second differences of z / (BEND a^2))^2 + sum ((z - z_0) / STAY)^2

Symbols: N samples of the sheet, v one of the views, c_v its colour (times a gain, for exposure), m
the mean of c over views, w the view's weight (0 where the point is hidden; less for a colour far
from the others'), a the width of a cell, X x Y cells, z_0 the field's ground. Frame: the stage
(metres, z up).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from lerf_wild.wildlife.ground import Ground, Sheet
from lerf_wild.wildlife.ground_views import GroundView, colours_at, seen

CELL_M, MOST_CELLS = 0.1, 256
"""Width of a cell; wider where the ground would take more than so many on a side."""
PER_SIDE = 2
"""Samples along a side of a cell."""
SIGMA = 0.01
"""Spread of the colours (sRGB, 0 to 1) in which photos show the same place."""
BEND = 0.8
"""Usual curvature of natural ground, per metre."""
STAY_M = 0.3
"""How far the field's ground is off, if its cells were off independently: some three centimetres,
shared by about a hundred cells."""
OUTLIER = 3.0
"""Colours this many SIGMA from the mean count half."""
STEPS_M = (0.02, 0.02, 0.01, 0.01, 0.01, 0.01)
"""Half the height over which each step looks how colours change: far, then near."""
MAX_STEP_M = 0.05
MIN_VIEWS = 3
AGREE = 0.04
"""Photos that differ by more (root mean square over views and channels) show no ground there: water
that mirrors, leaves, the edge of a thing."""


@dataclass(frozen=True)
class Evidence:
    """What photos say of samples: half the cost is curvature / 2 d^2 - push d for a rise d."""

    push_N: Float[Tensor, "N"]
    curvature_N: Float[Tensor, "N"]
    is_sure_N: Bool[Tensor, "N"]
    """Whether at least MIN_VIEWS photos show it and agree."""


def agreed_sheet(ground: Ground, views: Sequence[GroundView]) -> Sheet:
    """A sheet over the known ground, bent to where the photos agree.

    Where fewer than MIN_VIEWS photos show it, it goes on smoothly and near the field's ground.
    """
    first = _spread(ground)
    xy_N2, cell_N = _samples(first, ground)
    bending = _bending(first.height_XY.shape, first.cell_m)
    sheet, gains_V3 = first, torch.ones(len(views), 3)
    for step_m in STEPS_M:
        points = torch.from_numpy(np.column_stack([xy_N2, sheet.height(xy_N2)])).float()
        mean_N3, gains_V3 = mean_colours(views, points, gains_V3)
        found = evidence(views, points, mean_N3, gains_V3, step_m)
        sheet = _bent(sheet, first, bending, found, cell_N)
    sure_XY = np.bincount(cell_N, found.is_sure_N.numpy(), sheet.height_XY.size) > 0
    return replace(sheet, is_sure_XY=sure_XY.reshape(sheet.height_XY.shape))


def mean_colours(
    views: Sequence[GroundView], points_N3: Float[Tensor, "N 3"], gains_V3: Float[Tensor, "V 3"]
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "V 3"]]:
    """Mean colours of points over the views that show them, and the factor that brings each view's
    colours to the mean."""
    total_N3, weight_N1 = torch.zeros(len(points_N3), 3), torch.zeros(len(points_N3), 1)
    for view, gain_3 in zip(views, gains_V3):
        weight = seen(view, points_N3)[1][:, None]
        total_N3 += weight * gain_3 * colours_at(view, points_N3)
        weight_N1 += weight
    mean_N3, gains_V3 = total_N3 / weight_N1.clamp(min=1e-9), torch.ones_like(gains_V3)
    for view, gain_3 in zip(views, gains_V3):
        weight, own = seen(view, points_N3)[1][:, None], colours_at(view, points_N3)
        above, below = (weight * own * mean_N3).sum(dim=0), (weight * own * own).sum(dim=0)
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
        w = seen(view, points_N3)[1]
        r = gain_3 * colours_at(view, points_N3) - mean_N3
        higher, lower = colours_at(view, points_N3 + up_3), colours_at(view, points_N3 - up_3)
        j = gain_3 * (higher - lower) / (2 * step_m)
        far_N = r.square().sum(dim=-1)
        number_N += w > 0
        shown_N += w
        spread_N += w * far_N / 3
        w = w / (1 + far_N / (OUTLIER * SIGMA) ** 2)
        weight_N += w
        colour_N3 += w[:, None] * r
        change_N3 += w[:, None] * j
        product_N += w * (r * j).sum(dim=-1)
        square_N += w * (j * j).sum(dim=-1)
    is_shown_N = number_N >= MIN_VIEWS
    is_sure_N = is_shown_N & (spread_N < AGREE**2 * shown_N)
    scale_N = is_shown_N / SIGMA**2
    weight_N = weight_N.clamp(min=1e-9)
    push_N = (change_N3 * colour_N3).sum(dim=-1) / weight_N - product_N
    curvature_N = square_N - change_N3.square().sum(dim=-1) / weight_N
    return Evidence(scale_N * push_N, (scale_N * curvature_N).clamp(min=0), is_sure_N)


def _spread(ground: Ground) -> Sheet:
    """The ground's own heights on the cells of a sheet over all that is known of it."""
    cells = np.argwhere(ground.is_known_GG)
    low, high = cells.min(axis=0), cells.max(axis=0) + 1
    size_m = (high - low) * ground.cell_m
    cell_m = max(CELL_M, float(size_m.max()) / MOST_CELLS)
    shape = np.maximum(np.ceil(size_m / cell_m).astype(int), 3)
    low_2 = ground.low_2 + low * ground.cell_m
    middles = low_2 + cell_m * (np.indices(shape).reshape(2, -1).T + 0.5)
    return Sheet(low_2, cell_m, ground.height(middles).reshape(shape))


def _samples(sheet: Sheet, ground: Ground) -> tuple[Float[np.ndarray, "N 2"], Int[np.ndarray, "N"]]:
    """Positions on known ground where nothing stands, and the cell in which each lies."""
    shape = sheet.height_XY.shape
    fine = tuple(PER_SIDE * side for side in shape)
    index_N2 = np.indices(fine).reshape(2, -1).T
    xy_N2 = sheet.low_2 + sheet.cell_m / PER_SIDE * (index_N2 + 0.5)
    is_own = ground.is_known(xy_N2) & ~ground.is_taken(xy_N2)
    cells_N2 = index_N2[is_own] // PER_SIDE
    return xy_N2[is_own], cells_N2[:, 0] * shape[1] + cells_N2[:, 1]


def _bending(shape: tuple[int, ...], cell_m: float) -> sparse.csc_array:
    """Matrix of the cost of second differences, along both axes and across."""
    rows, columns = (_differences(side, 2) for side in shape)
    both = sparse.kron(_differences(shape[0], 1), _differences(shape[1], 1)) * np.sqrt(2.0)
    parts = [
        sparse.kron(rows, sparse.eye_array(shape[1])),
        sparse.kron(sparse.eye_array(shape[0]), columns),
        both,
    ]
    stacked = sparse.vstack(parts) / (BEND * cell_m**2)
    return sparse.csc_array(stacked.T @ stacked)


def _differences(side: int, order: int) -> sparse.dia_array:
    """First or second differences along an axis."""
    factors = {1: (-1.0, 1.0), 2: (1.0, -2.0, 1.0)}[order]
    diagonals = [np.full(side - order, factor) for factor in factors]
    return sparse.diags_array(diagonals, offsets=list(range(order + 1)), shape=(side - order, side))


def _bent(
    sheet: Sheet, first: Sheet, bending: sparse.csc_array, found: Evidence, cell_N: NDArray
) -> Sheet:
    """The sheet after one step."""
    shape, cells = sheet.height_XY.shape, sheet.height_XY.size
    push, curvature = (
        np.bincount(cell_N, weights=part.double().numpy(), minlength=cells)
        for part in (found.push_N, found.curvature_N)
    )
    height, stay = sheet.height_XY.ravel(), 1.0 / STAY_M**2
    down = push - bending @ height - stay * (height - first.height_XY.ravel())
    matrix = sparse.diags_array(curvature + stay) + bending
    solved = splu(sparse.csc_array(matrix), permc_spec="MMD_AT_PLUS_A").solve(down)
    step = np.clip(solved, -MAX_STEP_M, MAX_STEP_M).reshape(shape)
    return replace(sheet, height_XY=sheet.height_XY + step)
