"""How many a sentence asks for, and what one of them is called: "three wolves" are 3 of "wolf"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lerf_wild.errors import QueryError

MOST = 12
"""Things that one sentence may place."""
_NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
NUMBERS = {word: 2 + place for place, word in enumerate((*_NUMBERS, "twelve"))}
FEW = {"pair": 2, "couple": 2, "few": 3, "several": 3}
"""These need no "of" after them."""
GROUPS = FEW | {"trio": 3, "family": 4, "group": 5, "herd": 5, "flock": 5, "pack": 5, "bunch": 5}
"""What is said of a number that isn't told."""
IRREGULAR = {
    **{"geese": "goose", "mice": "mouse", "oxen": "ox", "men": "man", "teeth": "tooth"},
    **{"leaves": "leaf", "reeves": "reeve", "olives": "olive", "cacti": "cactus"},
}
UNCHANGED = ("ss", "us", "is")
_ENDINGS = (
    (re.compile(r"(?<=[lra])ves$"), "f"),
    (re.compile(r"(?<=\w{2})ies$"), "y"),
    (re.compile(r"(x|ch|sh|ss|z|o)es$"), r"\1"),
    (re.compile(r"s$"), ""),
)


def counted(words: Sequence[str]) -> tuple[int, list[str]]:
    """How many of what; the words are those of a sentence, in lower case, before anything was left
    out.

    Raises:
        QueryError: for more than `MOST`.
    """
    for place, word in enumerate(words):
        after = words[place + 1 :]
        if word in GROUPS and len(after) > 1 and after[0] == "of":
            return GROUPS[word], [*words[:place], *after[1:]]
        if word in FEW and after:
            return FEW[word], [*words[:place], *after]
        # "A three year old horse" is one.
        if _is_number(word) and after and words[max(place - 1, 0)] not in ("a", "an"):
            return _checked(word), [*words[:place], *after]
    return 1, list(words)


def singular(words: str) -> str:
    """A name whose last word stands for one of what it says."""
    *before, last = words.split()
    return " ".join([*before, _one_of(last)])


def _one_of(word: str) -> str:
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word.endswith(UNCHANGED):
        return word
    found = (pattern.sub(end, word) for pattern, end in _ENDINGS if pattern.search(word))
    return next(found, word)


def _is_number(word: str) -> bool:
    return word in NUMBERS or word.isdecimal()


def _checked(word: str) -> int:
    count = NUMBERS[word] if word in NUMBERS else int(word)
    if not 1 <= count <= MOST:
        raise QueryError(f"{word[:20]} can't be placed by one sentence; ask for 1 to {MOST}.")
    return count
