"""`lerf-wild wildlife`: what can be done without opening a run, and messages for what can't."""

from __future__ import annotations

import json

import pytest

from lerf_wild.cli.wildlife import check_place
from lerf_wild.errors import InputError
from lerf_wild.wildlife.items import Item
from lerf_wild.wildlife.population import Population, with_item
from lerf_wild.wildlife.population_files import (
    population_path,
    read_population,
    write_population,
)


@pytest.fixture()
def run_folder(tmp_path):
    population = Population()
    for name in ("fox_1", "fox_2"):
        item = Item(id=name, asset="red_fox", position=(0.0, 1.0, 0.0), height_m=0.5)
        population = with_item(population, item)
    write_population(population_path(tmp_path), population)
    return tmp_path


def names(folder):
    return [item.id for item in read_population(population_path(folder)).items]


def test_items_are_listed_removed_and_brought_back(run_folder, exit_code, capsys):
    target = run_folder / "items.json"
    assert exit_code("wildlife", "list", "--load-config", run_folder, "--json", target) == 0
    assert "fox_2" in capsys.readouterr().out
    assert [one["id"] for one in json.loads(target.read_text())["items"]] == ["fox_1", "fox_2"]
    config = run_folder / "config.yml"
    assert exit_code("wildlife", "remove", "--load-config", config, "--items", "fox_1") == 0
    assert names(run_folder) == ["fox_2"]
    assert exit_code("wildlife", "undo", "--load-config", config) == 0
    assert sorted(names(run_folder)) == ["fox_1", "fox_2"]
    assert exit_code("wildlife", "redo", "--load-config", config) == 0
    assert names(run_folder) == ["fox_2"]


def test_an_item_is_hidden_without_opening_the_run(run_folder, exit_code):
    words = ("wildlife", "move", "--load-config", run_folder, "--item", "fox_1")
    assert exit_code(*words, "--visible", "False") == 0
    assert not read_population(population_path(run_folder)).item("fox_1").visible


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("remove", "--items", "wolf"), "no item 'wolf'"),
        (("redo",), "nothing to redo"),
        (("move", "--item", "fox_1"), "Say what to change"),
        (("place",), "--text"),
        (("place", "--text", "a fox", "--asset", "red_fox"), "one of"),
        (("place", "--asset", "red_fox", "--at", "1"), "two or three"),
        (("walk", "--item", "fox_1", "--way", "0", "0", "--output-path", "a.mp4"), "two or more"),
        (("export", "--output-dir", "a", "--camtrap-dp", "b"), "--deployment-id"),
        (("export", "--output-dir", "a", "--dataset", "False", "--camtrap-dp", "b"), "--dataset"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line_or_two(run_folder, exit_code, capsys, words, said):
    command, *flags = words
    assert exit_code("wildlife", command, "--load-config", run_folder, *flags) == 2
    message = capsys.readouterr().err
    assert said in message and message.count("\n") <= 2
    assert names(run_folder) == ["fox_1", "fox_2"]


def test_a_folder_that_is_not_there_is_named(tmp_path, exit_code, capsys):
    missing = tmp_path / "gone" / "config.yml"
    assert exit_code("wildlife", "list", "--load-config", missing) == 2
    assert str(missing.parent) in capsys.readouterr().err


@pytest.mark.parametrize("at", [(1.0,), (1.0, float("nan")), (1.0, 2.0, float("inf")), (1.0,) * 4])
def test_a_place_that_is_none_is_refused(at):
    with pytest.raises(InputError, match="--at takes"):
        check_place(at)
