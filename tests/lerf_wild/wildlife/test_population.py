"""Populations: changes and their history, and the file that survives anything."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerf_wild.errors import InputError, WildlifeError
from lerf_wild.wildlife.items import (
    Animal,
    Item,
    Provenance,
    checked,
    level_to,
    quaternion_of,
    upright,
)
from lerf_wild.wildlife.population import (
    MAX_ITEMS,
    Population,
    free_id,
    redone,
    undone,
    with_change,
    with_item,
    without,
)
from lerf_wild.wildlife.population_files import (
    edit_population,
    population_path,
    read_population,
    write_population,
)


def fox(name: str = "fox_1", **changes) -> Item:
    return checked(
        Item(id=name, asset="red_fox", position=(1.0, 2.0, 0.0), height_m=0.5), **changes
    )


def deer(name: str = "deer_1") -> Item:
    animal = Animal("red deer", "graze", betas=(0.1, -0.2))
    return Item(id=name, animal=animal, position=(0.0, 0.0, 0.1), height_m=1.2)


def test_a_population_is_read_back_as_it_was_written(tmp_path):
    population = with_item(with_item(Population(), fox()), deer())
    population = with_change(population, "fox_1", "move", position=(3.0, 0.5, 0.25))
    population = undone(population)
    path = population_path(tmp_path)
    write_population(path, population)
    assert read_population(path) == population
    assert read_population(tmp_path / "none" / "wildlife.json") == Population()


def test_undo_and_redo_walk_through_every_state():
    states = [Population()]
    states.append(with_item(states[-1], fox()))
    states.append(with_item(states[-1], deer()))
    states.append(with_change(states[-1], "fox_1", "turn", rotation=(0.0, 0.0, 0.0, 1.0)))
    states.append(without(states[-1], "deer_1"))
    now = states[-1]
    for state in reversed(states[:-1]):
        now = undone(now)
        assert {item.id: item for item in now.items} == {item.id: item for item in state.items}
    with pytest.raises(WildlifeError, match="nothing to undo"):
        undone(now)
    for state in states[1:]:
        now = redone(now)
        assert {item.id: item for item in now.items} == {item.id: item for item in state.items}
    with pytest.raises(WildlifeError, match="nothing to redo"):
        redone(now)
    assert with_item(undone(now), fox("fox_9")).redo == ()


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc")), max_size=12))
@settings(max_examples=40, deadline=None)
def test_any_sequence_of_changes_can_be_taken_back(actions):
    population, seen = Population(), []
    for action, name in actions:
        before = population
        try:
            if action == 0:
                population = with_item(population, fox(name))
            elif action == 1:
                population = without(population, name)
            else:
                population = with_change(population, name, "grow", height_m=float(action))
        except WildlifeError:
            assert population is before
            continue
        seen.append(before)
    for before in reversed(seen):
        population = undone(population)
        assert {i.id: i for i in population.items} == {i.id: i for i in before.items}


def test_ids_are_unique_and_unknown_ones_are_named():
    population = with_item(Population(), fox())
    assert free_id(population, "Fox") == "fox_2"
    with pytest.raises(WildlifeError, match="already"):
        with_item(population, fox())
    with pytest.raises(WildlifeError, match="fox_1"):
        without(population, "wolf")


@pytest.mark.parametrize(
    "changes",
    [
        {"height_m": 0.0},
        {"height_m": 1e5},
        {"position": (0.0, 0.0)},
        {"position": (0.0, 0.0, 1e9)},
        {"rotation": (0.0, 0.0, 0.0, 0.0)},
        {"asset": "../secret"},
        {"asset": None},
        {"phrases": ("",)},
        {"colour": "red"},
    ],
)
def test_values_that_cannot_be_are_refused(changes):
    with pytest.raises(WildlifeError):
        checked(fox(), **changes)


def test_a_wrong_entry_is_left_out_named_and_kept_in_the_file(tmp_path):
    path = population_path(tmp_path)
    write_population(path, with_item(with_item(Population(), fox()), deer()))
    content = json.loads(path.read_text())
    content["items"][0]["height_m"] = "tall"
    content["items"].append(content["items"][1])
    path.write_text(json.dumps(content))
    population = read_population(path)
    assert [item.id for item in population.items] == ["deer_1"]
    assert len(population.troubles) == 2
    assert "fox_1" in population.troubles[0] and "height_m" in population.troubles[0]
    assert all("\n" not in line and str(path) in line for line in population.troubles)
    write_population(path, population)
    assert json.loads(path.read_text())["items"][1]["height_m"] == "tall"


def test_wrong_clearings_are_left_out_and_kept_in_the_file(tmp_path):
    path = population_path(tmp_path)
    write_population(path, with_item(Population(), fox()))
    content = json.loads(path.read_text())
    good = {"id": "gap", "position": [0, 0, 0], "half_lengths_m": [1, 1], "height_m": 1}
    content["clearings"] = [{**good, "id": "odd", "half_lengths_m": [0, 1]}, good, good]
    path.write_text(json.dumps(content))
    population = read_population(path)
    assert [one.id for one in population.clearings] == ["gap"] and len(population.troubles) == 2
    edit_population(path, lambda now: with_item(now, deer()))
    kept = json.loads(path.read_text())["clearings"]
    assert sorted(one["id"] for one in kept) == ["gap", "gap", "odd"]


def test_entries_that_cannot_be_used_count_among_the_most(tmp_path):
    unread = ({"id": "odd"},) * MAX_ITEMS
    with pytest.raises(WildlifeError, match="already"):
        with_item(Population(unread=unread), fox())


def test_names_that_are_no_text_are_written(tmp_path):
    path = population_path(tmp_path)
    odd = fox(provenance=Provenance("photo", "caf\udce9.jpg"))
    write_population(path, with_item(Population(), odd))
    assert read_population(path).items[0].provenance.text == "caf\udce9.jpg"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"format": "other", "version": 1}',
        '{"format": "lerf-wild wildlife", "version": 9}',
        '{"format": "lerf-wild wildlife", "version": 1, "items": {}}',
        '{"format": "lerf-wild wildlife", "version": 1, "items": [NaN]}',
        '{"format": "lerf-wild wildlife", "version": 1, "hidden": 1}',
    ],
)
def test_a_broken_file_gives_one_message_that_names_it(tmp_path, text):
    path = population_path(tmp_path)
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_population(path)
    assert str(path) in str(caught.value) and str(caught.value).count("\n") <= 1


def test_a_damaged_history_is_forgotten_and_the_items_stay(tmp_path):
    path = population_path(tmp_path)
    write_population(path, with_item(Population(), fox()))
    content = json.loads(path.read_text())
    content["undo"][0]["after"] = 3
    path.write_text(json.dumps(content))
    population = read_population(path)
    assert [item.id for item in population.items] == ["fox_1"] and population.undo == ()
    assert "undo history" in population.troubles[0]


def test_quaternions_and_matrices_agree():
    for yaw in (-3.0, -0.4, 0.0, 1.2):
        turn = upright(yaw)
        item = fox(rotation=quaternion_of(turn))
        np.testing.assert_allclose(item.turn_33, turn, atol=2e-6)
    up = np.array([0.1, -0.2, 0.97]) / np.linalg.norm([0.1, -0.2, 0.97])
    np.testing.assert_allclose(level_to(up) @ [0, 0, 1], up, atol=1e-9)
    np.testing.assert_allclose(level_to(np.array([0.0, 0.0, -1.0])) @ [0, 0, 1], [0, 0, -1])


WRITER = """
import os, sys
from pathlib import Path
from lerf_wild.wildlife.items import Item
from lerf_wild.wildlife.population import Population, with_change, with_item
from lerf_wild.wildlife.population_files import write_population
path = Path(sys.argv[1])
population = Population()
for i in range(40):
    item = Item(id=f"fox_{i}", asset="red_fox", position=(i, 0.0, 0.0), height_m=0.5)
    population = with_item(population, item)
for _ in sys.stdin:
    child = os.fork()
    if child:
        print(child, flush=True)
        os.waitpid(child, 0)
        print("gone", flush=True)
        continue
    while True:
        write_population(path, population)
        population = with_change(population, "fox_3", "grow", height_m=0.5)
"""


def test_fifty_kills_while_saving_leave_a_valid_file(tmp_path):
    """A process saves without pause and is killed at random moments, fifty times."""
    path = population_path(tmp_path)
    draw = random.Random(3)
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        for _ in range(50):
            process.stdin.write("\n")
            process.stdin.flush()
            child = int(process.stdout.readline())
            before = path.stat().st_mtime_ns if path.exists() else 0
            while not path.exists() or path.stat().st_mtime_ns == before:
                time.sleep(0.001)
            time.sleep(draw.uniform(0.0, 0.05))
            os.kill(child, signal.SIGKILL)
            assert process.stdout.readline() == "gone\n"
            population = read_population(path)
            assert len(population.items) == 40 and population.troubles == ()
            assert len(population.undo) >= 40
    assert len(edit_population(path, lambda old: without(old, "fox_3")).items) == 39


def test_two_editors_do_not_lose_each_others_items(tmp_path):
    path = population_path(tmp_path)
    edit_population(path, lambda old: with_item(old, fox("a")))
    edit_population(path, lambda old: with_item(old, fox("b")))
    assert [item.id for item in read_population(path).items] == ["a", "b"]
    assert msgspec.to_builtins(read_population(path).undo[0])["label"] == "place a"
