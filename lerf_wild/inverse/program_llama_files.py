"""The door for weights of RAW's own decoder: float16, with sizes and assets beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from lerf_wild.inverse.program_llama import LlamaReader, LlamaSpec, tiny_llama
from lerf_wild.inverse.program_llama_patches import WILD_CLIP
from lerf_wild.inverse.program_llama_pretrained import pretrained_language
from lerf_wild.inverse.program_text import GrammarTokens
from lerf_wild.inverse.weight_files import (
    check_finite,
    expecting,
    load_tensors,
    load_weights,
    save_tensors,
)

WRITER = "writer.safetensors"
LEARNED = ("lora_", "token_adapter")
"""What is in the names of the learned parts of a language model with LoRA."""


@dataclass(frozen=True)
class WriterSizes:
    """A decoder's language model, one that begins from nothing, with the grammar's own tokens, or a
    trained one; and the image encoder before it."""

    width: int = 128
    layers: int = 4
    language: str = ""
    """Folder or name of a trained one, which has its own width and layers."""
    encoder: str = WILD_CLIP
    by_number: bool = False
    """Whether assets are named by numbers, RAW's baseline."""


def make_writer(sizes: WriterSizes, spec: LlamaSpec) -> LlamaReader:
    """A decoder whose language model is made from a config, or read from where it is.

    Raises:
        EncoderError: when a trained language model can't be had.
    """
    if sizes.language:
        return LlamaReader(*pretrained_language(sizes.language), spec)
    tokens = GrammarTokens()
    return LlamaReader(tiny_llama(tokens, sizes.width, sizes.layers), tokens, spec)


def save_writer(path: Path, model: LlamaReader, sizes: WriterSizes, assets: Sequence[str]) -> None:
    """Writes what is learned of a decoder of `make_writer`; ``assets`` are those that its numbers
    stand for."""
    metadata = {
        "sizes": json.dumps(asdict(sizes)),
        "spec": json.dumps(asdict(model.spec)),
        "assets": json.dumps(list(assets)),
    }
    tensors = {
        name: part.half() if part.is_floating_point() else part
        for name, part in _learned(model).items()
    }
    save_tensors(path, tensors, metadata)


def load_writer(path: Path) -> tuple[LlamaReader, WriterSizes, tuple[str, ...]]:
    """Reads what `save_writer` wrote: the decoder, ready to write, its sizes, its assets.

    Raises:
        ModelFileError: the file is missing or broken, or its tensors don't fit.
        EncoderError: when its language model can't be had.
    """
    tensors, metadata = load_tensors(path)
    with expecting(path, "the weights of a decoder that writes programs, of this version"):
        sizes = WriterSizes(**json.loads(metadata["sizes"]))
        assets = tuple(json.loads(metadata["assets"]))
        model = make_writer(sizes, LlamaSpec(**json.loads(metadata["spec"])))
        load_weights(model, {**model.state_dict(), **tensors})
        if tensors.keys() != _learned(model).keys():
            raise ValueError("some of its tensors are missing")
    check_finite(path, model)
    return model.eval(), sizes, assets


def _learned(model: LlamaReader) -> dict[str, Tensor]:
    """All but the frozen part of a trained language model."""
    is_all = not model.spec.rank
    return {
        name: part
        for name, part in model.state_dict().items()
        if is_all or not name.startswith("language.") or any(mark in name for mark in LEARNED)
    }
