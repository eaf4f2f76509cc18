"""Photos as queries: the object cut out the way templates show it."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from lerf_wild.assets.templates import STANDARD
from lerf_wild.errors import AssetError
from lerf_wild.language.encoders import ImageTextEncoder

Box = tuple[float, float, float, float]


def square_around(box: Box, height: int, width: int) -> tuple[int, int, int]:
    """The square (left, top, side) in pixels that frames a box as templates are framed.

    It is moved, and if need be made smaller, so that it lies in a picture of the size.

    Raises:
        AssetError: for a box outside of the picture.
    """
    x0, y0, x1, y1 = box
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        raise AssetError(f"The box {box} lies outside of the picture of {width} x {height} pixels.")
    side = round(min(max(x1 - x0, y1 - y0) / STANDARD.fill, height, width))
    side = max(side, 1)
    left = int(np.clip(round((x0 + x1 - side) / 2), 0, width - side))
    top = int(np.clip(round((y0 + y1 - side) / 2), 0, height - side))
    return left, top, side


def embed_photo(
    picture_HW3: NDArray[np.uint8], encoder: ImageTextEncoder, box: Box | None = None
) -> Float[Tensor, " D"]:
    """The unit embedding of a photo, or of the object in a box (x0, y0, x1, y1 in pixels).

    Without a box it is the largest square in the middle.

    Raises:
        AssetError: for a box outside of the picture.
    """
    height, width = picture_HW3.shape[:2]
    if box is None:
        side = min(height, width)
        left, top = (width - side) // 2, (height - side) // 2
    else:
        left, top, side = square_around(box, height, width)
    cut = np.ascontiguousarray(picture_HW3[top : top + side, left : left + side])
    image = torch.from_numpy(cut).permute(2, 0, 1)[None].float() / 255.0
    return encoder.encode_images(image.to(encoder.device))[0].cpu().float()
