"""Batches of scenes made of geometric primitives, and how to draw random ones.

Symbols: B scenes, K object slots per scene. World: x right, y up, z towards the camera. A body's
local frame has its axis along y; ``R`` maps local to world, so that column 1 of ``R`` is the axis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lerf_wild.errors import InputError

KINDS = ("sphere", "cube", "cylinder", "cone", "ellipsoid", "capsule")
"""Names of the primitives in the order of their indices; the first three are the reference's."""

SPHERE, CUBE, CYLINDER, CONE, ELLIPSOID, CAPSULE = range(len(KINDS))
ABSENT = -1

SCALE = 0.4
"""Half the side of a cube, radius of a sphere, radius and half the height of a cylinder."""


@dataclass(frozen=True)
class PrimitiveScenes:
    """B scenes of up to K primitives each; empty slots have kind -1."""

    kinds_BK: Tensor
    """int64 indices into KINDS, -1 where the slot is empty."""
    positions_BK3: Tensor
    """Centres in world units."""
    rotations_BK33: Tensor
    """Local to world."""

    def __len__(self) -> int:
        return self.kinds_BK.shape[0]

    def __getitem__(self, index: Any) -> PrimitiveScenes:
        return PrimitiveScenes(
            self.kinds_BK[index], self.positions_BK3[index], self.rotations_BK33[index]
        )

    @property
    def counts_B(self) -> Tensor:
        """Objects per scene."""
        return (self.kinds_BK >= 0).sum(-1)

    def to(self, *args: Any) -> PrimitiveScenes:
        """Moves positions and rotations to a device or dtype, and kinds to the device."""
        positions = self.positions_BK3.to(*args)
        return PrimitiveScenes(
            self.kinds_BK.to(positions.device), positions, self.rotations_BK33.to(*args)
        )


def concatenate(scenes: list[PrimitiveScenes]) -> PrimitiveScenes:
    """Joins batches of equally many slots along the batch axis."""
    return PrimitiveScenes(
        torch.cat([s.kinds_BK for s in scenes]),
        torch.cat([s.positions_BK3 for s in scenes]),
        torch.cat([s.rotations_BK33 for s in scenes]),
    )


def euler_to_rotation(angles_3: Tensor) -> Tensor:
    """Rz(a) Ry(b) Rx(c) for angles (a, b, c) in radians, shape [..., 3] -> [..., 3, 3]."""
    (ca, cb, cc), (sa, sb, sc) = angles_3.cos().unbind(-1), angles_3.sin().unbind(-1)
    rows = (
        (ca * cb, ca * sb * sc - sa * cc, ca * sb * cc + sa * sc),
        (sa * cb, sa * sb * sc + ca * cc, sa * sb * cc - ca * sc),
        (-sb, cb * sc, cb * cc),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def rotation_to_euler(rotation_33: Tensor) -> Tensor:
    """Inverse of `euler_to_rotation`, with the middle angle in [-pi/2, pi/2]."""
    R = rotation_33
    middle = torch.asin((-R[..., 2, 0]).clamp(-1.0, 1.0))
    first = torch.atan2(R[..., 1, 0], R[..., 0, 0])
    last = torch.atan2(R[..., 2, 1], R[..., 2, 2])
    return torch.stack([first, middle, last], -1)


@dataclass(frozen=True)
class SceneSampler:
    """The distribution of scenes; the defaults are the reference's."""

    kinds: tuple[int, ...] = (SPHERE, CUBE, CYLINDER)
    """Which primitives occur, each equally often."""
    max_objects: int = 3
    """Objects per scene are uniform between 1 and this."""
    empty_share: float = 0.0
    """Share of scenes without any object."""
    lateral: float = 0.9
    """x and y are uniform between plus and minus this, world units."""
    depth: float = 0.3
    """z is uniform between plus and minus this, world units."""

    def __post_init__(self) -> None:
        if self.max_objects < 1 or not self.kinds:
            raise InputError(
                f"A scene sampler needs kinds and at least one object, got kinds {self.kinds} "
                f"and max_objects {self.max_objects}."
            )

    def sample(self, count: int, generator: torch.Generator) -> PrimitiveScenes:
        """Draws `count` scenes, sorted by x within each scene, on the generator's device."""
        shape, device = (count, self.max_objects), generator.device

        def uniform(*size: int) -> Tensor:
            return torch.rand(*size, generator=generator, device=device)

        choice = (uniform(*shape) * len(self.kinds)).long().clamp(max=len(self.kinds) - 1)
        kinds = torch.tensor(self.kinds, device=device)[choice]
        objects = 1 + (uniform(count, 1) * self.max_objects).long().clamp(max=self.max_objects - 1)
        objects = torch.where(uniform(count, 1) < self.empty_share, 0, objects)
        kinds[torch.arange(self.max_objects, device=device) >= objects] = ABSENT
        half = torch.tensor([self.lateral, self.lateral, self.depth], device=device)
        positions = (2.0 * uniform(*shape, 3) - 1.0) * half
        rotations = euler_to_rotation(uniform(*shape, 3) * torch.pi)
        return sort_by_x(PrimitiveScenes(kinds, positions, rotations))


def sort_by_x(scenes: PrimitiveScenes) -> PrimitiveScenes:
    """Orders the objects of each scene by x, empty slots last."""
    x = scenes.positions_BK3[..., 0].masked_fill(scenes.kinds_BK < 0, torch.inf)
    return reorder(scenes, x.argsort(dim=-1, stable=True))


def reorder(scenes: PrimitiveScenes, order_BK: Tensor) -> PrimitiveScenes:
    """Takes slot `order_BK[b, k]` of scene b as its new slot k."""
    rows = torch.arange(len(scenes), device=order_BK.device)[:, None]
    return scenes[rows, order_BK]


def with_positions(scenes: PrimitiveScenes, positions_BK3: Tensor) -> PrimitiveScenes:
    """The same objects at other places."""
    return replace(scenes, positions_BK3=positions_BK3)
