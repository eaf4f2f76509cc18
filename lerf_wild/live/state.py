"""What a user has set in the panel, as one immutable value.

Every control makes a new state from the one before, and the whole of it is published at once, so
that no thread ever sees half of a change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from lerf_wild.errors import QueryError
from lerf_wild.language.phrases import CANONICAL_PHRASES, MAX_PHRASES, clean_phrases, split_phrases
from lerf_wild.language.thresholds import EXISTENCE_RELEVANCY
from lerf_wild.live.colours import Colour, next_colour

Mode = Literal["overlay", "heat map", "points", "picture"]
MODES: tuple[Mode, ...] = get_args(Mode)

MAX_WEIGHT = 2.0


@dataclass(frozen=True)
class Phrase:
    """One line of the list."""

    text: str
    colour: Colour
    is_visible: bool = True
    weight: float = 1.0
    """Factor on the relevancy, 0 to MAX_WEIGHT, where phrases compete for a place."""
    embedding: tuple[float, ...] | None = None
    """Set for what was picked in the scene instead of typed: stands in for the text's."""


@dataclass(frozen=True)
class PanelState:
    """Everything a view of the phrases depends on."""

    phrases: tuple[Phrase, ...] = ()
    canonical: tuple[str, ...] = CANONICAL_PHRASES
    mode: Mode = "overlay"
    threshold: float = EXISTENCE_RELEVANCY
    """Relevancy from which on a place is coloured."""
    opacity: float = 0.7
    """Of the colours over the picture, 0 to 1."""
    size: float | None = None
    """Size to look at in metres (or scene units); None lets each phrase find its own."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of the list, in order."""
        return tuple(phrase.text for phrase in self.phrases)


def with_typed(state: PanelState, text: str) -> PanelState:
    """Adds the phrases of a text such as "red fox; fallen log", each once.

    Raises QueryError for a phrase that can't be used and for more than 200 in all.
    """
    typed = split_phrases(text)
    if not typed:
        return state
    return with_phrases(state, clean_phrases(typed))


def with_phrases(state: PanelState, texts: Sequence[str]) -> PanelState:
    """Adds clean phrases that are not in the list yet, each in a colour of its own."""
    phrases = list(state.phrases)
    for text in dict.fromkeys(texts):
        if all(text != phrase.text for phrase in phrases):
            phrases.append(Phrase(text, next_colour([phrase.colour for phrase in phrases])))
    return with_list(state, phrases)


def with_place(state: PanelState, name: str, embedding: Sequence[float]) -> PanelState:
    """Adds what was picked in the scene under a name that is not taken yet."""
    taken = set(state.texts)
    numbers = (f"{name} {number}" for number in range(1, MAX_PHRASES + 2))
    free = next(text for text in numbers if text not in taken)
    colour = next_colour([phrase.colour for phrase in state.phrases])
    picked = Phrase(free, colour, embedding=tuple(float(value) for value in embedding))
    return with_list(state, (*state.phrases, picked))


def with_list(state: PanelState, phrases: Sequence[Phrase]) -> PanelState:
    """Replaces the list; raises QueryError when it is too long."""
    if len(phrases) > MAX_PHRASES:
        raise QueryError(f"At most {MAX_PHRASES} phrases fit in the list. Remove some first.")
    return replace(state, phrases=tuple(phrases))


def without(state: PanelState, text: str) -> PanelState:
    """Removes a phrase; a text that is not in the list changes nothing."""
    return replace(state, phrases=tuple(one for one in state.phrases if one.text != text))


def with_changed(state: PanelState, text: str, **changes: object) -> PanelState:
    """Changes the colour, visibility or weight of one phrase."""
    phrases = tuple(
        replace(phrase, **changes) if phrase.text == text else phrase for phrase in state.phrases
    )
    return replace(state, phrases=phrases)


def with_canonical(state: PanelState, text: str) -> PanelState:
    """Sets the canonical phrases from a text; an empty one brings back the usual four."""
    typed = split_phrases(text)
    return replace(state, canonical=clean_phrases(typed) if typed else CANONICAL_PHRASES)
