"""The camera's height from natural sizes, and the horizon from the picture."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lerf_wild.inverse.ground_registration import GroundFit
from lerf_wild.inverse.program_horizon import edge_row, levelled
from lerf_wild.inverse.program_sizes import USUAL_M, Belief, Stood, camera_height, sized
from lerf_wild.program.frames import to_camera, to_level
from lerf_wild.program.types import Program, SceneObject, Settings
from lerf_wild.render.scene_program import render_program

NATURAL = torch.tensor([0.4, 1.0, 3.0])


def test_things_of_known_size_tell_the_cameras_height():
    scores = 9.0 * torch.eye(3)
    for true in (1.3, 1.6, 1.9):
        unit = (NATURAL / true).log()
        assert camera_height(unit, scores, NATURAL).camera_m == pytest.approx(true, rel=0.035)
        # One thing that is none of the library changes little.
        odd = torch.tensor([unit[0], unit[1], unit[2] + 1.0])
        assert camera_height(odd, scores, NATURAL).camera_m == pytest.approx(true, rel=0.06)
    unknown = torch.full((3,), torch.nan)
    assert camera_height(unknown, scores, NATURAL).camera_m == pytest.approx(USUAL_M, rel=0.03)


def test_the_ground_has_the_first_word_and_what_stands_on_it_may_contradict():
    scores, unit = 9.0 * torch.eye(3), (NATURAL / 1.8).log()
    sure = GroundFit("meadow 1", 1.76, 0.0, 0.8)
    near = camera_height(unit, scores, NATURAL, sure)
    assert near.camera_m == pytest.approx(1.76, rel=0.005)
    assert near.spread < 0.02 < camera_height(unit, scores, NATURAL).spread
    mistaken = GroundFit("meadow 1", 1.1, 0.0, 0.42)
    assert camera_height(unit, scores, NATURAL, mistaken).camera_m == pytest.approx(1.8, rel=0.035)


def test_the_surer_the_camera_the_less_natural_heights_count():
    assert Belief(1.6, 0.005).trust < 0.45 < 0.8 < Belief(1.6, 0.2).trust


def test_of_two_assets_that_look_alike_the_one_of_the_right_size_is_chosen():
    alike = torch.tensor([[0.5, 0.49, 0.0]])
    assert sized(alike, torch.tensor([1.0 / 1.6]).log(), NATURAL, 1.6).argmax() == 1
    assert sized(alike, torch.tensor([0.4 / 1.6]).log(), NATURAL, 1.6).argmax() == 0
    unknown = sized(alike, torch.tensor([torch.nan]), NATURAL, 1.6)
    assert torch.isfinite(unknown).all() and unknown.argmax() == 0


def test_objects_come_to_stand_on_one_ground():
    level = np.array([[0.5, 6.0, -1.2], [-1.0, 4.0, -2.0], [0.0, 5.0, 0.1]])
    loc = torch.from_numpy(to_camera(level, 80.0))
    height = torch.tensor([0.75, 1.2, 0.5])
    belief = Belief(1.6, 0.03)
    stood = Stood.of(loc, height, 80.0)
    feet, heights = stood.on_ground(belief, torch.tensor([1.0, 5.0, 1.0]))
    assert feet[:2, 2].tolist() == pytest.approx([-1.6, -1.6])
    # Along their lines of sight.
    scale = -1.6 / torch.from_numpy(level)[:2, 2:].float()
    torch.testing.assert_close(feet[:2], scale * torch.from_numpy(level)[:2].float())
    # Heights that are near the natural ones move towards them, 1.2 to 5 is too far.
    seen = 0.75 / 1.2 * 1.6
    assert float(heights[0]) == pytest.approx(seen) and float(heights[1]) == pytest.approx(0.96)
    closer = stood.on_ground(belief, torch.tensor([1.1, 5.0, 1.0]))[1][0]
    assert float(closer) == pytest.approx(1.1**belief.trust)
    # What seems to float above the camera can't be put on a ground.
    torch.testing.assert_close(feet[2], torch.from_numpy(level)[2].float())
    assert float(heights[2]) == 0.5


def test_the_edge_of_the_ground_tells_the_pitch_and_objects_keep_their_pixels():
    truth = Program(Settings(camera_pitch_deg=82.0, camera_height_m=1.5, ground_name="grass"))
    picture = render_program(truth).picture.rgb
    item = SceneObject(9, (1.0, -0.8, -6.0), 0.9, kind="rock")
    off = Program(replace(truth.settings, camera_pitch_deg=82.6), (item,))
    better = levelled(off, picture)
    assert better.settings.camera_pitch_deg == pytest.approx(82.0, abs=0.12)
    loc = np.array(better.objects[0].loc_m)
    np.testing.assert_allclose(loc / loc[2], np.array(item.loc_m) / item.loc_m[2], rtol=1e-6)
    ratio = better.objects[0].height_m / item.height_m
    assert ratio == pytest.approx(loc[2] / item.loc_m[2])
    drops = [to_level(o.objects[0].loc_m, o.settings.camera_pitch_deg)[2] for o in (off, better)]
    assert drops[0] == pytest.approx(drops[1])


def test_without_an_edge_nothing_changes():
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3)).astype(np.uint8)
    assert edge_row(noise, 100.0) is None
    assert edge_row(np.full_like(noise, 90), 100.0) is None
    assert edge_row(noise, 2.0) is None and math.isfinite(edge_row(_step(100), 102.0))
    program = Program(Settings(camera_pitch_deg=85.0), (SceneObject(9, (0.0, -1.0, -5.0), 1.0),))
    assert levelled(program, noise) == program


def _step(row: int) -> np.ndarray:
    picture = np.full((256, 256, 3), 60, np.uint8)
    picture[:row] = 200
    assert edge_row(picture, row + 3.0) == pytest.approx(row)
    return picture
