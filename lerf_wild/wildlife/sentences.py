"""Sentences about what to place and where: "a red deer grazing by the log".

A sentence is an item, or some of them, and, after one of the words of RELATIONS, the thing that it
goes by. No language model is needed for it; what the words mean is for the encoder and the species
table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise

from lerf_wild.errors import QueryError
from lerf_wild.language.phrases import clean_phrases
from lerf_wild.wildlife.counting import GROUPS, MOST, NUMBERS, counted, singular

RELATIONS: tuple[str, ...] = (
    *("to the left of", "to the right of", "left of", "right of", "in front of", "next to"),
    *("close to", "at the foot of", "not far from", "on the edge of", "at the edge of", "near to"),
    *("in the shade of", "in the shadow of", "adjacent to", "on top of", "in the middle of"),
    *("in the centre of", "in the center of", "on the other side of", "in back of"),
    *("beside", "behind", "under", "beneath", "below", "near", "nearby", "by", "at", "alongside"),
    *("between", "around", "along", "against", "past", "beyond", "opposite", "facing", "towards"),
    *("away from", "from", "off", "toward", "underneath", "among", "amid", "inside", "within"),
    *("on", "in"),
)
"""Longest first where one begins another; all of them mean beside."""
FROM = ("in front of", "behind", "to the left of", "to the right of", "left of", "right of", "from")
FROM += ("away from", "in back of", "beyond", "past", "beside", "off")
"""A length before these says how far off, not how high."""
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
_NOTHING = {"no", "not", "don't", "zero", "without", "remove", "delete", "erase", "clear"}
"""What a sentence begins with that asks for something to be away."""
_UNITS = "m|metres?|meters?|cm|centimetres?|centimeters?"
_HEIGHT = re.compile(rf"(?<![\w.])(-?\d+(?:\.\d+)?)\s*({_UNITS})\b(?:\s+(?:tall|high|large)\b)?")
_AT_END = re.compile(rf"\d\s*(?:{_UNITS})[\s,]*$")
_HEIGHT_AT_END = re.compile(rf"{_HEIGHT.pattern}[\s,]*$")
_COUNTS = "|".join((*sorted(_ARTICLES), *NUMBERS, *GROUPS))
_NEXT = re.compile(rf"(?:\s*,\s*and|\s*[,&]|\s+and)\s+(?=(?:{_COUNTS})\b|\d+\s+(?!(?:{_UNITS})\b))")
"""Before a further thing, which begins with an article or a number."""
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


def read_sentences(text: str) -> tuple[Sentence, ...]:
    """What is to be placed, one for each kind of thing, and what all of them go by.

    "Two zebras and a lion by the log" are two sentences; a doing or a height at the end is that of
    all which have none of their own.

    Raises:
        QueryError: for an empty text, one that names nothing to place or asks for something to be
            away, or a height or number that can't be.
    """
    plain = clean_phrases([text])[0].casefold().rstrip(".!")
    before, relation, anchor = _split(plain)
    if relation in FROM and _AT_END.search(before):
        raise QueryError(
            f"{text[:80]!r} says how far off, which is not read: what is placed stands beside the "
            "thing. Leave it out, or say where by --at."
        )
    if _NEXT.search(anchor) and _split(anchor)[1] is not None:
        raise QueryError(f"{text[:80]!r} names several places; write a sentence for each.")
    # "By the 3 m tall tree" says nothing of what is placed; "by the tree, 3 m tall" does.
    common_m = _height_in(anchor)[0] if _HEIGHT_AT_END.search(anchor) else None
    anchor = _height_in(anchor)[1]
    shared = {"anchor": _bare(anchor) or None, "relation": relation}
    found = [_one(part, text) for part in _parts(before)]
    total = sum(one.count for one in found)
    if total > MOST:
        raise QueryError(f"{text[:80]!r} asks for {total}; one sentence may place {MOST}.")
    doing = found[-1].action if ACTIONS.keys() & set(before.split()[-1:]) else None
    return tuple(
        replace(one, action=one.action or doing, height_m=one.height_m or common_m, **shared)
        for one in found
    )


def read_sentence(text: str) -> Sentence:
    """What is to be placed, where that is one kind of thing.

    Raises:
        QueryError: what `read_sentences` raises, and for several kinds of things.
    """
    found = read_sentences(text)
    if len(found) > 1:
        names = ", ".join(one.item for one in found)
        raise QueryError(f"{text[:80]!r} names {len(found)} things ({names[:80]}); name one.")
    return found[0]


def _parts(before: str) -> list[str]:
    """What is to be placed, split where a further thing begins."""
    parts = [""]
    for part in _NEXT.split(before):
        # "A fox with a red back and a white tail" is one.
        if parts[-1] and not re.search(r"\bwith\b", parts[-1]):
            parts.append(part)
        else:
            parts[-1] = f"{parts[-1]} {part}".strip()
    return parts


def _one(part: str, text: str) -> Sentence:
    """One thing, without what it goes by; the text is for messages."""
    height_m, part = _height_in(part)
    count, words = counted(re.findall(r"[^\W_]+(?:[-'][^\W_]+)*", part))
    for word, after in pairwise(words):
        if after == "and" and singular(word) != word:
            raise QueryError(f"{text[:80]!r}: say how many of each: two zebras and a lion.")
    actions = [ACTIONS[word] for word in words if word in ACTIONS]
    left_out = _ARTICLES | _FILLERS | set(ACTIONS)
    begins = next((word for word in words if word not in left_out), "")
    if begins in _NOTHING:
        raise QueryError(
            f"{text[:80]!r} asks for something to be away; this places things. Items are taken out "
            "by `lerf-wild wildlife remove`, things of the photos by `wildlife clear`."
        )
    if height_m is not None:
        left_out = left_out | _TALL
    item = " ".join(word for word in words if word not in left_out)
    if not item:
        raise QueryError(
            f'{text[:80]!r} names nothing to place. Write such as "a red deer grazing by the log".'
        )
    return Sentence(item, actions[0] if actions else None, None, height_m, count=count)


def _split(plain: str) -> tuple[str, str | None, str]:
    """The words before the first relation, the relation, and the thing after it."""
    found = []
    for relation in RELATIONS:
        match = re.search(rf"\b{relation}\b(?=\s+\S)", plain)
        if match is not None:
            found.append((match.start(), -len(relation), relation))
    if not found:
        return plain, None, ""
    start, length, relation = min(found)
    return plain[:start], relation, plain[start - length :]


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
