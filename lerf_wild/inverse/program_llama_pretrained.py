"""A trained language model in front of RAW's decoder: any causal one of transformers.

Its tokenizer gets the two tokens of the slots; their rows, at the entrance and at the exit, are
trained beside LoRA, and nothing else of the model is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from lerf_wild.errors import EncoderError
from lerf_wild.inverse.program_text import CLIP_SLOT, ROTATION_SLOT
from lerf_wild.language.encoders import quiet_libraries


class PretrainedTokens:
    """A tokenizer of transformers as `program_text.Tokens`."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        tokenizer.add_tokens([CLIP_SLOT, ROTATION_SLOT], special_tokens=True)
        self.clip, self.rotation = tokenizer.convert_tokens_to_ids([CLIP_SLOT, ROTATION_SLOT])
        self.start, self.end = tokenizer.bos_token_id, tokenizer.eos_token_id
        self.size = len(tokenizer)

    def encode(self, text: str) -> list[int]:
        """Numbers of the tokens of a text."""
        return self._tokenizer.encode(text, add_special_tokens=False)

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of tokens; start and end are left out."""
        kept = [number for number in numbers if number not in (self.start, self.end)]
        return self._tokenizer.decode(
            kept, clean_up_tokenization_spaces=False, spaces_between_special_tokens=False
        ).strip()


def pretrained_language(source: str) -> tuple[nn.Module, PretrainedTokens]:
    """A language model with room for the slots' tokens.

    Args:
        source: A folder, or a name on the Hugging Face hub.

    Raises:
        EncoderError: when model or tokenizer can't be had, or the tokenizer has no end.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet_libraries():
        try:
            tokenizer = AutoTokenizer.from_pretrained(source)
            language = AutoModelForCausalLM.from_pretrained(source)
        except (OSError, ValueError, KeyError, ImportError) as error:
            reason = str(error).split("\n")[0][:150]
            raise EncoderError(f"{source}: no language model of transformers ({reason}).") from None
    if tokenizer.eos_token_id is None:
        raise EncoderError(f"{source}: its tokenizer has no end of text, which programs need.")
    tokens = PretrainedTokens(tokenizer)
    # Where the new rows begin matters little, as they are learned.
    language.resize_token_embeddings(tokens.size, mean_resizing=False)
    return language, tokens
