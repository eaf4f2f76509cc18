"""The set-ups that primitives are recovered under: which bodies, which camera, which light.

Positions are in the camera's frame moved to its target: x right, y up, z towards the camera. The
network works in picture coordinates, where x and y are measured in the picture and scaled to the
reference's extent, so that a token's cell means the same in every set-up.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lerf_wild.errors import InputError
from lerf_wild.render.primitive_rays import PERSPECTIVE_CAMERA, SIDE_LIGHT, Camera
from lerf_wild.render.primitive_scenes import KINDS, PrimitiveScenes, SceneSampler, with_positions
from lerf_wild.render.primitives import EXTENT
from lerf_wild.render.primitives_soft import SoftView, hard_image


@dataclass(frozen=True)
class Setup:
    """A distribution of scenes and a view on them, along -z at the origin."""

    name: str
    sampler: SceneSampler = field(default_factory=SceneSampler)
    view: SoftView = field(default_factory=SoftView)
    orbit: bool = False
    """Whether the camera looks from any direction, the light moving with it."""

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, PrimitiveScenes]:
        """Draws scenes, in the camera's frame, and their images [count, size, size]."""
        scenes = self.sampler.sample(count, generator)
        if self.orbit:
            scenes = _seen_from_anywhere(scenes, generator)
        return hard_image(scenes, self.view), scenes

    def to_picture(self, scenes: PrimitiveScenes) -> PrimitiveScenes:
        """The scenes with x and y as they appear in the picture."""
        return self._scaled(scenes, 1.0)

    def to_world(self, scenes: PrimitiveScenes) -> PrimitiveScenes:
        """Undoes `to_picture`."""
        return self._scaled(scenes, -1.0)

    def _scaled(self, scenes: PrimitiveScenes, power: float) -> PrimitiveScenes:
        camera, positions = self.view.camera, scenes.positions_BK3
        zoom = torch.full_like(positions[..., 2:], EXTENT / camera.extent)
        if camera.perspective:
            distance = camera.position_3[2]
            # A guess behind the camera has no picture; it is treated as close before it.
            zoom = zoom * distance / (distance - positions[..., 2:]).clamp(min=0.1 * distance)
        moved = torch.cat([positions[..., :2] * zoom**power, positions[..., 2:]], -1)
        return with_positions(scenes, moved)


def _seen_from_anywhere(scenes: PrimitiveScenes, generator: torch.Generator) -> PrimitiveScenes:
    from lerf_wild.inverse.symmetry import quaternion_to_rotation

    turn = quaternion_to_rotation(torch.randn(len(scenes), 1, 4, generator=generator))
    positions = (turn @ scenes.positions_BK3[..., None]).squeeze(-1)
    return PrimitiveScenes(scenes.kinds_BK, positions, turn @ scenes.rotations_BK33)


REFERENCE = Setup("reference")
PERSPECTIVE = Setup("perspective", view=SoftView(PERSPECTIVE_CAMERA, SIDE_LIGHT))
FREE_CAMERA = Setup(
    "free-camera",
    SceneSampler(kinds=tuple(range(len(KINDS)))),
    SoftView(Camera((0.0, 0.0, 3.6), extent=2.0, perspective=True), SIDE_LIGHT),
    orbit=True,
)
SETUPS = {setup.name: setup for setup in (REFERENCE, PERSPECTIVE, FREE_CAMERA)}


def find_setup(name: str) -> Setup:
    """The set-up of that name; raises InputError where there is none."""
    if name not in SETUPS:
        raise InputError(f"There is no set-up {name[:40]!r}; use one of {', '.join(SETUPS)}.")
    return SETUPS[name]
