"""From words, names and programs to items on the ground of a made-up clearing."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from lerf_wild.assets.library import starter_library
from lerf_wild.assets.search import Answer, Match
from lerf_wild.errors import WildlifeError
from lerf_wild.frames import Placed
from lerf_wild.program.types import Program, SceneObject, Settings
from lerf_wild.wildlife.choosing import choose, choose_animal, choose_asset, choose_each
from lerf_wild.wildlife.footprints import footprint_of
from lerf_wild.wildlife.ground import find_ground
from lerf_wild.wildlife.items import Provenance
from lerf_wild.wildlife.place_costs import UNSURE_M, Aim
from lerf_wild.wildlife.placing import SEARCH_M, TIGHT_M, why_not
from lerf_wild.wildlife.population import Population, undone, with_swap
from lerf_wild.wildlife.sentences import read_sentence, read_sentences
from lerf_wild.wildlife.settling import (
    Scene,
    by_thing,
    places_for,
    settle,
    settle_by_hand,
    settle_each,
    settle_program,
    settled_again,
    standing_of,
    stands_surely,
    swapped,
    yaw_in,
)
from lerf_wild.wildlife.sheet import Sheet
from lerf_wild.wildlife.stage import Stage


class World(Placed):
    """A capture in metres that training left as it was."""

    transform_34 = np.eye(4)[:3]
    scale, meters_per_unit = 1.0, 1.0


@pytest.fixture(scope="module")
def scene() -> Scene:
    draw = np.random.default_rng(0)
    xy = draw.uniform(-6, 6, (20_000, 2))
    floor = np.column_stack([xy, 0.05 * xy[:, 0]])
    log = draw.uniform([1.0, -1.0, 0.0], [1.5, 1.0, 0.4], (2000, 3)) + [0, 0, 0.06]
    ground = find_ground(np.concatenate([floor, log]))
    return Scene(Stage(World()), ground, starter_library())


def nothing(words: str) -> Answer:
    return Answer((Match("raven", "bird", 0.1, 0.0),), 0.0, False)


@pytest.mark.parametrize(
    ("text", "asset", "species", "action"),
    [
        ("a raven", "raven", None, None),
        ("a red deer grazing by the log", None, "red deer", "graze"),
        ("a wolf running", None, "wolf", "gallop"),
        ("a reindeer", None, "reindeer", "stand"),
    ],
)
def test_words_choose_an_asset_or_an_animal(text, asset, species, action):
    choice = choose(read_sentence(text), starter_library(), nothing)
    assert choice.asset == asset
    if species is not None:
        assert (choice.animal.species, choice.animal.action) == (species, action)
    assert choice.height_m > 0.1 and choice.licence


@pytest.mark.parametrize("size", [60.0, 900.0])
def test_what_is_too_large_for_a_place_is_refused(scene, size):
    choice = choose(read_sentence("a red deer"), starter_library(), nothing)
    choice = replace(choice, height_m=size)
    with pytest.raises(WildlifeError, match="no free room"):
        settle(scene, Population(), choice, Aim(np.zeros(2)), Provenance())


def test_numbers_that_are_none_are_refused(scene):
    choice = choose(read_sentence("a red deer"), starter_library(), nothing)
    with pytest.raises(WildlifeError, match="height"):
        settle_by_hand(scene, Population(), replace(choice, height_m=np.nan), (0, 0))
    with pytest.raises(WildlifeError):
        settle_by_hand(scene, Population(), choice, (-2, 0), float("nan"))


def test_heights_of_sentences_are_taken_and_unknown_things_refused():
    choice = choose(read_sentence("a 90 cm tall raven"), starter_library(), nothing)
    assert choice.height_m == pytest.approx(0.9)
    with pytest.raises(WildlifeError, match="spaceship"):
        choose(read_sentence("a spaceship"), starter_library(), nothing)
    with pytest.raises(WildlifeError, match="dragon"):
        choose_animal("dragon", "stand")


def test_an_item_by_a_log_stands_beside_it_on_the_ground(scene):
    choice = choose_asset("raven", scene.library)
    aim = Aim(np.array([1.2, 0.3]))
    source = Provenance("text", "a raven by the log", anchor="log")
    population, item = settle(scene, Population(), choice, aim, source)
    assert population.items == (item,) and item.provenance.anchor == "log"
    assert np.linalg.norm(np.array(item.position[:2]) - aim.point_2) < 0.9
    assert item.position[2] == pytest.approx(0.05 * item.position[0], abs=0.02)
    population, other = settle(scene, population, choice, aim, source)
    assert other.id == "raven_2"
    assert np.linalg.norm(np.subtract(item.position, other.position)) > 0.15


def test_several_are_individuals_that_stand_apart(scene):
    choices = choose_each(read_sentences("three wolves running by the log"), scene.library, nothing)
    assert {choice.animal.species for choice in choices} == {"wolf"}
    assert len({choice.animal.seed for choice in choices}) == 3
    population, placed, refused = settle_each(
        scene, Population(), choices, Aim(np.zeros(2)), Provenance()
    )
    assert population.items == tuple(placed) and not refused
    boxes = [one.vertices_V3[:, :2] for one in standing_of(scene, population)]
    for one, other in itertools.combinations(boxes, 2):
        assert cKDTree(one).query(other)[0].min() > 0.03


def test_several_kinds_stand_by_one_thing(scene):
    sentences = read_sentences("two ravens and a red fox by the log")
    choices = choose_each(sentences, scene.library, nothing)
    assert [choice.asset for choice in choices] == ["raven", "raven", "red_fox"]
    placed = settle_each(scene, Population(), choices, Aim(np.zeros(2)), Provenance())[1]
    assert [item.id for item in placed] == ["raven_1", "raven_2", "red_fox_1"]


def reeds() -> Scene:
    """Stalks 0.6 m apart on all ground within 3.6 m of the middle, none beyond."""
    draw = np.random.default_rng(0)
    floor = np.column_stack([draw.uniform(-7, 7, (30_000, 2)), np.zeros(30_000)])
    middles = np.stack(np.meshgrid(*[np.arange(-6, 7) * 0.6] * 2), axis=-1).reshape(-1, 1, 2)
    stalks = draw.uniform([-0.04, -0.04, 0.1], [0.04, 0.04, 1.5], (len(middles), 120, 3))
    stalks[..., :2] += middles
    ground = find_ground(np.concatenate([floor, stalks.reshape(-1, 3)]))
    return Scene(Stage(World()), ground, starter_library())


def test_those_without_room_are_told_of_or_stand_elsewhere():
    scene, aim = reeds(), Aim(np.zeros(2))
    small = choose(read_sentence("a 20 cm tall raven"), scene.library, nothing)
    large = choose(read_sentence("a 2.5 m tall red deer"), scene.library, nothing)
    rest = [small, large, large], aim, Provenance()
    population, near, refused = settle_each(scene, Population(), *rest)
    assert [item.asset for item in near] == ["raven"] and population.items == tuple(near)
    assert refused[0].startswith("2 of 3: There is no free room")
    with pytest.raises(WildlifeError, match="no free room"):
        settle(scene, population, large, aim, Provenance())
    _, far, left = settle_each(scene, Population(), *rest, anywhere=True)
    assert len(far) == 3 and not left
    assert all(np.linalg.norm(item.position[:2]) > SEARCH_M for item in far[1:])


def test_by_a_thing_what_it_takes_is_taken_for_that_item_alone(scene):
    rim = np.linspace(0, 2 * np.pi, 3000)
    slab = np.column_stack([np.cos(rim) - 2.0, np.sin(rim) + 1.0, np.full(3000, -0.1)])
    core = scene.stage.to_world(slab)
    aimed, aim = by_thing(scene, core[0], core)
    np.testing.assert_allclose(aim.point_2, slab[0, :2], atol=1e-9)
    assert cKDTree(aim.thing_M2).query(slab[:, :2])[0].max() < 0.04
    was, now = (one.ground.is_taken(slab[:, :2]).mean() for one in (scene, aimed))
    assert was < 0.1 and now > 0.95
    choice = choose_asset("raven", scene.library)
    _, item = settle(aimed, Population(), choice, aim, Provenance())
    assert 1.1 < np.linalg.norm(np.subtract(item.position[:2], [-2.0, 1.0])) < 1.7


def test_by_hand_stands_on_the_ground_or_says_why_not(scene):
    choice = choose_asset("raven", scene.library)
    _, item = settle_by_hand(scene, Population(), choice, (-2.0, 1.0), 0.7)
    assert item.position[2] == pytest.approx(-0.1, abs=0.02)
    assert yaw_in(scene.stage, item) == pytest.approx(0.7, abs=1e-4)
    moved = settled_again(scene, Population(), item, (2.0, -3.0), None, 1.0)
    assert moved.position[2] == pytest.approx(0.1, abs=0.02) and moved.height_m == 1.0
    assert yaw_in(scene.stage, moved) == pytest.approx(0.7, abs=1e-4)
    for place in ((50.0, 0.0), (0.0, 0.0, -2.0)):
        with pytest.raises(WildlifeError):
            settle_by_hand(scene, Population(), choice, place)


def test_items_on_ground_that_hardly_a_photo_shows_are_told_apart(scene):
    size = (60, 60)
    is_sure = np.broadcast_to(np.arange(60)[:, None] >= 30, size)
    sheet = Sheet(np.array([-6.0, -6.0]), 0.2, np.zeros(size), is_sure)
    known = replace(scene, ground=replace(scene.ground, sheet=sheet))
    choice = choose_asset("raven", scene.library)
    at = [settle_by_hand(known, Population(), choice, (x, 1.0))[1] for x in (-2.0, 2.0)]
    assert [stands_surely(known, item) for item in at] == [False, True]
    assert all(stands_surely(scene, item) for item in at)


def test_a_program_keeps_its_distances_and_names_what_it_cannot_place(scene):
    objects = (
        SceneObject(10, (-1.0, -1.5, -4.0), 0.5, asset="raven"),
        SceneObject(10, (1.0, -1.5, -4.0), 0.6, asset="egret"),
        SceneObject(10, (0.0, -1.5, -4.0), 0.6, species="zeppelin"),
    )
    program = Program(Settings(camera_pitch_deg=90.0), objects)
    centre, source = Aim(np.array([-3.0, -3.0])), Provenance("program", "two birds")
    _, placed, refused = settle_program(scene, Population(), program, centre, source)
    assert [item.asset for item in placed] == ["raven", "egret"]
    gap = np.subtract(placed[1].position, placed[0].position)[:2]
    np.testing.assert_allclose(gap, [2.0, 0.0], atol=0.11)
    assert len(refused) == 1 and "zeppelin" in refused[0]
    box = footprint_of(_look(scene, placed[0]), placed[0].height_m)
    spot = np.array(placed[0].position[:2])
    assert why_not(box, spot, yaw_in(scene.stage, placed[0]), scene.ground) is None


def test_a_swap_keeps_place_and_heading_and_moves_only_for_want_of_room(scene):
    raven = choose_asset("raven", scene.library)
    population, item = settle_by_hand(scene, Population(), raven, (-2.0, 1.0), 0.7)
    egret = swapped(scene, population, item, choose_asset("egret", scene.library))
    assert (egret.id, egret.asset, egret.animal) == (item.id, "egret", None)
    assert egret.position[:2] == item.position[:2]
    assert yaw_in(scene.stage, egret) == pytest.approx(0.7, abs=1e-4)
    deer = swapped(scene, population, item, choose_animal("red deer", "graze"))
    assert deer.asset is None and deer.animal.action == "graze" and deer.height_m > 0.9
    population = with_swap(population, deer)
    assert population.items == (deer,) and undone(population).items == (item,)
    # Beside the log there is room for a bird and not for a bear.
    population, item = settle_by_hand(scene, Population(), raven, (0.75, 0.0), 0.0)
    bear = swapped(scene, population, item, choose_animal("brown bear", "stand"))
    assert bear.position[:2] != item.position[:2]


def test_places_for_something_are_free_and_the_nearest_come_first(scene):
    choice, log_2 = choose_asset("raven", scene.library), np.array([1.2, 0.3])
    found = places_for(scene, Population(), choice, Aim(log_2))
    gaps = [float(np.linalg.norm(place.foot_3[:2] - log_2)) for place in found]
    # One that is tight, on unsure ground, comes after others that are this much further off.
    assert (np.diff(gaps) > -TIGHT_M - UNSURE_M).all() and 0.1 < gaps[0] < 1.0 and len(found) > 100
    assert gaps != sorted(gaps)


def _look(scene, item):
    from lerf_wild.wildlife.looks import look_of

    return look_of(item, scene.library)


@pytest.mark.parametrize(("asset", "is_room"), [("poplar", True), ("oak_tree", False)])
def test_crowns_stand_apart_where_there_is_room_for_them(scene, asset, is_room):
    tree, population = choose_asset(asset, scene.library), Population()
    for _ in range(2):
        population, _ = settle(scene, population, tree, Aim(np.array([-3.0, 0.0])), Provenance())
    trees = [one.vertices_V3 for one in standing_of(scene, population)]
    high = [part[part[:, 2] > part[:, 2].min() + 1.8, :2] for part in trees]
    assert (cKDTree(high[0]).query(high[1])[0].min() > 0.04) == is_room
    stems = [part[part[:, 2] < part[:, 2].min() + 1.0, :2] for part in trees]
    assert cKDTree(stems[0]).query(stems[1])[0].min() > 0.04
