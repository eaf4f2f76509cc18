"""Clearings: what is taken out, where the ground below comes from, and how they are found."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
import torch

from lerf_wild.errors import WildlifeError
from lerf_wild.wildlife.clearings import (
    LAYER_M,
    ClearedGround,
    Column,
    around_thing,
    is_cleared,
    mirrored,
)
from lerf_wild.wildlife.ground import Ground
from lerf_wild.wildlife.items import Clearing
from lerf_wild.wildlife.population import (
    Population,
    free_id,
    redone,
    undone,
    with_clearing,
    without,
)
from lerf_wild.wildlife.population_files import read_population, write_population

TURN = np.array([[np.cos(0.4), np.sin(0.4)], [-np.sin(0.4), np.cos(0.4)]])
COLUMN = Column(np.array([0.5, -0.3, 0.2]), TURN, np.array([1.2, 0.5]), 1.5)


def hilly(taken_at: tuple[float, float] | None = None) -> Ground:
    middles = (np.arange(40) + 0.5) * 0.2 - 4
    x, y = np.meshgrid(middles, middles, indexing="ij")
    is_taken = np.zeros((80, 80), bool)
    if taken_at is not None:
        row, column = ((np.array(taken_at) + 4) / 0.1).astype(int)
        is_taken[row - 4 : row + 4, column - 4 : column + 4] = True
    height = 0.2 * x + 0.1 * np.sin(2 * y)
    known = np.ones((40, 40), bool)
    return Ground(np.full(2, -4.0), 0.2, height, known, np.zeros((0, 3)), is_taken)


def clearing(name: str = "cleared_fox_1") -> Clearing:
    return Clearing(id=name, position=(1.0, 2.0, 0.0), half_lengths_m=(0.6, 0.3), height_m=0.8)


def test_heights_are_those_of_the_ground():
    ground = hilly()
    xy = np.random.default_rng(0).uniform(-6, 6, (500, 2))
    found = ClearedGround([COLUMN], ground).height(torch.from_numpy(xy).float())
    np.testing.assert_allclose(found.numpy(), ground.height(xy), atol=1e-4)


@pytest.mark.parametrize("side", [0, 1, -1])
def test_mirrored_places_lie_beyond_the_edge_and_keep_to_it(side):
    angle = np.linspace(0, 2 * np.pi, 90)
    edge = torch.from_numpy(np.stack([np.cos(angle), np.sin(angle)], axis=1))
    inside = 0.7 * edge
    across = mirrored(inside, side)
    assert (across.norm(dim=1) > 1).all() and (across.abs() <= 3).all()
    near = edge[:, 1] * side >= 0 if side else edge[:, 1].abs() >= 0
    torch.testing.assert_close(mirrored(edge, side)[near], edge[near], atol=1e-6, rtol=0)
    if side:
        assert (across[:, 1] * side > 0).all()


def test_points_are_taken_out_filled_in_or_left_as_the_loop_says():
    ground = hilly()
    draw = np.random.default_rng(1)
    xy = draw.uniform(-2.5, 2.5, (3000, 2))
    rise = draw.choice([draw.uniform(-0.3, 0.09), draw.uniform(0.11, 1.4), 1.6], 3000)
    points = torch.from_numpy(np.column_stack([xy, ground.height(xy) + rise])).float()
    asked, is_empty = ClearedGround([COLUMN], ground).moved(points)
    inside = 0
    for point, height, out, gone in zip(points.numpy(), rise, asked.numpy(), is_empty.numpy()):
        place = TURN @ (point[:2] - COLUMN.foot_3[:2]) / COLUMN.half_2
        if place @ place >= 1 or height > COLUMN.height_m:
            assert not gone and (out == point).all()
            continue
        inside += 1
        assert gone == (height > LAYER_M)
        if not gone:
            there = TURN @ (out[:2] - COLUMN.foot_3[:2]) / COLUMN.half_2
            edge = np.sqrt(1 - place[0] ** 2)
            np.testing.assert_allclose(there[0], place[0], atol=1e-4)
            np.testing.assert_allclose(
                there[1] + place[1], np.copysign(2 * edge, place[1]), atol=1e-3
            )
            assert out[2] - ground.height(out[None, :2])[0] == pytest.approx(height, abs=1e-4)
    assert inside > 100


def test_ground_is_taken_from_the_side_where_nothing_stands():
    beyond = COLUMN.foot_3[:2] + np.array([0.0, 2 * 0.5]) @ TURN
    field = ClearedGround([COLUMN], hilly(tuple(beyond)))
    xy = COLUMN.foot_3[:2] + (np.array([[0.1, 0.3], [0.1, -0.3]]) * COLUMN.half_2) @ TURN
    points = torch.from_numpy(np.column_stack([xy, field.height(torch.from_numpy(xy).float())]))
    asked, _ = field.moved(points.float())
    places = (asked[:, :2].numpy() - COLUMN.foot_3[:2]) @ TURN.T / COLUMN.half_2
    assert (places[:, 1] < -1).all()


def thing(at=(1.0, 0.5), size=(0.8, 0.2, 0.6), seed=0):
    draw = np.random.default_rng(seed)
    points = draw.uniform(-1, 1, (400, 3)) * size + [*at, 0.0]
    points[:, 2] = hilly().height(points[:, :2]) + 0.15 + (points[:, 2] + size[2]) * 0.5
    return points


def liked(*things):
    points = np.concatenate(things)
    return points, np.full(len(points), 0.8)


def test_a_thing_is_taken_with_its_head_and_without_what_is_unlike_it():
    body, head = thing(), thing((2.0, 0.5), (0.15, 0.1, 0.8), seed=2)
    stone = thing((1.0, 1.1), (0.5, 0.2, 0.4), seed=3)
    points = np.concatenate([body, head, stone])
    relevancy = np.repeat([0.9, 0.3, 0.02], [len(body), len(head), len(stone)])
    half, yaw, height, foot = around_thing(points, relevancy, body[3], hilly())
    turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
    column = Column(foot, turn, np.array(half), height)
    assert is_cleared(np.concatenate([body, head]), [column], hilly()).all()
    assert is_cleared(stone, [column], hilly()).mean() < 0.5


def test_a_thing_is_found_whole_and_alone():
    one, other = thing(), thing((-2.0, -2.0), seed=1)
    half, yaw, height, foot = around_thing(*liked(other, one), one[7], hilly())
    turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
    column = Column(foot, turn, np.array(half), height)
    assert is_cleared(one, [column], hilly()).all()
    assert not is_cleared(other, [column], hilly()).any()
    assert 0.8 < half[0] < 1.4 and 0.2 < half[1] < 0.6
    assert abs(np.sin(yaw)) < 0.1 and 0.7 < height < 1.0


def test_nothing_and_too_much_are_refused():
    with pytest.raises(WildlifeError, match="Nothing stands there"):
        around_thing(np.zeros((0, 3)), np.zeros(0), np.zeros(3), hilly())
    flat = thing()
    flat[:, 2] = hilly().height(flat[:, :2])
    with pytest.raises(WildlifeError, match="Nothing stands there"):
        around_thing(*liked(flat), flat[0], hilly())
    hedge = np.concatenate([thing((x, 0.0)) for x in np.arange(-20, 20, 1.2)])
    with pytest.raises(WildlifeError, match="m wide"):
        around_thing(*liked(hedge), hedge[0], hilly())


def test_clearings_are_kept_undone_and_taken_back(tmp_path):
    one = with_clearing(Population(), clearing())
    two = with_clearing(one, clearing("cleared_log_1"))
    write_population(tmp_path / "wildlife.json", two)
    again = read_population(tmp_path / "wildlife.json")
    assert again == two and again.clearings == (clearing(), clearing("cleared_log_1"))
    assert undone(again).clearings == one.clearings
    assert redone(undone(again)).clearings == two.clearings
    left = without(again, "cleared_fox_1")
    assert [item.id for item in left.clearings] == ["cleared_log_1"]
    assert set(undone(left).clearings) == set(two.clearings)
    assert free_id(two, "cleared fox") == "cleared_fox_2"
    with pytest.raises(WildlifeError, match="already"):
        with_clearing(two, clearing())


@pytest.mark.parametrize(
    "changes",
    [
        {"height_m": -1.0},
        {"half_lengths_m": [0.5]},
        {"id": "../x"},
        {"position": [0, 0, 1e9]},
        {"a": 1},
    ],
)
def test_damaged_clearings_are_told_and_the_items_stay(tmp_path, changes):
    path = tmp_path / "wildlife.json"
    write_population(path, with_clearing(Population(), clearing()))
    content = json.loads(path.read_text())
    content["clearings"][0] |= changes
    path.write_text(json.dumps(content))
    found = read_population(path)
    assert found.clearings == () and any("clearings" in line for line in found.troubles)
    with pytest.raises((ValueError, msgspec.ValidationError)):
        msgspec.convert(msgspec.to_builtins(clearing()) | {"yaw_rad": float("nan")}, Clearing)
