"""Encoding an image tile by tile at several tile sizes (LERF, section 3.2).

H, W image size in pixels, N tiles of all levels, D embedding dimensions, S side of the encoder's
input, B tiles of a batch. Tiles of several levels and images share a batch, so that an
accelerator is never fed a handful at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float16, Int
from torch import Tensor

from lerf_wild.language.encoders import ImageTextEncoder, resize_square
from lerf_wild.language.pyramid_layout import (
    DEFAULT_SPEC,
    PyramidLayout,
    PyramidSpec,
    pyramid_layout,
)

TILE_BATCH = 256
"""Tiles per call of the encoder."""

MAX_MASKED_SHARE = 0.5
"""A tile with more than this share of masked-out pixels describes the fill, not the scene."""


@dataclass(frozen=True)
class Pyramid:
    """Embeddings of all tiles of one image, on the CPU."""

    tiles: Float16[Tensor, "N D"]
    valid: Bool[Tensor, "N"]
    """False where the tile was mostly masked out; its embedding is not to be used."""
    layout: PyramidLayout

    def levels(self) -> dict[str, Float16[Tensor, "rows cols D"]]:
        """Returns the embeddings as one grid per level, named level_0, level_1 and so on."""
        counts = [grid.count for grid in self.layout.grids]
        parts = self.tiles.split(counts)
        return {
            f"level_{i}": part.reshape(grid.rows, grid.cols, -1)
            for i, (grid, part) in enumerate(zip(self.layout.grids, parts))
        }


def encode_pyramid(
    image_3HW: Float[Tensor, "3 H W"],
    mask_HW: Bool[Tensor, "H W"] | None,
    encoder: ImageTextEncoder,
    spec: PyramidSpec = DEFAULT_SPEC,
    batch_size: int = TILE_BATCH,
) -> Pyramid:
    """Encodes all tiles of one RGB image in 0-1; see `encode_pyramids`."""
    return next(encode_pyramids([(image_3HW, mask_HW)], encoder, spec, batch_size))


def encode_pyramids(
    images: Iterable[tuple[Float[Tensor, "3 H W"], Bool[Tensor, "H W"] | None]],
    encoder: ImageTextEncoder,
    spec: PyramidSpec = DEFAULT_SPEC,
    batch_size: int = TILE_BATCH,
) -> Iterator[Pyramid]:
    """Encodes images of any sizes, yielding each pyramid as soon as its last tile is done.

    Args:
        images: pairs of an RGB image in 0-1 and a mask, True where pixels count, or None. Masked
            pixels are replaced by the mean of the others; tiles of which more than half is masked
            are marked as not valid. The iterable is read lazily.
        encoder: gives unit embeddings [B, D] for images [B, 3, S, S].
        spec: the tiles.
        batch_size: tiles per call of the encoder.
    """
    waiting: list[tuple[PyramidLayout, Bool[Tensor, "N"]]] = []
    pieces = _pieces(images, encoder, spec, batch_size, waiting)
    done = torch.zeros(0, encoder.dim, dtype=torch.float16)
    for batch_B3SS in _regroup(pieces, batch_size):
        with torch.inference_mode():
            encoded_BD = encoder.encode_images(batch_B3SS).to("cpu", torch.float16)
        done = torch.cat([done, encoded_BD.clone()])
        while waiting and len(done) >= waiting[0][0].num_tiles:
            layout, valid_N = waiting.pop(0)
            # A clone, so that a kept pyramid does not keep its neighbours' memory.
            yield Pyramid(done[: layout.num_tiles].clone(), valid_N, layout)
            done = done[layout.num_tiles :]


def crop_tiles(
    image_3HW: Float[Tensor, "3 H W"],
    tops_B: Int[Tensor, "B"],
    lefts_B: Int[Tensor, "B"],
    size: int,
) -> Float[Tensor, "B 3 s s"]:
    """Cuts square tiles of one size out of an image; all must lie inside it."""
    inside = torch.arange(size, device=image_3HW.device)
    rows_Bs = tops_B.to(image_3HW.device)[:, None] + inside
    cols_Bs = lefts_B.to(image_3HW.device)[:, None] + inside
    return image_3HW[:, rows_Bs[:, :, None], cols_Bs[:, None, :]].transpose(0, 1)


def fill_masked(
    image_3HW: Float[Tensor, "3 H W"], mask_HW: Bool[Tensor, "H W"]
) -> Float[Tensor, "3 H W"]:
    """Replaces pixels outside the mask by the mean colour inside it (grey if there is none)."""
    weight_HW = mask_HW.to(image_3HW)
    count = weight_HW.sum()
    mean_311 = ((image_3HW * weight_HW).sum((1, 2)) / count.clamp_min(1)).reshape(3, 1, 1)
    return torch.where(mask_HW, image_3HW, torch.where(count > 0, mean_311, 0.5))


def valid_tiles(layout: PyramidLayout, mask_HW: Bool[Tensor, "H W"] | None) -> Bool[Tensor, "N"]:
    """Returns which tiles have at least half of their pixels inside the mask."""
    if mask_HW is None:
        return torch.ones(layout.num_tiles, dtype=torch.bool)
    top_N, left_N, size_N = layout.boxes().unbind(-1)
    # Summed-area table: four look-ups count the masked pixels of any box.
    table = torch.zeros(layout.height + 1, layout.width + 1, dtype=torch.int64)
    table[1:, 1:] = (~mask_HW.cpu()).long().cumsum(0).cumsum(1)
    bottom_N, right_N = top_N + size_N, left_N + size_N
    masked_N = (
        table[bottom_N, right_N]
        - table[top_N, right_N]
        - table[bottom_N, left_N]
        + table[top_N, left_N]
    )
    return masked_N <= MAX_MASKED_SHARE * size_N**2


def _pieces(
    images: Iterable[tuple[Tensor, Tensor | None]],
    encoder: ImageTextEncoder,
    spec: PyramidSpec,
    batch_size: int,
    waiting: list[tuple[PyramidLayout, Tensor]],
) -> Iterator[Float[Tensor, "B 3 S S"]]:
    # Notes every image in `waiting` before its first tile leaves, so that the consumer knows whose
    # tiles it holds.
    for image_3HW, mask_HW in images:
        layout = pyramid_layout(spec, *image_3HW.shape[1:])
        image_3HW = image_3HW.to(encoder.device, torch.float32)
        if mask_HW is not None:
            image_3HW = fill_masked(image_3HW, mask_HW.to(encoder.device))
        waiting.append((layout, valid_tiles(layout, mask_HW)))
        for grid, boxes_N3 in zip(layout.grids, _level_boxes(layout)):
            for boxes_B3 in boxes_N3.split(batch_size):
                tiles = crop_tiles(image_3HW, boxes_B3[:, 0], boxes_B3[:, 1], grid.size_px)
                yield resize_square(tiles, encoder.image_size)


def _level_boxes(layout: PyramidLayout) -> Sequence[Int[Tensor, "n 3"]]:
    return layout.boxes().split([grid.count for grid in layout.grids])


def _regroup(
    pieces: Iterable[Float[Tensor, "b 3 S S"]], batch_size: int
) -> Iterator[Float[Tensor, "B 3 S S"]]:
    # Joins small pieces into batches of exactly `batch_size`; the last one may be smaller.
    held: list[Tensor] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        if count >= batch_size:
            joined = torch.cat(held)
            yield joined[:batch_size]
            held, count = [joined[batch_size:]], count - batch_size
    if count > 0:
        yield torch.cat(held)
