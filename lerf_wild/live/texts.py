"""Embeddings of texts, each computed once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from lerf_wild.language.encoders import ImageTextEncoder
from lerf_wild.language.relevancy import Query
from lerf_wild.live.state import PanelState

MAX_TEXTS = 4096
"""Embeddings that are kept: 12 MB at 768 dimensions."""

BATCH = 256


class TextMemory:
    """An encoder's text side with a memory; safe to call from several threads."""

    def __init__(self, source: Callable[[], ImageTextEncoder], capacity: int = MAX_TEXTS) -> None:
        self._source = source
        self._capacity = capacity
        self._known: OrderedDict[str, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> Float[Tensor, "P D"]:
        """Returns unit embeddings, asking the encoder only for texts that are new."""
        with self._lock:
            missing = [text for text in dict.fromkeys(texts) if text not in self._known]
            fresh: dict[str, Tensor] = {}
            for start in range(0, len(missing), BATCH):
                part = missing[start : start + BATCH]
                fresh |= dict(zip(part, self._source().encode_text(part)))
            for text in dict.fromkeys(texts):
                self._known[text] = fresh[text] if text in fresh else self._known.pop(text)
            found_PD = torch.stack([self._known[text] for text in texts])
            while len(self._known) > self._capacity:
                self._known.popitem(last=False)
        return found_PD

    def query(self, state: PanelState) -> Query:
        """Embeds the list and the canonical phrases of a panel."""
        typed = [phrase.text for phrase in state.phrases if phrase.embedding is None]
        both_PD = self.embed([*typed, *state.canonical])
        rows = iter(both_PD)
        embeddings = [
            next(rows) if phrase.embedding is None else both_PD.new_tensor(phrase.embedding)
            for phrase in state.phrases
        ]
        return Query(state.texts, torch.stack(embeddings), state.canonical, torch.stack([*rows]))
