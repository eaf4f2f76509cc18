"""What the tiles of the photos say of points of the scene, with no field in between.

A field blends what many tiles say, and a small thing may drown in what stands around it. The tiles
of LERF's pyramid (section 3.2), by which it was taught, still show it. Here each point is told the
mean of what they say at its place in the photos that see it from nearest, as a sparse matrix, so
that a new phrase costs one product.

Symbols: C photos, M points, V views of a point, N tiles of all photos, S sizes, L levels of the
pyramid. Sizes and points are in one unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array
from torch import Tensor

from lerf_wild.language.lookup import PyramidEntry, is_centred, layout_table, tile_corners
from lerf_wild.language.pyramid_layout import PyramidSpec
from lerf_wild.language.relevancy import Query, relevancy

VIEWS, LEAST_VIEWS = 8, 3
"""Photos that a point is told of, and the fewest: one photo alone may show anything."""
SLACK = 0.75
"""A size is read from tiles that are smaller or larger by no more than this."""


@dataclass(frozen=True)
class PointViews:
    """Where points lie in the photos that see them from nearest."""

    photo_VM: Int[Tensor, "V M"]
    share_VM2: Float[Tensor, "V M 2"]
    """Places as shares of a photo's width and height."""
    per_length_VM: Float[Tensor, "V M"]
    """Share of a photo's height that a unit of length takes there."""
    is_seen_VM: Bool[Tensor, "V M"]


def nearest_views(
    pixels_CM2: Float[Tensor, "C M 2"],
    depth_CM: Float[Tensor, "C M"],
    seen_CM: Bool[Tensor, "C M"],
    intrinsics_C6: Float[Tensor, "C 6"],
) -> PointViews:
    """The views of projected points (see `language.visibility`), from the nearest on.

    `intrinsics_C6` are fx, fy, cx, cy, width and height in pixels.
    """
    far_CM = torch.where(seen_CM, depth_CM, torch.inf)
    photo_VM = far_CM.argsort(dim=0)[:VIEWS]
    size_VM2 = intrinsics_C6[photo_VM][..., 4:]
    pixels_VM2 = pixels_CM2.gather(0, photo_VM[..., None].expand(-1, -1, 2))
    depth_VM = depth_CM.gather(0, photo_VM)
    return PointViews(
        photo_VM,
        torch.nan_to_num(pixels_VM2 / size_VM2, nan=0.0, posinf=0.0, neginf=0.0),
        intrinsics_C6[photo_VM][..., 1] / (size_VM2[..., 1] * depth_VM),
        seen_CM.gather(0, photo_VM),
    )


def tile_weights(
    views: PointViews, entries: Sequence[PyramidEntry], size: float
) -> Float[csr_array, "M N"]:
    """How much each tile has to say of each point for things of a size.

    Rows sum to one, or to zero where fewer than LEAST_VIEWS photos have tiles of that size around
    the point.
    """
    spec = entries[0].layout.spec
    table_ILF = layout_table([entry.layout for entry in entries])
    valid_N = torch.cat([entry.valid for entry in entries])
    image_sizes_I2 = torch.tensor([[one.layout.width, one.layout.height] for one in entries])
    photo_R, share_R2, seen_R, ratio_R = (
        views.photo_VM.flatten(),
        views.share_VM2.flatten(0, 1),
        views.is_seen_VM.flatten(),
        (size * views.per_length_VM).flatten(),
    )
    pixel_R2 = share_R2 * image_sizes_I2[photo_R]
    fits_R = seen_R & _has_tiles(spec, ratio_R)
    fits_R &= is_centred(pixel_R2, image_sizes_I2[photo_R], ratio_R)
    index_RK, weight_RK = tile_corners(table_ILF, photo_R, _position(spec, ratio_R), pixel_R2)
    weight_RK = weight_RK * (valid_N[index_RK] & fits_R[:, None])
    return _averaged(index_RK, weight_RK, views.photo_VM.shape, len(valid_N))


def told(entries: Sequence[PyramidEntry], query: Query) -> Float[np.ndarray, "N P"]:
    """Relevancy of all tiles to the phrases of a query."""
    # Tiles come from files, and phrases from wherever the field is.
    query = query.to(entries[0].tiles.device)
    return torch.cat([relevancy(entry.tiles.float(), query) for entry in entries]).cpu().numpy()


def _has_tiles(spec: PyramidSpec, ratio_R: Tensor) -> Bool[Tensor, "R"]:
    smallest, largest = spec.tile_range
    return (ratio_R >= smallest * SLACK) & (ratio_R <= largest / SLACK)


def _position(spec: PyramidSpec, ratio_R: Tensor) -> Float[Tensor, "R"]:
    smallest, largest = spec.tile_range
    return ((ratio_R - smallest) / max(largest - smallest, 1e-9)).clamp(0, 1)


def _averaged(
    index_RK: Tensor, weight_RK: Tensor, shape_VM: torch.Size, tiles: int
) -> Float[csr_array, "M N"]:
    # A view whose tiles are all masked out has no say.
    views, points = shape_VM
    sum_R = weight_RK.sum(dim=1)
    has_say_R = sum_R > 1e-6
    share_RK = weight_RK / sum_R.clamp_min(1e-6)[:, None] * has_say_R[:, None]
    count_M = has_say_R.reshape(views, points).sum(dim=0)
    mean_M = torch.where(count_M >= LEAST_VIEWS, 1.0 / count_M.clamp_min(1), 0.0)
    values_RK = share_RK * mean_M.repeat(views)[:, None]
    rows_RK = torch.arange(points).repeat(views)[:, None].expand_as(index_RK)
    is_there = values_RK > 0
    places = (rows_RK[is_there].numpy(), index_RK[is_there].numpy())
    return csr_array((values_RK[is_there].numpy(), places), shape=(points, tiles))
