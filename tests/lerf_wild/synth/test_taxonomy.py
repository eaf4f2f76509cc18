"""What a name might be taken for."""

from __future__ import annotations

import pytest

from lerf_wild.synth.taxonomy import is_name, others_than


@pytest.mark.parametrize(
    "phrase, others, none_of",
    [
        (
            "black raven",
            {"black cow", "mallard duck", "fern"},
            {"black raven", "raven", "black bird"},
        ),
        ("raven", {"black cow", "mallard duck"}, {"black raven"}),
        ("bird", {"black cow", "fern"}, {"black raven", "mallard duck", "scarlet ibis"}),
        ("rabbit", {"red fox", "spotted fawn"}, {"rabbit", "hare"}),
        ("zeppelin", {"black cow", "black raven", "oak tree"}, set()),
    ],
)
def test_others_are_neither_the_same_nor_a_kind_of_it(phrase, others, none_of):
    found = others_than(phrase)
    assert others <= set(found) and not none_of & set(found)
    assert list(found) == sorted(set(found))


@pytest.mark.parametrize(
    "phrase, known", [("raven", True), ("bird", True), ("oak tree", True), ("leaf", False)]
)
def test_names_are_of_things_and_their_kinds(phrase, known):
    assert is_name(phrase) == known
