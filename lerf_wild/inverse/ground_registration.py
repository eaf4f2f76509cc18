"""How high the camera stands over a known ground, by the pattern of its paint.

Seen from above, a ground is its paint turned, shifted and zoomed: the picture shows it in units of
the camera's height. Fourier-Mellin registration (Reddy and Chatterji, IEEE TIP 1996): power spectra
in polar axes don't mind shifts, so that their correlation over turns and zooms names candidates.
Each is laid over the paint in all places at once (normalised cross-correlation); the best one
counts if it agrees as chance would not. A ground that is not among the known ones agrees nowhere.

Symbols: H, W pixels; P cells along a side of the plan (the view from above); T cells along a side
of a tile of paint; F frequencies, A angles of polar spectra; Z camera heights; G grounds. Plan
axes: x to the right, y ahead of the camera's foot, in camera heights. Tile axes: metres.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates, maximum_filter

from lerf_wild.render.light import to_srgb
from lerf_wild.synth.grounds import GROUNDS, ground_paint
from lerf_wild.synth.terrain import PAINTED_HALF_M, TEXELS

Floats = NDArray[np.floating]
CELL = 0.03
"""Side of a plan's cell in camera heights."""
PLAN_CELLS = 160
NEAREST = 1.2
"""How far ahead the plan begins, in camera heights."""
COARSER = 2
"""Texels along a side that make one cell of a tile."""
TILE_CELLS = TEXELS // COARSER
TILE_CELL_M = 2.0 * PAINTED_HALF_M / TILE_CELLS
DARKEST = 4.0
"""Added to grey levels (0-255) before their logarithm is taken."""
SMOOTH_M, SMOOTHED_FROM_M = 0.15, 1.6
"""Patterns much wider than this are light and haze as often as paint, and are taken out; and the
camera height from which plans are smoothed as paint is."""
OUTLIER = 3.0
"""Standard deviations beyond which a cell is cut; shadows and what no box holds go that far."""
LOWEST_M, HIGHEST_M = 1.0, 2.3
"""Camera heights that are looked for."""
STEP = 0.01
"""Of logarithms of camera heights and frequencies."""
COARSEST_PER_M, FINEST_PER_M = 0.7, 4.4
ANGLES = 180
SPECTRUM_CELLS = 512
SPREAD_PER_M, SPREAD_CELLS = 0.08, 0.7
"""By how much spectra of paint and of plans are blurred: a plan shows a few metres."""
PROFILE_STEPS = 12.0
"""Frequencies over which a spectrum's own slope is taken out (standard deviation)."""
CANDIDATES = 12
APART = 7
"""Candidates are the best of this many steps of zoom and turn."""
AGREEMENT = 0.42
"""Correlation from which a ground is recognised; the fox
capture's photos, whose ground is none of them, reach 0.40."""
CERTAIN = 0.5
"""Correlation at which no other candidate is looked at."""
LEAST_CELLS = 1000
"""Free cells that a plan must have."""


@dataclass(frozen=True)
class GroundFit:
    """A known ground as it lies before the camera."""

    ground: str
    camera_height_m: float
    turn_rad: float
    """From the tile's axes to the plan's, counter-clockwise from above."""
    agreement: float
    """Correlation of the plan with the paint, -1 to 1."""

    @property
    def chance(self) -> float:
        """How likely this is right; read off validation scenes."""
        return float(np.clip(2.0 * self.agreement - 0.2, 0.5, 0.98))


@dataclass(frozen=True)
class Plan:
    """The ground from above: contrast without what is smooth, 0 where it isn't seen."""

    contrast_PP: Floats
    free_PP: Floats


def registered(
    picture_HW3: NDArray[np.uint8],
    covered_HW: NDArray[np.bool_],
    focal_px: float,
    pitch_deg: float,
    grounds: Sequence[str] = GROUNDS,
    shift_px: float = 0.0,
) -> GroundFit | None:
    """How a known ground lies in a picture; None when none is recognised.

    Args:
        picture_HW3: The picture.
        covered_HW: Where something hides the ground.
        focal_px: Focal length.
        pitch_deg: 90 looks to the horizon, less looks down.
        grounds: Which ones it may be, of `GROUNDS`.
        shift_px: Pixels by which the picture lies to the right of the camera's axis.
    """
    plan = plan_of(picture_HW3, covered_HW, focal_px, pitch_deg, shift_px)
    if plan.free_PP.sum() < LEAST_CELLS:
        return None
    best: GroundFit | None = None
    for fit in candidates(plan, grounds):
        fit = replace(fit, agreement=agreement(plan, fit))
        if best is None or fit.agreement > best.agreement:
            best = fit
        if best.agreement > CERTAIN:
            break
    if best is None or best.agreement < AGREEMENT:
        return None
    return _between_steps(plan, best)


def plan_of(
    picture_HW3: NDArray[np.uint8],
    covered_HW: NDArray[np.bool_],
    focal_px: float,
    pitch_deg: float,
    shift_px: float = 0.0,
) -> Plan:
    """The ground of a picture from above."""
    height, width = covered_HW.shape
    x, y = np.meshgrid(_cells() - PLAN_CELLS * CELL / 2, NEAREST + _cells())
    tilt = math.radians(90.0 - pitch_deg)
    depth = y * math.cos(tilt) + math.sin(tilt)
    up = y * math.sin(tilt) - math.cos(tilt)
    rows = height / 2 - focal_px * up / depth - 0.5
    at = np.stack([rows, width / 2 - shift_px + focal_px * x / depth - 0.5])
    grey = np.log(picture_HW3.mean(axis=2, dtype=np.float32) + DARKEST)
    shown = map_coordinates(grey, at, order=1, mode="nearest")
    # Beyond the picture nothing is free.
    free = map_coordinates(np.float32(~covered_HW), at, order=1, mode="constant") > 0.99
    free = free.astype(np.float32)
    return Plan(without_smooth(shown, free, SMOOTH_M / SMOOTHED_FROM_M / CELL), free)


def candidates(plan: Plan, grounds: Sequence[str] = GROUNDS) -> Iterator[GroundFit]:
    """Grounds, camera heights and turns whose spectra look most alike, the likeliest first."""
    known_GFA = _ground_spectra()[[GROUNDS.index(name) for name in grounds]]
    alike_GZA = _correlation(_plan_spectra(plan), known_GFA)
    local = maximum_filter(alike_GZA, (1, APART, APART), mode=("nearest", "nearest", "wrap"))
    peaks = np.flatnonzero(alike_GZA.ravel() >= local.ravel())
    best = peaks[np.argsort(-alike_GZA.ravel()[peaks])[:CANDIDATES]]
    for ground, zoom, angle in zip(*np.unravel_index(best, alike_GZA.shape)):
        # A spectrum is the same after half a turn.
        for half in (0.0, math.pi):
            turn = angle * math.pi / ANGLES + half
            yield GroundFit(grounds[ground], float(_heights_m()[zoom]), float(turn), 0.0)


def agreement(plan: Plan, fit: GroundFit) -> float:
    """Correlation of a plan with the paint of a ground where they agree most."""
    shown_TT, free_TT = _on_tile(plan, fit)
    paint = _tile_transforms(fit.ground)
    across = fft.irfft2(np.conj(fft.rfft2(shown_TT)) * paint[0], shown_TT.shape)
    power = fft.irfft2(np.conj(fft.rfft2(free_TT)) * paint[1], shown_TT.shape)
    own = max(float((shown_TT**2).sum()), 1e-12)
    return float((across / np.sqrt(own * np.maximum(power, 1e-9 * own + 1e-12))).max())


def without_smooth(values: Floats, free: Floats, sigma: float, mode: str = "constant") -> Floats:
    """Values less their local mean over what is free, cut at ``OUTLIER``; 0 elsewhere."""
    share = gaussian_filter(free, sigma, mode=mode)
    low = gaussian_filter(values * free, sigma, mode=mode) / np.maximum(share, 1e-3)
    rest = (values - low) * free
    limit = OUTLIER * math.sqrt(float((rest**2).sum()) / max(float(free.sum()), 1.0))
    return np.clip(rest, -limit, limit)


def _between_steps(plan: Plan, fit: GroundFit) -> GroundFit:
    """The camera height at the top of the parabola through three steps."""
    ways = [replace(fit, camera_height_m=fit.camera_height_m * math.exp(s)) for s in (-STEP, STEP)]
    low, high = (agreement(plan, way) for way in ways)
    bend = low - 2.0 * fit.agreement + high
    off = 0.5 * (low - high) / bend if bend < 0 else 0.0
    height_m = fit.camera_height_m * math.exp(STEP * float(np.clip(off, -1.0, 1.0)))
    return replace(fit, camera_height_m=height_m)


def _cells() -> Floats:
    return (np.arange(PLAN_CELLS) + 0.5) * CELL


@cache
def _heights_m() -> Floats:
    return np.exp(np.arange(math.log(LOWEST_M), math.log(HIGHEST_M), STEP))


@cache
def _log_frequencies() -> Floats:
    return np.arange(math.log(COARSEST_PER_M), math.log(FINEST_PER_M), STEP)


def _polar(power_NN: Floats, step: float, log_frequency_F: Floats) -> Floats:
    """A centred spectrum (F, A) in polar axes; ``step`` is the frequency between two cells."""
    turns = np.arange(ANGLES) * math.pi / ANGLES
    reach = np.exp(log_frequency_F)[:, None] / step
    middle = len(power_NN) // 2
    at = np.stack([reach * np.sin(turns), reach * np.cos(turns)]) + middle
    return map_coordinates(power_NN, at, order=1, mode="nearest")


def _flat(power_FA: Floats) -> Floats:
    """A spectrum as multiples of its own slope, of mean 0 and length 1."""
    slope = gaussian_filter1d(power_FA.mean(axis=1), PROFILE_STEPS, mode="nearest")
    flat = power_FA / (slope[:, None] + 1e-12)
    flat = flat - flat.mean()
    return flat / np.sqrt((flat**2).sum() + 1e-12)


def _power(values: Floats, size: int) -> Floats:
    return np.abs(fft.fftshift(fft.fft2(values, (size, size)))) ** 2


def _plan_spectra(plan: Plan) -> Floats:
    """Transforms over angles (Z, F, A') of a plan's spectrum, as it is at each camera height."""
    power = gaussian_filter(_power(plan.contrast_PP, SPECTRUM_CELLS), SPREAD_CELLS)
    count, zooms = len(_log_frequencies()), len(_heights_m())
    reach = math.log(COARSEST_PER_M * LOWEST_M) + STEP * np.arange(count + zooms)
    whole = _polar(power, 1.0 / (SPECTRUM_CELLS * CELL), reach)
    flat = np.stack([_flat(whole[z : z + count]) for z in range(zooms)])
    return fft.rfft(flat, axis=2)


@cache
def _ground_spectra() -> Floats:
    """Transforms over angles (G, F, A') of the spectra of all grounds."""
    flat = []
    for name in GROUNDS:
        paint = _contrast(name)
        step = 1.0 / (2.0 * PAINTED_HALF_M)
        power = gaussian_filter(_power(paint, len(paint)), SPREAD_PER_M / step)
        flat.append(_flat(_polar(power, step, _log_frequencies())))
    return fft.rfft(np.stack(flat), axis=2)


def _correlation(
    plan_ZFA: NDArray[np.complexfloating], known_GFA: NDArray[np.complexfloating]
) -> Floats:
    """Correlation (G, Z, A) of spectra, from their transforms, over all turns."""
    product = np.einsum("zfa,gfa->gza", plan_ZFA, np.conj(known_GFA), optimize=True)
    return fft.irfft(product, ANGLES, axis=2)


def _contrast(name: str) -> Floats:
    """A ground's paint (T, T), coarser, as plans show it."""
    grey = np.log(to_srgb(0.9 * ground_paint(name)).mean(axis=2, dtype=np.float32) + DARKEST)
    grey = grey.reshape(TILE_CELLS, COARSER, TILE_CELLS, COARSER).mean(axis=(1, 3))
    return without_smooth(grey, np.ones_like(grey), SMOOTH_M / TILE_CELL_M, "wrap")


@cache
def _tile_transforms(name: str) -> tuple[Floats, Floats]:
    """Transforms of a ground's paint and of its square."""
    paint = _contrast(name)
    return fft.rfft2(paint), fft.rfft2(paint**2)


def _on_tile(plan: Plan, fit: GroundFit) -> tuple[Floats, Floats]:
    """A plan and what of it is free on a tile's cells (T, T), the camera in the middle."""
    axis = (np.arange(TILE_CELLS) + 0.5) * TILE_CELL_M - PAINTED_HALF_M
    u, v = np.meshgrid(axis, axis)
    cosine, sine = math.cos(fit.turn_rad), math.sin(fit.turn_rad)
    x = (cosine * u - sine * v) / fit.camera_height_m
    y = (sine * u + cosine * v) / fit.camera_height_m
    at = np.stack([(y - NEAREST) / CELL - 0.5, (x + PLAN_CELLS * CELL / 2) / CELL - 0.5])
    shown = map_coordinates(plan.contrast_PP, at, order=1, mode="constant")
    return shown, map_coordinates(plan.free_PP, at, order=1, mode="constant")
