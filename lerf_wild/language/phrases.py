"""What may be asked for: phrases, cleaned and checked, without any tensor library."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from lerf_wild.errors import QueryError

CANONICAL_PHRASES = ("object", "things", "stuff", "texture")
"""The negatives of the LERF paper: words that fit anything."""

TEMPERATURE = 10.0
"""Factor on the cosines before the softmax, as in the paper."""

MAX_PHRASES = 200
MAX_PHRASE_CHARS = 256


def clean_phrases(phrases: Sequence[str]) -> tuple[str, ...]:
    """Returns the phrases without control characters and surplus white space.

    Raises QueryError for no phrase or more than 200, and for an empty phrase or one of more than
    256 characters.
    """
    if isinstance(phrases, str):
        raise QueryError("A query is a list of phrases, got one text. Put it in a list.")
    if not 1 <= len(phrases) <= MAX_PHRASES:
        raise QueryError(f"A query takes 1 to {MAX_PHRASES} phrases, got {len(phrases)}.")
    return tuple(_clean_phrase(phrase) for phrase in phrases)


def split_phrases(text: str | None) -> tuple[str, ...]:
    """Splits "red fox; fallen log" into its phrases; empty ones drop out."""
    return tuple(part.strip() for part in (text or "").split(";") if part.strip())


def _clean_phrase(phrase: str) -> str:
    if not isinstance(phrase, str):
        raise QueryError(f"A phrase must be text, got {type(phrase).__name__}.")
    # Cc: control characters, Cs: lone surrogates, which no tokenizer can encode.
    spaced = "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in phrase)
    clean = " ".join(spaced.split())
    if not clean:
        raise QueryError("A phrase is empty. Write what to look for, for example: red fox.")
    if len(clean) > MAX_PHRASE_CHARS:
        raise QueryError(
            f"The phrase {clean[:40]!r}... has {len(clean)} characters, at most "
            f"{MAX_PHRASE_CHARS} are taken."
        )
    return clean
