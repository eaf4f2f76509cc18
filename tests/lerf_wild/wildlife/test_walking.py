"""Animals on their way: where they are, which way they look, and whether their feet slide."""

from __future__ import annotations

import numpy as np
import pytest

from lerf_wild.assets.library import starter_library
from lerf_wild.errors import WildlifeError
from lerf_wild.frames import Placed
from lerf_wild.wildlife.ground import find_ground
from lerf_wild.wildlife.items import Animal, Item
from lerf_wild.wildlife.looks import look_of
from lerf_wild.wildlife.stage import Stage
from lerf_wild.wildlife.tracing import stand
from lerf_wild.wildlife.walking import cycle_way_m, on_its_way, smooth_way


class World(Placed):
    """A capture in metres that training left as it was."""

    transform_34 = np.eye(4)[:3]
    scale, meters_per_unit = 1.0, 1.0


STAGE = Stage(World())


@pytest.fixture(scope="module")
def ground():
    xy = np.random.default_rng(0).uniform(-6, 6, (20_000, 2))
    return find_ground(np.column_stack([xy, 0.05 * xy[:, 0]]))


def deer(**changes) -> Item:
    usual = {"id": "deer_1", "animal": Animal("red deer"), "position": (0, 0, 0), "height_m": 1.2}
    return Item(**(usual | changes))


def test_a_way_comes_by_all_its_places_on_the_ground(ground):
    way = np.array([[-3.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    states = on_its_way(deer(), way, ground, STAGE, "walk", 24.0)
    places = np.array([state.position for state in states])
    for place in way[:2]:
        assert np.linalg.norm(places[:, :2] - place, axis=1).min() < 0.05
    assert np.linalg.norm(places[-1, :2] - way[2]) < 0.1
    np.testing.assert_allclose(places[:, 2], 0.05 * places[:, 0], atol=0.02)
    steps = np.diff(places[:, :2], axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    np.testing.assert_allclose(lengths, lengths.mean(), rtol=0.05)
    noses = np.array([state.turn_33[:2, 0] for state in states])[:-1]
    assert ((noses * steps).sum(axis=1) / lengths > 0.99).all()


@pytest.mark.parametrize("gait", ["walk", "trot"])
def test_feet_that_carry_stand_still(ground, gait):
    item = deer(animal=Animal("red deer"))
    states = on_its_way(item, np.array([[-2.0, 0.0], [2.0, 0.0]]), ground, STAGE, gait, 30.0)[:20]
    library = starter_library()
    shapes = [stand(one, look_of(one, library), STAGE).vertices_V3 for one in states]
    step = states[1].position[0] - states[0].position[0]
    rises = [points[:, 2] - ground.height(points[:, :2]) for points in shapes]
    slides = []
    for first, second, low, after in zip(shapes, shapes[1:], rises, rises[1:]):
        carries = (low < 0.02) & (after < 0.02)
        if carries.any():
            slides.append(np.median((second - first)[carries, 0]))
    assert len(slides) > 10
    # Moments are one of 24 of a cycle: feet step to and fro by as much, and stay on the whole.
    assert abs(np.mean(slides)) < 0.3 * step
    moved = np.median(np.abs(shapes[1] - shapes[0])[rises[0] > 0.8, 0])
    assert moved == pytest.approx(step, rel=0.5)


def test_a_cycle_carries_taller_animals_further_and_a_gallop_further_than_a_walk():
    walk, gallop = Animal("wolf", "walk"), Animal("wolf", "gallop")
    assert cycle_way_m(walk, 1.6) == pytest.approx(2 * cycle_way_m(walk, 0.8))
    assert cycle_way_m(gallop, 0.8) > 1.5 * cycle_way_m(walk, 0.8) > 0.5


def test_ways_that_cannot_be_are_refused(ground):
    way = np.array([[0.0, 0.0], [2.0, 0.0]])
    with pytest.raises(WildlifeError, match="no animal"):
        on_its_way(deer(animal=None, asset="raven"), way, ground, STAGE, "walk", 24.0)
    with pytest.raises(WildlifeError, match="don't show"):
        on_its_way(deer(), 30 * way, ground, STAGE, "walk", 24.0)
    for bad in (way[:1], way * 0.0, way * 1e4):
        with pytest.raises(WildlifeError):
            smooth_way(bad)
