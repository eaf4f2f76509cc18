"""Known grounds are recognised in pictures, and tell how high the camera stands."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lerf_wild.inverse import ground_registration
from lerf_wild.inverse.ground_registration import (
    GroundFit,
    Plan,
    agreement,
    plan_of,
    registered,
    without_smooth,
)
from lerf_wild.render.raycast import Camera, RayScene, render
from lerf_wild.render.sky import light_of
from lerf_wild.synth.grounds import GROUNDS, ground_body
from lerf_wild.synth.raw_scenes import View, draw_settings

SIDE = 256
FOCAL = 0.5 * SIDE / math.tan(math.radians(20.0))
NOTHING = np.zeros((SIDE, SIDE), bool)


def _picture(ground: str, height_m: float, pitch_deg: float, seed: int) -> np.ndarray:
    """A picture of bare ground from somewhere above it."""
    rng = np.random.default_rng(seed)
    shift = rng.uniform(0.0, 24.0, 2).astype(np.float32)
    body = ground_body(ground, 0.0, np.zeros(2, np.float32), shift)
    scene = RayScene([body], light_of(draw_settings(rng)))
    view = View(np.array([0.0, 0.0, height_m]), float(rng.uniform(0.0, 6.28)), pitch_deg)
    return render(scene, Camera(view.camera_to_world(), FOCAL, SIDE, SIDE)).rgb


@pytest.mark.parametrize(
    ("ground", "height_m", "pitch_deg"),
    [("meadow 1", 1.42, 78.0), ("riverbank 2", 1.85, 86.0), ("steppe 1", 1.15, 80.0)],
)
def test_a_known_ground_tells_how_high_the_camera_stands(ground, height_m, pitch_deg):
    fit = registered(_picture(ground, height_m, pitch_deg, 3), NOTHING, FOCAL, pitch_deg)
    assert fit.ground == ground
    assert fit.camera_height_m == pytest.approx(height_m, rel=0.02)


def test_what_is_hidden_does_not_matter():
    picture = _picture("meadow 1", 1.5, 80.0, 4)
    hidden = NOTHING.copy()
    hidden[90:200, 60:150] = True
    whole = registered(picture, NOTHING, FOCAL, 80.0)
    picture[hidden] = np.random.default_rng(0).integers(0, 255, (int(hidden.sum()), 3))
    other = registered(picture, hidden, FOCAL, 80.0)
    assert other.ground == whole.ground == "meadow 1"
    assert other.camera_height_m == pytest.approx(whole.camera_height_m, rel=0.01)


def test_a_square_beside_the_axis_is_put_where_it_belongs():
    wide = _picture("steppe 1", 1.6, 80.0, 5)
    left = np.pad(wide[:, 64:], ((0, 0), (0, 64), (0, 0)))
    hidden = NOTHING.copy()
    hidden[:, SIDE - 64 :] = True
    own, shifted = (
        plan_of(picture, covered, FOCAL, 80.0, shift)
        for picture, covered, shift in ((wide, NOTHING, 0.0), (left, hidden, 64.0))
    )
    both = (own.free_PP > 0) & (shifted.free_PP > 0)
    inner = both & (np.roll(both, 20, axis=1) & np.roll(both, -20, axis=1))
    assert inner.sum() > 2000
    np.testing.assert_allclose(own.contrast_PP[inner], shifted.contrast_PP[inner], atol=0.03)


def test_no_ground_is_recognised_where_there_is_none():
    rng = np.random.default_rng(1)
    grey = np.full((SIDE, SIDE, 3), 120, np.uint8)
    assert registered(grey, ~NOTHING, FOCAL, 80.0) is None
    noise = rng.integers(60, 200, (SIDE, SIDE, 3)).astype(np.uint8)
    assert registered(noise, NOTHING, FOCAL, 80.0) is None


def test_agreement_is_the_correlation_with_the_paint_where_it_fits_best():
    """Against a loop over all places of a small tile."""
    rng = np.random.default_rng(2)
    plan = Plan(*(np.zeros((160, 160), np.float32) for _ in range(2)))
    plan.free_PP[20:60, 60:100] = 1.0
    plan.contrast_PP[...] = rng.normal(size=(160, 160)) * plan.free_PP
    fit = GroundFit(GROUNDS[0], 1.6, 0.7, 0.0)
    shown, free = ground_registration._on_tile(plan, fit)
    paint = ground_registration._contrast(GROUNDS[0])
    used = free > 0
    best = -1.0
    fast = agreement(plan, fit)
    for down, right in rng.integers(0, len(paint), (200, 2)):
        moved = np.roll(paint, (-int(down), -int(right)), (0, 1))
        power = float((free * moved**2).sum() * (shown**2).sum())
        best = max(best, float((shown[used] * moved[used]).sum()) / math.sqrt(power))
    assert best <= fast + 1e-5
    assert 0.0 < fast < 1.0


def test_the_smooth_part_goes_and_what_is_not_free_stays_out():
    slope = np.linspace(0.0, 9.0, 64, dtype=np.float32)[None].repeat(64, axis=0)
    free = np.ones_like(slope)
    free[:, :8] = 0.0
    rest = without_smooth(slope, free, 3.0)
    assert (rest[:, :8] == 0).all() and np.abs(rest[:, 20:44]).max() < 0.02


def test_a_surer_agreement_is_likelier_right():
    fit = GroundFit("meadow 1", 1.6, 0.0, 0.0)
    chances = [replace(fit, agreement=a).chance for a in (0.42, 0.5, 0.9)]
    assert chances == sorted(chances) and chances[0] < 0.7 and chances[2] == 0.98
