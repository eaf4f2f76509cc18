"""Patch tokens of frozen image encoders, which RAW's own decoder reads.

Symbols: N pictures, P patches, row by row, V width of a patch token, H, W pixels.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from lerf_wild.errors import EncoderError
from lerf_wild.inverse.program_detector import CHANNELS, SIZE, Trunk
from lerf_wild.inverse.program_weights import BUNDLED, READER, load_reader
from lerf_wild.language.wild_clip import MEAN, STD

WILD_CLIP, DETECTOR = "wild-clip", "detector"
SIDE = 2
"""Cells along a side of a patch: one of wild-clip's third stage is 16 pixels."""
GRID = SIZE // (16 * SIDE)
"""Patches along a side of a picture."""
LAYER = -2
"""RAW reads CLIP's last layer but one."""


class Patches(Protocol):
    """An encoder of pictures that stays as it is."""

    width: int

    def __call__(self, rgb_N3HW: Tensor) -> Tensor:
        """Tokens (N, P, V) of uint8 pictures."""


class TrunkPatches:
    """Cells of wild-clip's third stage, two by two: 64 tokens of a picture of 256 pixels."""

    width = SIDE**2 * 512 + 2 * GRID

    def __init__(self) -> None:
        self._trunk = Trunk().eval()

    @torch.no_grad()
    def __call__(self, rgb_N3HW: Tensor) -> Tensor:
        """Tokens (N, P, V) of uint8 pictures of 256 pixels a side."""
        return placed(functional.pixel_unshuffle(self._trunk(rgb_N3HW.float() / 255.0)[-1], SIDE))


class DetectorPatches:
    """What the bundled reader's detector finds centres, kinds and boxes by: an encoder that has
    learned hours long on such pictures where things are."""

    width = SIDE**2 * 512 + (2 * SIDE) ** 2 * CHANNELS + 2 * GRID

    def __init__(self) -> None:
        self._detector = load_reader(BUNDLED / READER)[0].detector

    @torch.no_grad()
    def __call__(self, rgb_N3HW: Tensor) -> Tensor:
        """Tokens (N, P, V) of uint8 pictures of 256 pixels a side."""
        coarse, fine = self._detector.features(rgb_N3HW.float() / 255.0)
        cells = functional.pixel_unshuffle(coarse, SIDE), functional.pixel_unshuffle(fine, 2 * SIDE)
        return placed(torch.cat(cells, dim=1))


def placed(cells_NChw: Tensor) -> Tensor:
    """Cells as tokens (N, P, V) with their row and column, which tokens of a vision transformer
    know and those of convolutions don't."""
    one = torch.eye(GRID)
    rows = one[:, :, None].expand(-1, -1, GRID)
    place = torch.cat([rows, rows.transpose(1, 2)]).expand(len(cells_NChw), -1, -1, -1)
    return torch.cat([cells_NChw, place], dim=1).flatten(2).transpose(1, 2)


class ClipPatches:
    """The last layer but one of a CLIP vision transformer, as RAW has it."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model.eval().requires_grad_(False)
        self._side, self.width = model.config.image_size, model.config.hidden_size

    @torch.no_grad()
    def __call__(self, rgb_N3HW: Tensor) -> Tensor:
        """Tokens (N, P, V) of uint8 pictures."""
        sized = functional.interpolate(
            rgb_N3HW.float() / 255.0, (self._side, self._side), mode="bicubic", antialias=True
        )
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
        seen: Any = self._model(
            pixel_values=(sized.clamp(0, 1) - mean) / std, output_hidden_states=True
        )
        # The first token is the whole picture's.
        return seen.hidden_states[LAYER][:, 1:]


def open_patches(name: str) -> Patches:
    """wild-clip, the reader's detector, or a CLIP vision transformer of transformers by folder or
    name.

    Raises:
        EncoderError: when it can't be had.
    """
    if name == WILD_CLIP:
        return TrunkPatches()
    if name == DETECTOR:
        return DetectorPatches()
    from transformers import CLIPVisionModel

    try:
        return ClipPatches(CLIPVisionModel.from_pretrained(name))
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).split("\n")[0][:150]
        raise EncoderError(f"{name}: no CLIP vision model of transformers ({reason}).") from None
