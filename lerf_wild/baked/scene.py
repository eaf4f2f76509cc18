"""The small API of a baked scene.

    from lerf_wild.baked.scene import open_baked

    scene = open_baked("scene.safetensors")
    found = scene.ask(["red fox", "fallen log"])
    found.present_P, scene.positions_of(found)

Phrases that were baked in are answered with numpy alone; for others the encoder is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lerf_wild.baked.field import Answerer, BakedAnswer, BakedField
from lerf_wild.baked.files import read_baked
from lerf_wild.errors import EncoderError
from lerf_wild.language.phrases import CANONICAL_PHRASES, clean_phrases

Embed = Callable[[Sequence[str]], Float[np.ndarray, "P D"]]


class BakedScene:
    """A baked field that is asked in words."""

    def __init__(self, baked: BakedField, embed: Embed | None = None) -> None:
        self.baked = baked
        self._answerer = Answerer(baked)
        self._texts = dict(baked.texts)
        self._embed = embed or (lambda texts: load_embeddings(baked, texts))

    def ask(
        self,
        phrases: Sequence[str],
        canonical: Sequence[str] = CANONICAL_PHRASES,
        size: float | None = None,
    ) -> BakedAnswer:
        """Scores every point for each phrase, at the size at which it peaks, or at `size`.

        Raises QueryError for phrases that can't be used and EncoderError when a phrase was not
        baked in and the encoder can't be had.
        """
        return self._answerer.answer(self.embed(phrases), self.embed(canonical), size)

    def embed(self, phrases: Sequence[str]) -> Float[np.ndarray, "P D"]:
        """Returns unit embeddings of phrases, of the file or else of the encoder."""
        clean = clean_phrases(phrases)
        missing = [phrase for phrase in dict.fromkeys(clean) if phrase not in self._texts]
        if missing:
            self._texts |= dict(zip(missing, self._embed(missing)))
        return np.stack([self._texts[phrase] for phrase in clean]).astype(np.float32)

    def positions_of(self, found: BakedAnswer) -> Float[np.ndarray, "P 3"]:
        """Returns the most relevant place of each phrase, in the world frame."""
        return self.baked.positions_N3[found.peak_P]


def open_baked(path: Path | str) -> BakedScene:
    """Opens the file of a baked scene; raises ModelFileError when it is not one."""
    return BakedScene(read_baked(path))


def load_embeddings(baked: BakedField, texts: Sequence[str]) -> Float[np.ndarray, "P D"]:
    """Embeds texts with the encoder of a baked scene; raises EncoderError when it can't be had."""
    from lerf_wild.language.registry import resolve_encoder

    encoder = resolve_encoder(str(baked.metadata.get("encoder_name", "auto")), "cpu")
    if encoder.identity != baked.encoder:
        raise EncoderError(
            f"This scene was baked with {baked.encoder}, but the encoder here is "
            f"{encoder.identity}.\nBake it again, or ask only for phrases that were baked in."
        )
    return encoder.encode_text(list(texts)).cpu().numpy()
