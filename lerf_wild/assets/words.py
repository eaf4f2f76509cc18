"""Search by words: what an encoder sees in the templates, and the words an asset is known by.

Symbols: P phrases, A assets, T templates, D embedding dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from lerf_wild.assets.library import Entry, Library
from lerf_wild.assets.search import Answer
from lerf_wild.assets.template_index import TemplateIndex
from lerf_wild.assets.thresholds import WORD_THRESHOLDS, threshold_of
from lerf_wild.language.encoders import ImageTextEncoder
from lerf_wild.language.phrases import clean_phrases

NAMED_WEIGHT = 0.6
"""What it adds to the cosine (-1 to 1) of an asset when it is known by exactly the phrase."""
_WORD = re.compile(r"[^\W_]+")


def find_by_words(
    index: TemplateIndex,
    library: Library,
    phrases: Sequence[str],
    encoder: ImageTextEncoder,
    k: int = 5,
    kinds: Sequence[str] | None = None,
    threshold: float | None = None,
) -> list[Answer]:
    """The assets that fit each phrase best, such as "striped cat".

    The score of an asset is the mean cosine of the phrase and its templates, plus up to
    NAMED_WEIGHT for words that the asset is known by; the words carry a small encoder over what it
    has never learned.

    Args:
        index: Templates of the library in the encoder's space.
        library: What is known of each asset.
        phrases: What to look for.
        encoder: The encoder of the index.
        k: How many assets a phrase.
        kinds: The class gate: only assets of these kinds are looked at.
        threshold: Score below which nothing is known; the encoder's own when None.

    Raises:
        QueryError: for phrases that can't be used.
    """
    clean = clean_phrases(list(phrases))
    if threshold is None:
        threshold = threshold_of(WORD_THRESHOLDS, index.encoder)
    scores = word_scores(index, library, clean, encoder)
    towards = encoder.encode_text(clean).cpu() @ index.templates_ATD.float().flatten(0, 1).T
    best = towards.view(len(clean), *index.templates_ATD.shape[:2]).argmax(dim=2)
    return index.ranked(scores, best, k, kinds, threshold)


def word_scores(
    index: TemplateIndex, library: Library, phrases: Sequence[str], encoder: ImageTextEncoder
) -> Float[Tensor, "P A"]:
    """Score of every asset for every phrase."""
    middles_AD = index.templates_ATD.float().mean(dim=1)
    seen = encoder.encode_text(list(phrases)).cpu().float() @ middles_AD.T
    entries = [library.entry(name) for name in index.names]
    named = [[named_share(phrase, entry) for entry in entries] for phrase in phrases]
    return seen + NAMED_WEIGHT * torch.tensor(named)


def named_share(phrase: str, entry: Entry) -> float:
    """How well the words of an entry fit a phrase, 0-1.

    1 for one of its phrases, its species or its name; else the share of the phrase's words that one
    of them holds, less a tenth for each word that it holds beyond them.
    """
    asked = _words(phrase)
    known = [entry.name.replace("_", " "), entry.species, entry.kind, *entry.phrases]
    return max((_overlap(asked, _words(text)) for text in known), default=0.0)


def _words(text: str) -> frozenset[str]:
    return frozenset(word.removesuffix("s") for word in _WORD.findall(text.casefold()))


def _overlap(asked: frozenset[str], known: frozenset[str]) -> float:
    shared = len(asked & known)
    if shared == 0:
        return 0.0
    return max(shared / len(asked) - 0.1 * len(known - asked), 0.0)
