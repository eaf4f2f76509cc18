"""Sentences split into what, doing what, by what, and how tall."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerf_wild.errors import QueryError
from lerf_wild.wildlife.sentences import ACTIONS, RELATIONS, read_sentence


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
        assert read_sentence(text).item
    except QueryError:
        pass
