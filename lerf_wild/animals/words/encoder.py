"""A small text encoder for phrases about animals' proportions.

wild-clip's text tower was trained on a closed list of phrases and tells few proportions apart (the
card in `weights/shape_flow` has figures), so the bundled flow has this one. It has no vocabulary: a
word is the sum of hashed runs of its letters, so that "necked" lies near "neck"; convolutions over
neighbouring words bind "very short" to "legs"; the phrase is the largest response.

Symbols: B phrases, W words, G runs of letters of a word, D embedding dimensions.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lerf_wild.errors import QueryError
from lerf_wild.language.encoders import l2_normalise

BUCKETS, MAX_WORDS, MAX_RUNS = 4096, 32, 24
WIDTH, DIM = 64, 64
FILLERS = frozenset("a an the of photo picture image this is it here".split())
"""Words that say nothing about a shape and would only push others apart."""


class WordEncoder(nn.Module):
    """Phrases -> unit vectors (B, 64)."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = nn.EmbeddingBag(BUCKETS + 1, WIDTH, mode="sum", padding_idx=BUCKETS)
        self.near = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 5, padding=2) for _ in range(2))
        self.head = nn.Linear(2 * WIDTH, DIM)
        self.dim = DIM

    def forward(self, runs_BWG: Tensor) -> Tensor:
        """Embeddings (B, D) of hashed phrases from `hashed`."""
        batch, words, _ = runs_BWG.shape
        present = (runs_BWG[..., 0] < BUCKETS).unsqueeze(1)
        state = self.runs(runs_BWG.flatten(0, 1)).view(batch, words, WIDTH).transpose(1, 2)
        state = state * present
        for layer in self.near:
            state = state + nn.functional.gelu(layer(state)) * present
        mean = state.sum(-1) / present.sum(-1).clamp_min(1)
        largest = state.masked_fill(~present, -torch.inf).amax(-1)
        return l2_normalise(self.head(torch.cat([mean, largest], -1)))

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings (B, D) of phrases; raises QueryError for one without a word."""
        return self(hashed(texts))


def hashed(texts: Sequence[str]) -> Tensor:
    """Bucket numbers (B, W, G) of phrases, padded with ``BUCKETS``.

    Raises:
        QueryError: a phrase has no word.
    """
    rows = [[_runs(word) for word in _words(text)] for text in texts]
    longest = max((len(row) for row in rows), default=1)
    table = torch.full((len(rows), longest, MAX_RUNS), BUCKETS)
    for number, row in enumerate(rows):
        for place, runs in enumerate(row):
            table[number, place, : len(runs)] = torch.tensor(runs)
    return table


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
