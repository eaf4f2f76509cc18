"""Items put back to where made-up cameras saw them."""

from __future__ import annotations

import numpy as np
import pytest

from lerf_wild.assets.library import starter_library
from lerf_wild.errors import WildlifeError
from lerf_wild.frames import Placed
from lerf_wild.wildlife.ground import Ground
from lerf_wild.wildlife.items import Animal, Item, checked, quaternion_of, upright
from lerf_wild.wildlife.looks import look_of
from lerf_wild.wildlife.refining import Observed, joined, near_rays, refine
from lerf_wild.wildlife.refining_look import refine_look
from lerf_wild.wildlife.scene_light import usual_light
from lerf_wild.wildlife.settling import yaw_in
from lerf_wild.wildlife.shading import item_colours
from lerf_wild.wildlife.stage import Stage
from lerf_wild.wildlife.tracing import scene_of, stand


class World(Placed):
    """A capture in metres that training left as it was."""

    transform_34 = np.eye(4)[:3]
    scale, meters_per_unit = 1.0, 1.0


STAGE = Stage(World())
LEVEL = Ground(
    np.array([-8.0, -8.0]), 0.2, np.zeros((80, 80)), np.ones((80, 80), bool), np.zeros((0, 3))
)


def item(x=0.0, y=0.0, yaw=0.6, height=1.0) -> Item:
    turn = quaternion_of(upright(yaw))
    return Item(id="egret_1", asset="egret", position=(x, y, 0.0), rotation=turn, height_m=height)


def observed(true: Item, around, noise_m: float, seed: int = 0) -> Observed:
    """Six cameras around the origin see the true item on level ground, with noisy depths."""
    one, draw = stand(true, look_of(true, starter_library()), STAGE), np.random.default_rng(seed)
    parts = []
    for angle in np.arange(6) * np.pi / 3:
        eye = np.array([6 * np.cos(angle), 6 * np.sin(angle), 1.6])
        target = draw.uniform([-1.2, -1.2, -0.2], [1.2, 1.2, 1.4], (700, 3))
        directions = target - eye
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        origins = np.broadcast_to(eye, directions.shape)
        hits = scene_of([one]).trace(origins, directions)
        floor = np.where(directions[:, 2] < 0, -1.6 / np.minimum(directions[:, 2], -1e-9), np.inf)
        distance = np.minimum(hits.distance_N, floor)
        reach = np.where(hits.hit, hits.distance_N, 0.0)[:, None]
        colours = item_colours(scene_of([one]), usual_light(), origins + reach * directions, hits)
        colours = np.where(hits.hit[:, None], colours, [0.3, 0.5, 0.2])
        distance = distance + noise_m * draw.normal(size=len(distance))
        rows = near_rays(origins, directions, around)
        parts.append(Observed(origins[rows], directions[rows], distance[rows], colours[rows]))
    return joined(parts, around)


@pytest.mark.parametrize(("turn_deg", "factor"), [(25.0, 1.2), (-25.0, 0.8)])
def test_an_item_is_put_back_from_a_third_of_a_metre(turn_deg, factor):
    true = item()
    start = item(0.24, -0.18, 0.6 + np.radians(turn_deg), factor)
    look = look_of(start, starter_library())
    seen = observed(true, stand(start, look, STAGE), noise_m=0.02)
    found = refine(start, look, STAGE, seen, LEVEL, usual_light())
    assert found.after < found.before
    assert np.linalg.norm(np.subtract(found.item.position, true.position)) < 0.05
    turn = yaw_in(STAGE, found.item) - yaw_in(STAGE, true)
    assert abs(np.degrees((turn + np.pi) % (2 * np.pi) - np.pi)) < 6.0
    assert found.item.height_m == pytest.approx(true.height_m, rel=0.04)


def test_an_item_that_is_right_stays():
    true = item()
    look = look_of(true, starter_library())
    seen = observed(true, stand(true, look, STAGE), noise_m=0.0)
    found = refine(true, look, STAGE, seen, LEVEL, usual_light(), evaluations=40)
    assert np.linalg.norm(np.subtract(found.item.position, true.position)) < 0.02
    assert found.item.id == true.id


def test_too_few_rays_are_refused():
    true = checked(item(), height_m=0.5)
    nothing = Observed(np.zeros((3, 3)), np.eye(3), np.ones(3), np.ones((3, 3)))
    with pytest.raises(WildlifeError, match="egret_1"):
        refine(true, look_of(true, starter_library()), STAGE, nothing, LEVEL, usual_light())


def deer(action: str, tint=(1.0, 1.0, 1.0)) -> Item:
    turn = quaternion_of(upright(0.6))
    animal = Animal("red deer", action)
    return Item(
        id="deer_1", animal=animal, position=(0, 0, 0), rotation=turn, height_m=1.0, tint=tint
    )


def looks(one: Item):
    return look_of(one, starter_library())


def test_what_an_animal_does_and_its_colours_are_those_of_the_photos():
    true, start = deer("graze", (0.6, 0.7, 0.8)), deer("stand")
    seen = observed(true, stand(start, looks(start), STAGE), noise_m=0.02)
    found = refine_look(start, looks, STAGE, seen, LEVEL, usual_light())
    assert found.after < found.before - 0.05
    assert found.item.animal.action == "graze"
    np.testing.assert_allclose(found.item.tint, true.tint, atol=0.08)
    assert abs(found.item.position[2]) < 0.02


def test_the_look_of_an_item_that_is_right_stays():
    true = item()
    seen = observed(true, stand(true, looks(true), STAGE), noise_m=0.01)
    assert refine_look(true, looks, STAGE, seen, LEVEL, usual_light()).item == true


def test_a_tint_colours_what_is_drawn_and_nothing_else():
    plain, dark = looks(item()), looks(checked(item(), tint=(0.5, 0.5, 0.5)))
    np.testing.assert_allclose(dark.albedo_V3, 0.5 * plain.albedo_V3, atol=1e-6)
    assert dark.key != plain.key and dark.vertices_V3 is plain.vertices_V3
    with pytest.raises(WildlifeError):
        checked(item(), tint=(0.0, 1.0, 1.0))
