"""Sentences split into what, doing what, by what, and how tall."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerf_wild.errors import QueryError
from lerf_wild.wildlife.sentences import ACTIONS, RELATIONS, read_sentence, read_sentences


@pytest.mark.parametrize(
    ("text", "item", "action", "anchor", "height_m"),
    [
        ("a red deer grazing by the log", "red deer", "graze", "log", None),
        ("Put a grey wolf next to the mossy rock.", "grey wolf", None, "mossy rock", None),
        ("red fox", "red fox", None, None, None),
        ("a fox sitting in front of the pine tree", "fox", "sit", "pine tree", None),
        ("a 1.2 m tall zebra running behind the pond", "zebra", "gallop", "pond", 1.2),
        ("a birch tree 250 cm high near some reeds", "birch tree", None, "reeds", 2.5),
        ("egret standing at the edge", "egret", "stand", "edge", None),
        ("a long-legged dog with a short tail by the rock", "long-legged dog short tail", None,
         "rock", None),
        ("I would like a badger in the shade of the oak tree", "badger", None, "oak tree", None),
        ("a wolf running past the boulder", "wolf", "gallop", "boulder", None),
    ],
)  # fmt: skip
def test_sentences(text, item, action, anchor, height_m):
    found = read_sentence(text)
    assert (found.item, found.action, found.anchor) == (item, action, anchor)
    assert found.height_m == height_m


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("two zebras and a lion by the log", [(2, "zebras", None, None), (1, "lion", None, None)]),
        ("a fox, a 1 m tall wolf and 3 ravens by the log",
         [(1, "fox", None, None), (1, "wolf", None, 1.0), (3, "ravens", None, None)]),
        ("a fox & a wolf running past the log",
         [(1, "fox", "gallop", None), (1, "wolf", "gallop", None)]),
        ("a sitting fox and an egret by the log", [(1, "fox", "sit", None),
         (1, "egret", None, None)]),
        ("a fox and a wolf by the log, 80 cm high", [(1, "fox", None, 0.8),
         (1, "wolf", None, 0.8)]),
        ("a fox, 60 cm high, by the log", [(1, "fox", None, 0.6)]),
        ("a fox by the 3 m tall log", [(1, "fox", None, None)]),
        ("a fox with a red back and a white tail by the log",
         [(1, "fox red back white tail", None, None)]),
        ("a black and white bird by the log", [(1, "black and white bird", None, None)]),
    ],
)  # fmt: skip
def test_several_kinds_are_told_apart(text, found):
    said = read_sentences(text)
    assert [(one.count, one.item, one.action, one.height_m) for one in said] == found
    assert {one.anchor for one in said} == {"log"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("zebras and lions", "how many of each"),
        ("seven foxes and six deer", "asks for 13"),
        ("a zebra 2 m in front of the log", "how far off"),
        ("a hippo 3 metres from the tree", "how far off"),
        ("a fox by the log and a deer by the tree", "several places"),
    ],
)
def test_what_would_be_misread_is_refused(text, reason):
    with pytest.raises(QueryError, match=reason):
        read_sentences(text)


def test_one_thing_is_asked_for_where_one_is_wanted():
    with pytest.raises(QueryError, match="zebra, lion"):
        read_sentence("a zebra and a lion")


@pytest.mark.parametrize("text", ["", "the", "a grazing by the log", "by the log"])
def test_nothing_to_place_is_refused(text):
    with pytest.raises(QueryError):
        read_sentence(text)


@given(
    st.sampled_from(["red deer", "zebra", "raven", "oak tree"]),
    st.sampled_from(sorted(ACTIONS)),
    st.sampled_from(RELATIONS),
    st.sampled_from(["log", "grey rock", "yellow flowers"]),
)
@settings(max_examples=60, deadline=None)
def test_any_combination_is_taken_apart(item, doing, relation, anchor):
    found = read_sentence(f"a {item} {doing} {relation} the {anchor}")
    assert (found.item, found.action, found.anchor) == (item, ACTIONS[doing], anchor)
    assert found.relation == relation


@given(st.text(max_size=80))
@settings(max_examples=60, deadline=None)
def test_any_text_is_read_or_refused(text):
    try:
        assert all(one.item for one in read_sentences(text))
    except QueryError:
        pass
