"""How many a sentence asks for, and what one of them is called."""

from __future__ import annotations

import pytest

from lerf_wild.errors import QueryError
from lerf_wild.wildlife.counting import MOST, counted, singular
from lerf_wild.wildlife.sentences import read_sentence


@pytest.mark.parametrize(
    ("text", "count", "item"),
    [
        ("two ravens", 2, "ravens"),
        ("3 foxes by the log", 3, "foxes"),
        ("the two 1.2 m tall wolves walking past the oak", 2, "wolves"),
        ("a pair of wolves", 2, "wolves"),
        ("a few mushrooms under the pine", 3, "mushrooms"),
        ("a herd of red deer grazing", 5, "red deer"),
        ("put 4 grey wolves near the three birches", 4, "grey wolves"),
        ("a 3 year old horse", 1, "3 year old horse"),
        ("a two-toed sloth", 1, "two-toed sloth"),
        ("one pack mule", 1, "pack mule"),
    ],
)
def test_numbers_are_read(text, count, item):
    found = read_sentence(text)
    assert (found.count, found.item) == (count, item)


@pytest.mark.parametrize("text", [f"{MOST + 1} zebras", "0 zebras", "9999999 ants by the log"])
def test_numbers_that_cannot_be_placed_are_refused(text):
    with pytest.raises(QueryError, match="1 to 12"):
        read_sentence(text)


@pytest.mark.parametrize("text", ["no deer", "please remove the fox", "don't place a cow"])
def test_what_is_to_be_away_is_not_placed(text):
    with pytest.raises(QueryError, match="wildlife remove"):
        read_sentence(text)
    assert read_sentence("a tree without leaves").item == "tree without leaves"


@pytest.mark.parametrize("text", ["a -2 m tall deer", "a fox, 0 cm high, by the log"])
def test_heights_that_cannot_be_are_refused(text):
    with pytest.raises(QueryError, match="height"):
        read_sentence(text)


def test_a_range_of_heights_is_its_end():
    assert read_sentence("a 1-2 m tall deer").height_m == 2.0


def test_one_of_several_has_its_own_name():
    plural = "grey wolves,calves,foxes,geese,sheep,horses,ponies,buffaloes,bushes,grass,birches"
    names = "grey wolf,calf,fox,goose,sheep,horse,pony,buffalo,bush,grass,birch"
    assert [singular(name) for name in plural.split(",")] == names.split(",")


def test_nothing_counted_leaves_the_words():
    assert counted(["red", "fox"]) == (1, ["red", "fox"])
    assert counted(["two"]) == (1, ["two"])
