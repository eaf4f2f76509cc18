"""What the rest of the project asks of an encoder, and the two tensor helpers that all of them use.

B images or texts of a batch, D embedding dimensions, S side of a square input in pixels.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from lerf_wild.errors import EncoderError

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

MIN_NORM = 1e-12
"""Vectors shorter than this stay zero when normalised, instead of turning into NaN."""


@runtime_checkable
class ImageTextEncoder(Protocol):
    """Puts images and phrases into one space, in which related ones have a large cosine.

    Encoders are plain objects, never `torch.nn.Module`, so that no module which holds one ever
    writes its weights into a checkpoint.
    """

    identity: str
    """Name and weight hash; equal identities give equal embeddings."""
    dim: int
    """D, the length of an embedding."""
    image_size: int
    """S, the side in pixels to which images are resized."""
    device: torch.device
    """Where embeddings are computed and returned."""

    def encode_images(self, images_B3HW: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Returns L2-normalised float32 embeddings of RGB images in 0-1 of any size."""

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "B D"]:
        """Returns L2-normalised float32 embeddings of the phrases."""


@runtime_checkable
class PatchEncoder(Protocol):
    """Gives a coarse grid of features per image, used to keep the language field crisp."""

    identity: str
    """Name, weight hash and working size; equal identities give equal features."""
    dim: int
    """D, channels of the grid."""
    device: torch.device
    """Where features are computed and returned."""

    def patch_features(self, images_B3HW: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """Returns float32 features, L2-normalised over D, of RGB images in 0-1."""


def l2_normalise(vectors: Float[Tensor, "*batch D"], dim: int = -1) -> Float[Tensor, "*batch D"]:
    """Scales vectors to length one; zero vectors stay zero."""
    return vectors / vectors.norm(dim=dim, keepdim=True).clamp_min(MIN_NORM)


def resize_square(images_B3HW: Float[Tensor, "B 3 H W"], size: int) -> Float[Tensor, "B 3 S S"]:
    """Resizes images to `size` x `size` pixels with an antialiased bilinear filter."""
    if images_B3HW.shape[-2:] == (size, size):
        return images_B3HW
    return functional.interpolate(
        images_B3HW, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )


def pick_precision(precision: str, device: torch.device | str) -> torch.dtype:
    """Returns the dtype of "fp32", "fp16", "bf16" or "auto".

    auto is fp16 on a GPU, bf16 on a processor that multiplies it in hardware (twice as fast, with
    cosines of 0.9999 and more to fp32), else fp32. Raises EncoderError for any other name.
    """
    if precision == "auto":
        if torch.device(device).type == "cuda":
            return torch.float16
        return torch.bfloat16 if _has_fast_bf16() else torch.float32
    if precision not in PRECISIONS:
        raise EncoderError(
            f"Encoder precision {precision!r} is unknown: use auto, {', '.join(PRECISIONS)}."
        )
    return PRECISIONS[precision]


def _has_fast_bf16() -> bool:
    # get_capabilities is new in torch 2.10 or so; without it the safe choice is fp32.
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silences the warnings that open_clip, timm and transformers cause when they are imported, and
    spares the import of what none of them needs here.

    timm 0.6.7 (which nerfstudio pins) warns about torch.jit.script on torch >= 2.10, and torch
    about its own attention fallbacks; a user can't act on any of them. timm also imports wandb
    where it is installed, for summaries of its own trainer: that takes longer than all the rest.
    """
    with warnings.catch_warnings(), _without("wandb"):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _without(module: str) -> Iterator[None]:
    """Within the block a module that is not imported yet can't be."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None
    try:
        yield
    finally:
        sys.modules.pop(module, None)
