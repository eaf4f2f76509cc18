"""wild-clip: the small bundled CLIP model, trained by this project on its own renders.

It knows a closed list of phrases (`vocabulary`), needs no network, and encodes hundreds of image
tiles a second on one CPU core. The model card beside the weights says what it is good for.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from lerf_wild.errors import EncoderError
from lerf_wild.language.open_clip_encoder import (
    ClipRecipe,
    LocalClip,
    OpenClipEncoder,
    Tokenizer,
    build_clip,
    build_tokenizer,
)
from lerf_wild.storage.cache import file_sha256
from lerf_wild.storage.json_files import read_json

WEIGHTS_FOLDER = Path(__file__).resolve().parents[1] / "weights" / "wild_clip"
CONFIG_NAME = "open_clip_config.json"
WEIGHTS_NAME = "open_clip_model.safetensors"
VOCABULARY_NAME = "vocabulary.json"

TEMPLATES = ("{}",)
"""Training paired images with bare phrases, so that is how it is asked."""

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Image statistics that open_clip uses for all its CLIP models."""


class WildClipParts(NamedTuple):
    """A freshly initialised model with everything needed to train it."""

    model: nn.Module
    tokenizer: Tokenizer
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def architecture() -> dict[str, object]:
    """Returns the contents of wild-clip's open_clip_config.json.

    A ModifiedResNet of one block a stage on 96 px images, and two text layers over 16 tokens:
    12.0 M parameters, of which 6.3 M are open_clip's token table; 24 MB as fp16. 96 px end in 3 x 3
    places, the middle one of which is the middle of a tile; an even number would have none.
    """
    vision = {"layers": [1, 1, 1, 1], "width": 32, "image_size": 96, "head_width": 64}
    text = {"context_length": 16, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 2}
    return {
        "model_cfg": {"embed_dim": 128, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {"mean": list(MEAN), "std": list(STD)},
    }


def build_wild_clip(seed: int = 0) -> WildClipParts:
    """Returns an untrained wild-clip in training mode, with its tokenizer and image statistics."""
    recipe = _recipe()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_clip(recipe.model_cfg)
    return WildClipParts(model, build_tokenizer(recipe), recipe.mean, recipe.std)


def locate_wild_clip(folder: Path = WEIGHTS_FOLDER) -> LocalClip:
    """Returns the bundled model without loading it; raises EncoderError when it is missing."""
    weights = folder / WEIGHTS_NAME
    if not weights.is_file():
        raise EncoderError(
            f"{weights}: the bundled wild-clip weights are missing from this installation.\n"
            "Install lerf-wild again, or name an open_clip model such as "
            "ViT-B-16/laion2b_s34b_b88k or a local folder."
        )
    return LocalClip(_recipe(), weights, f"wild-clip@{file_sha256(weights)[:16]}")


def load_wild_clip(
    device: torch.device | str = "cpu", precision: str = "auto", folder: Path = WEIGHTS_FOLDER
) -> OpenClipEncoder:
    """Loads the bundled model; raises EncoderError when it is missing or damaged."""
    return locate_wild_clip(folder).load(device, precision)


@functools.lru_cache(maxsize=4)
def vocabulary(folder: Path = WEIGHTS_FOLDER) -> tuple[str, ...]:
    """Returns the phrases that wild-clip was trained on, in the order of its vocabulary.json.

    The file holds a list of phrases, or an object with such a list under "phrases". Raises
    InputError when it can't be read and EncoderError when it holds anything else.
    """
    path = folder / VOCABULARY_NAME
    content = read_json(path)
    phrases = content.get("phrases") if isinstance(content, dict) else content
    if not isinstance(phrases, list) or not all(isinstance(p, str) for p in phrases):
        raise EncoderError(f'{path}: expected a list of phrases, or one under "phrases".')
    return tuple(phrases)


def unknown_phrases(phrases: tuple[str, ...], folder: Path = WEIGHTS_FOLDER) -> tuple[str, ...]:
    """Returns those phrases that wild-clip has not been trained on and can only guess at."""
    known = {phrase.casefold() for phrase in vocabulary(folder)}
    return tuple(phrase for phrase in phrases if phrase.strip().casefold() not in known)


def _recipe() -> ClipRecipe:
    return ClipRecipe(architecture()["model_cfg"], MEAN, STD, TEMPLATES)


def __getattr__(name: str) -> tuple[str, ...]:
    # VOCABULARY is read on first use, so that importing this module opens no file.
    if name == "VOCABULARY":
        return vocabulary()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
