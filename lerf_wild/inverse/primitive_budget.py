"""A fixed set of scenes, stretched by the symmetries that a rendering has.

A flipped, turned by quarters or shifted picture of a scene is the picture of another scene, whose
objects are known too. That is all that is added: nothing is rendered anew, so that a network
trained this way has seen no more than the given pictures.

Symbols: N scenes of the set, B scenes drawn, K slots. Pixels: the outermost centres lie on the
border of the picture plane, so that flips and quarter turns move pixel centres onto each other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lerf_wild.render.primitive_scenes import PrimitiveScenes, SceneSampler
from lerf_wild.render.primitives import EXTENT, IMAGE_SIZE

PIXEL = 2.0 * EXTENT / (IMAGE_SIZE - 1)


def draw_varied(
    images_NHW: Tensor, scenes: PrimitiveScenes, count: int, generator: torch.Generator
) -> tuple[Tensor, PrimitiveScenes]:
    """Draws scenes of the set, each flipped, turned and shifted at random."""
    rows = torch.randint(len(scenes), (count,), generator=generator)
    images, drawn = images_NHW[rows], scenes[rows]
    flip = torch.rand(count, generator=generator) < 0.5
    images, drawn = flipped(images, drawn, flip)
    quarters = torch.randint(4, (count,), generator=generator)
    images, drawn = turned(images, drawn, quarters)
    return shifted(images, drawn, torch.rand(count, 2, generator=generator))


def flipped(
    images_BHW: Tensor, scenes: PrimitiveScenes, flip_B: Tensor
) -> tuple[Tensor, PrimitiveScenes]:
    """Mirrors x where `flip_B` says so."""
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    images = torch.where(flip_B[:, None, None], images_BHW.flip(2), images_BHW)
    chosen = flip_B[:, None, None, None]
    # Mirroring a rotation gives an improper one; every body here is symmetric about its local
    # x = 0, so that mirroring that as well makes it proper and changes nothing else.
    rotations = torch.where(chosen, mirror @ scenes.rotations_BK33 @ mirror, scenes.rotations_BK33)
    positions = torch.where(chosen[..., 0], scenes.positions_BK3 @ mirror, scenes.positions_BK3)
    return images, PrimitiveScenes(scenes.kinds_BK, positions, rotations)


def turned(
    images_BHW: Tensor, scenes: PrimitiveScenes, quarters_B: Tensor
) -> tuple[Tensor, PrimitiveScenes]:
    """Turns counter-clockwise by quarters about the middle of the picture."""
    by_count = torch.stack([torch.rot90(images_BHW, k, (1, 2)) for k in range(4)])
    images = by_count[quarters_B, torch.arange(len(quarters_B))]
    quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    powers = torch.stack([torch.linalg.matrix_power(quarter, k) for k in range(4)])
    turn = powers[quarters_B][:, None]
    positions = (turn @ scenes.positions_BK3[..., None]).squeeze(-1)
    return images, PrimitiveScenes(scenes.kinds_BK, positions, turn @ scenes.rotations_BK33)


def shifted(
    images_BHW: Tensor, scenes: PrimitiveScenes, share_B2: Tensor
) -> tuple[Tensor, PrimitiveScenes]:
    """Shifts by whole pixels, as far as all centres stay within the reference's range.

    `share_B2` in 0-1 says where between the furthest shifts to the left (bottom) and to the
    right (top).
    """
    absent = (scenes.kinds_BK < 0)[..., None]
    place, limit = scenes.positions_BK3[..., :2], SceneSampler().lateral
    least = place.masked_fill(absent, torch.inf).amin(1).clamp(max=limit)
    most = place.masked_fill(absent, -torch.inf).amax(1).clamp(min=-limit)
    lowest, highest = (-limit - least) / PIXEL, (limit - most) / PIXEL
    pixels = (lowest + share_B2 * (highest - lowest)).trunc().long()
    images = torch.stack(
        [
            image.roll((-int(up), int(right)), (0, 1))
            for image, (right, up) in zip(images_BHW, pixels.tolist())
        ]
    )
    move = torch.cat([pixels * PIXEL, torch.zeros(len(pixels), 1)], 1)
    positions = scenes.positions_BK3 + move[:, None]
    return images, PrimitiveScenes(scenes.kinds_BK, positions, scenes.rotations_BK33)
