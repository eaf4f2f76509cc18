"""Sentences about what to place and where: "a red deer grazing by the log".

A sentence is an item, or some of them, and, after one of the words of RELATIONS, the thing that it
goes by. No language model is needed for it; what the words mean is for the encoder and the species
table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lerf_wild.errors import QueryError
from lerf_wild.language.phrases import clean_phrases
from lerf_wild.wildlife.counting import counted

RELATIONS: tuple[str, ...] = (
    *("to the left of", "to the right of", "left of", "right of", "in front of", "next to"),
    *("close to", "at the foot of", "not far from", "on the edge of", "at the edge of", "near to"),
    *("in the shade of", "in the shadow of", "adjacent to", "on top of", "in the middle of"),
    *("in the centre of", "in the center of", "on the other side of", "in back of"),
    *("beside", "behind", "under", "beneath", "below", "near", "nearby", "by", "at", "alongside"),
    *("between", "around", "along", "against", "past", "beyond", "opposite", "facing", "towards"),
    *("toward", "underneath", "among", "amid", "inside", "within", "on", "in"),
)
"""Longest first where one begins another; all of them mean beside."""
ACTIONS: dict[str, str] = {
    **{"standing": "stand", "stands": "stand", "waiting": "stand", "looking": "stand"},
    **{"grazing": "graze", "grazes": "graze", "feeding": "graze", "eating": "graze"},
    **{"drinking": "graze", "sniffing": "graze", "browsing": "graze"},
    **{"sitting": "sit", "sits": "sit", "lying": "lie", "lies": "lie", "resting": "lie"},
    **{"sleeping": "lie", "walking": "walk", "walks": "walk", "strolling": "walk"},
    **{"trotting": "trot", "trots": "trot", "running": "gallop", "runs": "gallop"},
    **{"galloping": "gallop", "gallops": "gallop", "fleeing": "gallop"},
}
_ARTICLES = {"a", "an", "the", "one", "some", "this", "that", "another"}
_FILLERS = {"put", "place", "add", "there", "is", "with", "please", "let", "i", "would", "like"}
_FILLERS |= {"want", "need", "show", "give", "me", "us", "have", "be", "could", "can", "you"}
_FILLERS |= {"insert", "drop", "stand", "here", "single", "lone"}
_HEIGHT = re.compile(
    r"(?<![\w.])(-?\d+(?:\.\d+)?)\s*(m|metres?|meters?|cm|centimetres?|centimeters?)\b"
)
_TALL = {"tall", "high", "large"}


@dataclass(frozen=True)
class Sentence:
    """What a sentence asks for."""

    item: str
    """Words for what to place, without articles and doings."""
    action: str | None
    """One of the animals' actions."""
    anchor: str | None
    """Words for the thing of the scene that it goes by."""
    height_m: float | None
    relation: str | None = None
    count: int = 1
    """How many."""


def read_sentence(text: str) -> Sentence:
    """Splits a sentence into the item and the thing it goes by.

    Raises:
        QueryError: for an empty text, one that names nothing to place, or a height or number that
            can't be.
    """
    plain = clean_phrases([text])[0].casefold().rstrip(".!")
    height_m, plain = _height_in(plain)
    before, relation, anchor = _split(plain)
    count, words = counted(re.findall(r"[^\W_]+(?:[-'][^\W_]+)*", before))
    actions = [ACTIONS[word] for word in words if word in ACTIONS]
    left_out = _ARTICLES | _FILLERS | set(ACTIONS)
    if height_m is not None:
        left_out = left_out | _TALL
    item = " ".join(word for word in words if word not in left_out)
    if not item:
        raise QueryError(
            f'{text[:80]!r} names nothing to place. Write such as "a red deer grazing by the log".'
        )
    action = actions[0] if actions else None
    return Sentence(item, action, anchor, height_m, relation, count)


def _split(plain: str) -> tuple[str, str | None, str | None]:
    """The words before the first relation, the relation, and the thing after it."""
    found = []
    for relation in RELATIONS:
        match = re.search(rf"\b{relation}\b(?=\s+\S)", plain)
        if match is not None:
            found.append((match.start(), -len(relation), relation))
    if not found:
        return plain, None, None
    start, length, relation = min(found)
    anchor = _bare(plain[start - length :])
    return plain[:start], relation, anchor or None


def _bare(text: str) -> str:
    """A thing's words without articles in front."""
    words = text.strip(" ,;").split()
    while words and words[0] in _ARTICLES:
        words = words[1:]
    return " ".join(words)


def _height_in(plain: str) -> tuple[float | None, str]:
    match = _HEIGHT.search(plain)
    if match is None:
        return None, plain
    size = float(match.group(1)) * (0.01 if match.group(2).startswith("c") else 1.0)
    if size <= 0.0:
        raise QueryError(f"A height of {match.group()[:40]} can't be; give more than 0.")
    return size, " ".join((plain[: match.start()] + " " + plain[match.end() :]).split())
