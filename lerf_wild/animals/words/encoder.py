"""A small text encoder for phrases about animals' proportions.

wild-clip's text tower was trained on a closed list of phrases and tells few proportions apart (the
card in `weights/shape_flow` has figures), so the bundled flow has this one. It has no vocabulary: a
word is the sum of hashed runs of its letters, so that "necked" lies near "neck"; convolutions over
neighbouring words bind "very short" to "legs"; the phrase is the largest response.

Symbols: B phrases, W words of a phrase, U different words, G runs of letters of a word, D embedding
dimensions.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lerf_wild.errors import QueryError
from lerf_wild.language.encoders import l2_normalise

BUCKETS, MAX_WORDS, MAX_RUNS = 4096, 32, 24
WIDTH, DIM = 64, 64
FILLERS = frozenset("a an the of photo picture image this is it here".split())
"""Words that say nothing about a shape and would only push others apart."""


class HashedPhrases(NamedTuple):
    """Phrases as numbers."""

    runs_UG: Tensor
    """Buckets of each different word's runs, padded with ``BUCKETS``; the last word is none."""
    words_BW: Tensor
    """Which words a phrase has, padded with U - 1."""

    def chosen(self, rows: Tensor) -> HashedPhrases:
        """Some of the phrases."""
        return HashedPhrases(self.runs_UG, self.words_BW[rows])


class WordEncoder(nn.Module):
    """Phrases -> unit vectors (B, 64)."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = nn.EmbeddingBag(BUCKETS + 1, WIDTH, mode="sum", padding_idx=BUCKETS)
        self.near = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 5, padding=2) for _ in range(2))
        self.head = nn.Linear(2 * WIDTH, DIM)
        self.dim = DIM

    def forward(self, phrases: HashedPhrases) -> Tensor:
        """Embeddings (B, D) of phrases from `hashed`."""
        present = (phrases.words_BW < len(phrases.runs_UG) - 1).unsqueeze(1)
        words_UD = self.runs(phrases.runs_UG)
        state = words_UD[phrases.words_BW].transpose(1, 2) * present
        for layer in self.near:
            state = state + nn.functional.gelu(layer(state)) * present
        mean = state.sum(-1) / present.sum(-1).clamp_min(1)
        largest = state.masked_fill(~present, -torch.inf).amax(-1)
        return l2_normalise(self.head(torch.cat([mean, largest], -1)))

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings (B, D) of phrases; raises QueryError for one without a word."""
        return self(hashed(texts))


def hashed(texts: Sequence[str]) -> HashedPhrases:
    """Phrases as numbers of words and of their runs.

    Raises:
        QueryError: a phrase has no word.
    """
    rows = [_words(text) for text in texts]
    numbers = {word: n for n, word in enumerate(dict.fromkeys(w for row in rows for w in row))}
    runs = torch.full((len(numbers) + 1, MAX_RUNS), BUCKETS)
    for word, number in numbers.items():
        found = _runs(word)
        runs[number, : len(found)] = torch.tensor(found)
    longest = max((len(row) for row in rows), default=1)
    padded = [[numbers[w] for w in row] + [len(numbers)] * (longest - len(row)) for row in rows]
    return HashedPhrases(runs, torch.tensor(padded).view(len(rows), longest))


def encoder_from(tensors: Mapping[str, Tensor]) -> WordEncoder:
    """An encoder for use, of its tensors."""
    encoder = WordEncoder()
    encoder.load_state_dict(dict(tensors))
    return encoder.eval().requires_grad_(False)


def _words(text: str) -> list[str]:
    words = re.findall(r"[^\W_]+", text.lower())
    if not words:
        raise QueryError(f"{text[:60]!r} has no word; describe an animal, such as 'red deer'.")
    return [word for word in words if word not in FILLERS][:MAX_WORDS] or words[:1]


def _runs(word: str) -> list[int]:
    # CRC is stable over machines and versions, which Python's own hash isn't.
    padded = f"<{word[:16]}>"
    runs = [padded[i : i + n] for n in (3, 4) for i in range(len(padded) - n + 1)]
    runs = [padded, *runs][:MAX_RUNS]
    return [zlib.crc32(run.encode()) % BUCKETS for run in runs]
