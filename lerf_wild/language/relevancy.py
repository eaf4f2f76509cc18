"""Relevancy of embeddings to phrases (LERF, Kerr et al. 2023, section 3.4).

P phrases, C canonical phrases, D embedding dimensions, T temperature. An embedding e has cosines
q_p with the phrases and c_i with the canonical phrases; its relevancy to phrase p is

    min_i  exp(T q_p) / (exp(T q_p) + exp(T c_i))  =  sigmoid(T (q_p - max_i c_i)).

The right side holds because the fraction falls as c_i grows. It is above 0.5 exactly where the
phrase beats every canonical one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lerf_wild.errors import QueryError
from lerf_wild.language.encoders import ImageTextEncoder, l2_normalise
from lerf_wild.language.phrases import (
    CANONICAL_PHRASES,
    MAX_PHRASE_CHARS,
    MAX_PHRASES,
    TEMPERATURE,
    clean_phrases,
)

__all__ = [
    "CANONICAL_PHRASES",
    "MAX_PHRASES",
    "MAX_PHRASE_CHARS",
    "TEMPERATURE",
    "Query",
    "clean_phrases",
    "make_query",
    "relevancy",
    "relevancy_from_cosines",
]


@dataclass(frozen=True)
class Query:
    """Phrases with their embeddings. Immutable, so that a render never sees half of a change."""

    phrases: tuple[str, ...]
    embeddings_PD: Float[Tensor, "P D"]
    """L2-normalised embeddings of the phrases."""
    canonical: tuple[str, ...]
    canonical_CD: Float[Tensor, "C D"]
    """L2-normalised embeddings of the canonical phrases."""
    temperature: float = TEMPERATURE

    def to(self, device: torch.device | str) -> Query:
        """Returns the same query with its embeddings on another device."""
        return Query(
            self.phrases,
            self.embeddings_PD.to(device),
            self.canonical,
            self.canonical_CD.to(device),
            self.temperature,
        )


def make_query(
    phrases: Sequence[str],
    encoder: ImageTextEncoder,
    canonical: Sequence[str] = CANONICAL_PHRASES,
    temperature: float = TEMPERATURE,
) -> Query:
    """Checks and embeds the phrases of a query.

    Raises QueryError for no phrase or more than 200, for an empty phrase or one of more than 256
    characters, and for a temperature that is not positive.
    """
    if not temperature > 0:
        raise QueryError(f"The temperature of a query must be positive, got {temperature}.")
    clean = clean_phrases(phrases)
    negatives = clean_phrases(canonical)
    return Query(
        clean, encoder.encode_text(clean), negatives, encoder.encode_text(negatives), temperature
    )


def relevancy(embeddings: Float[Tensor, "*batch D"], query: Query) -> Float[Tensor, "*batch P"]:
    """Returns the relevancy, 0 to 1, of embeddings of any length to each phrase of the query.

    An embedding of length zero has cosine 0 with everything and therefore relevancy 0.5.
    Differentiable in the embeddings, except at length zero.
    """
    unit = l2_normalise(embeddings.to(query.embeddings_PD.dtype))
    return relevancy_from_cosines(
        unit @ query.embeddings_PD.T, unit @ query.canonical_CD.T, query.temperature
    )


def relevancy_from_cosines(
    cos_positive: Float[Tensor, "*batch P"],
    cos_canonical: Float[Tensor, "*batch C"],
    temperature: float = TEMPERATURE,
) -> Float[Tensor, "*batch P"]:
    """Returns the relevancy from cosines, for callers that never materialise the embeddings."""
    hardest = cos_canonical.amax(dim=-1, keepdim=True)
    return torch.sigmoid(temperature * (cos_positive - hardest))
