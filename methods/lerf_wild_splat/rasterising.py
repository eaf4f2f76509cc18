"""Pictures of features that gaussians carry, drawn by gsplat.

Symbols: G gaussians, F features, H and W rows and columns of the picture.

A pixel shows sum_i w_i f_i, w_i = a_i prod_{j before i} (1 - a_j), which is linear in the features:
the same sum that volume rendering makes, so that everything that commutes with it here commutes
with it there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

NEAR = 0.01
"""Distance from which on gaussians are drawn, as splatfacto has it."""


@dataclass(frozen=True)
class Gaussians:
    """The geometry of a splat, without gradients; nerf units."""

    means_G3: Float[Tensor, "g 3"]
    quats_G4: Float[Tensor, "g 4"]
    """wxyz, of any length."""
    scales_G3: Float[Tensor, "g 3"]
    opacities_G: Float[Tensor, "g"]

    def some(self, which_G: Bool[Tensor, "g"]) -> Gaussians:
        """Those that a mask names."""
        parts = (self.means_G3, self.quats_G4, self.scales_G3, self.opacities_G)
        return Gaussians(*(part[which_G] for part in parts))


@dataclass(frozen=True)
class Eye:
    """A pinhole camera."""

    world_to_camera_44: Float[Tensor, "4 4"]
    """OpenCV axes: x right, y down, z forward."""
    intrinsics_33: Float[Tensor, "3 3"]
    height: int
    width: int

    @property
    def place_3(self) -> Float[Tensor, "3"]:
        """Where the camera is."""
        rotation_33 = self.world_to_camera_44[:3, :3]
        return -rotation_33.T @ self.world_to_camera_44[:3, 3]


def eye_of(camera: Cameras, max_pixels: float = float("inf")) -> Eye:
    """Returns one camera of nerfstudio's, its picture shrunk to at most so many pixels."""
    to_world_34 = camera.camera_to_worlds.reshape(-1, 3, 4)[0].detach()
    # OpenGL looks along -z with y up, OpenCV along z with y down.
    axes_3 = to_world_34.new_tensor([1.0, -1.0, -1.0])
    rotation_33 = (to_world_34[:, :3] * axes_3).T
    world_to_camera_44 = torch.eye(4, device=to_world_34.device)
    world_to_camera_44[:3, :3] = rotation_33
    world_to_camera_44[:3, 3] = -rotation_33 @ to_world_34[:, 3]
    height, width = int(camera.height.flatten()[0]), int(camera.width.flatten()[0])
    share = min(1.0, (max_pixels / (height * width)) ** 0.5)
    small_height, small_width = max(1, round(height * share)), max(1, round(width * share))
    # nerfstudio makes these on the CPU, wherever the camera is.
    intrinsics_33 = camera.get_intrinsics_matrices().reshape(-1, 3, 3)[0].to(to_world_34).clone()
    intrinsics_33[0] *= small_width / width
    intrinsics_33[1] *= small_height / height
    return Eye(world_to_camera_44, intrinsics_33, small_height, small_width)


def rasterise(
    gaussians: Gaussians,
    features_GF: Float[Tensor, "g f"],
    eye: Eye,
    antialiased: bool = False,
) -> tuple[Float[Tensor, "h w f"], Float[Tensor, "h w"]]:
    """Draws features as a camera sees them; returns also how much of each pixel is covered.

    Differentiable to the features.
    """
    drawn_1HWF, covered_1HW1, _ = gsplat()(
        means=gaussians.means_G3,
        quats=gaussians.quats_G4,
        scales=gaussians.scales_G3,
        opacities=gaussians.opacities_G,
        colors=features_GF,
        viewmats=eye.world_to_camera_44[None],
        Ks=eye.intrinsics_33[None],
        width=eye.width,
        height=eye.height,
        packed=False,
        near_plane=NEAR,
        render_mode="RGB",
        rasterize_mode="antialiased" if antialiased else "classic",
    )
    return drawn_1HWF[0], covered_1HW1[0, ..., 0]


@cache
def gsplat() -> Callable[..., Any]:
    """The rasteriser of gsplat, whose CUDA code is built when it is first used."""
    from gsplat.rendering import rasterization

    return rasterization
