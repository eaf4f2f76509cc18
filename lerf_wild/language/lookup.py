"""Reading a pyramid at any pixel and any tile size: linear between levels, bilinear within one.

R rays, N tiles of an image, D embedding dimensions, I images, L levels, K = 8 tiles that
contribute to a ray (two levels x two rows x two columns). Pixel positions are continuous: the
centre of the first pixel is (0.5, 0.5). Between the centres of the outermost tiles and the border
the value is that of the border tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from lerf_wild.language.pyramid_layout import PyramidLayout

MIN_WEIGHT = 1e-6
"""Below this total weight of valid tiles a ray has no feature."""

MAX_OFF_CENTRE = 0.25
"""Near the border of a picture no tile has its centre at the pixel. A tile whose centre is more
than this share of its side away says what stands beside the pixel, and teaches nothing; LERF learns
from it, so that ground at the border answers to what is next to it."""


class PyramidEntry(Protocol):
    """What is read: a `Pyramid`, or an entry of the feature store."""

    tiles: Tensor
    valid: Tensor
    layout: PyramidLayout


def lookup(
    tiles_ND: Float[Tensor, "N D"],
    valid_N: Bool[Tensor, "N"],
    layout: PyramidLayout,
    level_position_R: Float[Tensor, "R"],
    pixel_xy_R2: Float[Tensor, "R 2"],
) -> tuple[Float[Tensor, "R D"], Bool[Tensor, "R"]]:
    """Interpolates the embeddings of one image.

    The result is not normalised again, as in LERF. Tiles that are not valid drop out and the
    weights of the others grow to sum to one.

    Args:
        tiles_ND: embeddings, float16 or float32, on any device.
        valid_N: tiles that may be used.
        layout: of the image.
        level_position_R: 0 for the smallest tiles to 1 for the largest.
        pixel_xy_R2: x and y in pixels of the image that was encoded.

    Returns:
        float32 features, zero where no valid tile is near, and whether one was.
    """
    table_1LF = layout_table([layout], tiles_ND.device)
    image_R = torch.zeros(len(pixel_xy_R2), dtype=torch.long, device=tiles_ND.device)
    index_RK, weight_RK = tile_corners(table_1LF, image_R, level_position_R, pixel_xy_R2)
    return blend(tiles_ND, valid_N, index_RK, weight_RK)


def lookup_many(
    entries: Sequence[PyramidEntry],
    image_index_R: Int[Tensor, "R"],
    level_position_R: Float[Tensor, "R"],
    pixel_xy_R2: Float[Tensor, "R 2"],
) -> tuple[Float[Tensor, "R D"], Bool[Tensor, "R"]]:
    """Interpolates rays of several images whose tiles lie in separate (mapped) tensors.

    `image_index_R` says for every ray which entry it belongs to; the rest is as in `lookup`. Only
    the tiles that are needed are read.
    """
    dim = entries[0].tiles.shape[-1]
    features_RD = torch.zeros(len(image_index_R), dim, device=entries[0].tiles.device)
    valid_R = torch.zeros(len(image_index_R), dtype=torch.bool, device=entries[0].tiles.device)
    for image in image_index_R.unique().tolist():
        entry = entries[image]
        rays = (image_index_R == image).nonzero().squeeze(-1)
        features_RD[rays], valid_R[rays] = lookup(
            entry.tiles, entry.valid, entry.layout, level_position_R[rays], pixel_xy_R2[rays]
        )
    return features_RD, valid_R


class PyramidBank:
    """The pyramids of many images in one tensor, for look-ups without a loop on any device.

    200 images of 1,169 tiles with 512 dimensions take 240 MB.
    """

    def __init__(self, entries: Sequence[PyramidEntry], device: torch.device | str = "cpu") -> None:
        self.tiles_ND = torch.cat([entry.tiles.to(device, torch.float16) for entry in entries])
        self.valid_N = torch.cat([entry.valid.to(device) for entry in entries])
        self.table_ILF = layout_table([entry.layout for entry in entries], device)

    def lookup(
        self,
        image_index_R: Int[Tensor, "R"],
        level_position_R: Float[Tensor, "R"],
        pixel_xy_R2: Float[Tensor, "R 2"],
    ) -> tuple[Float[Tensor, "R D"], Bool[Tensor, "R"]]:
        """Interpolates rays of any images; arguments and results are those of `lookup_many`."""
        index_RK, weight_RK = tile_corners(
            self.table_ILF, image_index_R, level_position_R, pixel_xy_R2
        )
        return blend(self.tiles_ND, self.valid_N, index_RK, weight_RK)


def layout_table(
    layouts: Sequence[PyramidLayout], device: torch.device | str = "cpu"
) -> Int[Tensor, "I L 7"]:
    """Returns the layouts as numbers, so that rays of different images can share one gather.

    The seven columns are: index of the level's first tile in the concatenation of all images, rows,
    cols, stride, tile side, image height, image width.
    """
    table, base = [], 0
    for layout in layouts:
        for start, g in zip(layout.offsets, layout.grids):
            table.append((base + start, g.rows, g.cols, g.stride_px, g.size_px, g.height, g.width))
        base += layout.num_tiles
    flat = torch.tensor(table, dtype=torch.int64, device=device)
    return flat.reshape(len(layouts), -1, flat.shape[-1])


def tile_corners(
    table_ILF: Int[Tensor, "I L 7"],
    image_index_R: Int[Tensor, "R"],
    level_position_R: Float[Tensor, "R"],
    pixel_xy_R2: Float[Tensor, "R 2"],
) -> tuple[Int[Tensor, "R 8"], Float[Tensor, "R 8"]]:
    """Returns the indices of the eight tiles around every ray and their weights, summing to one."""
    device = table_ILF.device
    levels = table_ILF.shape[1]
    position_R = level_position_R.to(device, torch.float32).clamp(0, 1) * (levels - 1)
    lower_R = position_R.floor().long().clamp_max(max(levels - 2, 0))
    upper_R = (lower_R + 1).clamp_max(levels - 1)
    share_R = position_R - lower_R
    xy_R2 = pixel_xy_R2.to(device, torch.float32)
    corners = [
        _level_corners(table_ILF[image_index_R.to(device), level_R], xy_R2)
        for level_R in (lower_R, upper_R)
    ]
    index_RK = torch.cat([index_R4 for index_R4, _ in corners], dim=-1)
    weight_RK = torch.cat(
        [corners[0][1] * (1 - share_R)[:, None], corners[1][1] * share_R[:, None]], dim=-1
    )
    return index_RK, weight_RK


def blend(
    tiles_ND: Float[Tensor, "N D"],
    valid_N: Bool[Tensor, "N"],
    index_RK: Int[Tensor, "R K"],
    weight_RK: Float[Tensor, "R K"],
) -> tuple[Float[Tensor, "R D"], Bool[Tensor, "R"]]:
    """Returns the weighted mean over valid tiles, and whether there was any."""
    weight_RK = weight_RK * valid_N[index_RK].to(weight_RK)
    total_R = weight_RK.sum(-1)
    scaled_RK = weight_RK / total_R.clamp_min(MIN_WEIGHT)[:, None]
    # One fused gather-and-sum; the [R, K, D] tensor of gathered tiles never exists.
    features_RD = functional.embedding_bag(
        index_RK, tiles_ND, per_sample_weights=scaled_RK.to(tiles_ND.dtype), mode="sum"
    )
    return features_RD.float(), total_R > MIN_WEIGHT


def is_centred(
    pixel_R2: Float[Tensor, "r 2"],
    image_size_R2: Float[Tensor, "r 2"],
    ratio_R: Float[Tensor, "r"],
) -> Bool[Tensor, "r"]:
    """Whether the tile that a pixel is given lies around the pixel, rather than beside it.

    Args:
        pixel_R2: x and y in pixels of the image.
        image_size_R2: Width and height of each ray's image.
        ratio_R: Side of the tile as a share of the image's height.
    """
    side_R = torch.minimum(ratio_R * image_size_R2[:, 1], image_size_R2.amin(dim=-1))
    border_R = torch.minimum(pixel_R2, image_size_R2 - pixel_R2).amin(dim=-1)
    return side_R / 2 - border_R <= MAX_OFF_CENTRE * side_R


def _level_corners(
    row_RF: Int[Tensor, "R 7"], xy_R2: Float[Tensor, "R 2"]
) -> tuple[Int[Tensor, "R 4"], Float[Tensor, "R 4"]]:
    base, rows, cols, stride, size, height, width = row_RF.unbind(-1)
    x0, x1, wx = _axis_cell(xy_R2[:, 0], cols, stride, size, width)
    y0, y1, wy = _axis_cell(xy_R2[:, 1], rows, stride, size, height)
    index_R4 = torch.stack([y0 * cols + x0, y0 * cols + x1, y1 * cols + x0, y1 * cols + x1], -1)
    weight_R4 = torch.stack([(1 - wy) * (1 - wx), (1 - wy) * wx, wy * (1 - wx), wy * wx], -1)
    return base[:, None] + index_R4, weight_R4


def _axis_cell(
    position_R: Tensor, count_R: Tensor, stride_R: Tensor, size_R: Tensor, length_R: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    # Neighbouring tiles along one axis and the weight of the second. Only the last gap differs from
    # the stride, because the last tile was moved into the image.
    along_R = position_R - size_R / 2
    low_R = (along_R / stride_R).floor().long().clamp_min(0)
    low_R = torch.minimum(low_R, (count_R - 2).clamp_min(0))
    high_R = torch.minimum(low_R + 1, count_R - 1)
    low_at_R = low_R * stride_R
    high_at_R = torch.minimum(high_R * stride_R, length_R - size_R)
    share_R = (along_R - low_at_R) / (high_at_R - low_at_R).clamp_min(1)
    return low_R, high_R, share_R.clamp(0, 1)
