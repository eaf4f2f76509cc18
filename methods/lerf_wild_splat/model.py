"""splatfacto with a language field at the centres of its gaussians.

Symbols: G gaussians, R pixels, W hidden width, C DINO width, H and W rows and columns.

The field is lerf-wild's own, with the same tile sizes in nerf units, asked at the gaussians' means;
hidden vectors are rasterised and the linear heads run once a pixel, as in lerf-wild they run once a
ray. The geometry gets no gradient from language.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.models.splatfacto import SplatfactoModel
from torch import Tensor, nn

from lerf_wild.methods.lerf_wild.asking import AskedModel
from lerf_wild.methods.lerf_wild.datamanager import TILE_ANGLE
from lerf_wild.methods.lerf_wild.field import safe_normalise
from lerf_wild.methods.lerf_wild.live_views import PAINTED
from lerf_wild.methods.lerf_wild.parts import implementation
from lerf_wild.methods.lerf_wild.perceptual import lazy_perceptual_metric
from lerf_wild.methods.lerf_wild.scale_search import TopSamples
from lerf_wild.methods.lerf_wild_splat.config import LerfWildSplatModelConfig
from lerf_wild.methods.lerf_wild_splat.datamanager import PLACES
from lerf_wild.methods.lerf_wild_splat.rasterising import NEAR, Gaussians, eye_of, rasterise
from lerf_wild.methods.lerf_wild_splat.rays import gaussians_along
from lerf_wild.methods.lerf_wild_splat.splat_views import SplatViews

CLEAR_OPACITY = 0.5
"""Gaussians that are at least this opaque count as surface."""

SIZE_SAMPLE = 20_000
"""Gaussians whose tile sizes are looked at in a step, to know which sizes occur."""


class LerfWildSplatModel(AskedModel, SplatfactoModel):
    """Gaussian splats and a language field that is trained on, but never changes, them."""

    config: LerfWildSplatModelConfig

    def populate_modules(self) -> None:
        """Builds splatfacto, the language field and the buffers that queries need."""
        self.config.implementation = implementation(self.config.implementation)
        with lazy_perceptual_metric():
            super().populate_modules()
        self.build_language()
        self._views: SplatViews | None = None

    def near_distance(self) -> float:
        """Distance, in nerf units, from which on a camera sees anything."""
        return NEAR

    def get_param_groups(self) -> dict[str, list[nn.Parameter]]:
        """splatfacto's parameter groups and `language`."""
        groups = super().get_param_groups()
        groups["language"] = list(self.language.parameters())
        return groups

    # Training.

    def get_outputs(self, camera: Cameras) -> dict[str, Any]:
        """splatfacto's outputs; in training, with targets, also the rasterised embeddings."""
        outputs = super().get_outputs(camera)
        metadata = camera.metadata or {}
        is_language = self.step >= self.config.language_start
        if self.training and is_language and TILE_ANGLE in metadata:
            outputs |= self.language_maps(camera, metadata[TILE_ANGLE])
        return outputs

    def language_maps(self, camera: Cameras, angle: float) -> dict[str, Tensor]:
        """Rasterised hidden vectors of both branches and how much covers each pixel.

        `angle` is the side of the tiles that are looked at, over their distance.
        """
        gaussians = self.gaussians()
        eye = eye_of(camera.to(self.device), self.config.language_pixels)
        sizes_G = angle * (gaussians.means_G3 - eye.place_3).norm(dim=-1)
        self._follow_some(sizes_G, gaussians.opacities_G)
        features = self.language.encode(self._contracted(gaussians.means_G3))
        hidden_GW = self.language.clip_hidden(
            self.language.clip_position_part(features),
            self.language.clip_scale_part(sizes_G, self.basis_range),
        )
        both_GF = torch.cat([hidden_GW, self.language.dino_hidden(features)], dim=-1)
        maps_HWF, covered_HW = rasterise(gaussians, both_GF, eye, self._is_antialiased)
        widths = [hidden_GW.shape[1], both_GF.shape[1] - hidden_GW.shape[1]]
        clip_HWW, dino_HWC = maps_HWF.split(widths, dim=-1)
        return {"clip_hidden": clip_HWW, "dino_hidden": dino_HWC, "covered": covered_HW}

    def get_loss_dict(
        self, outputs: dict, batch: dict, metrics_dict: dict | None = None
    ) -> dict[str, Tensor]:
        """splatfacto's losses and, where the batch has targets, those of the language field."""
        losses = super().get_loss_dict(outputs, batch, metrics_dict)
        if "clip_hidden" in outputs and "clip" in batch:
            places_R2 = batch[PLACES]
            covered_R1 = at_places(outputs["covered"][..., None].detach(), places_R2)
            clip = linear_at(self.language.clip_head, outputs["clip_hidden"], covered_R1, places_R2)
            dino = linear_at(self.language.dino_head, outputs["dino_hidden"], covered_R1, places_R2)
            found = {"clip": safe_normalise(clip), "dino": dino}
            losses |= self.language_losses(found, batch)
        return losses

    @torch.no_grad()
    def _follow_some(self, sizes_G: Tensor, opacities_G: Tensor) -> None:
        clear_G = (opacities_G > CLEAR_OPACITY).nonzero().flatten()
        if len(clear_G) > 0:
            self.follow_sizes(sizes_G[clear_G[:: max(1, len(clear_G) // SIZE_SAMPLE)]])

    # Geometry.

    @property
    def _is_antialiased(self) -> bool:
        return self.config.rasterize_mode == "antialiased"

    def gaussians(self) -> Gaussians:
        """The splat's geometry, without gradients."""
        return Gaussians(
            self.means.detach(),
            self.quats.detach(),
            self.scales.detach().exp(),
            self.opacities.detach().sigmoid()[:, 0],
        )

    @torch.no_grad()
    def surface(self, count: int) -> tuple[Tensor, Tensor]:
        """Means (nerf frame) and colours (uint8) of up to `count` gaussians, the clearest ones."""
        opacities_G = self.opacities.detach().flatten()
        clearest = opacities_G.topk(min(count, len(opacities_G))).indices
        is_clear = opacities_G[clearest].sigmoid() > CLEAR_OPACITY
        chosen = clearest[is_clear] if bool(is_clear.any()) else clearest
        colours = (self.colors.detach()[chosen].clamp(0, 1) * 255).round().to(torch.uint8)
        return self.means.detach()[chosen], colours

    @torch.no_grad()
    def shade(self, rays: RayBundle) -> tuple[dict[str, Tensor], TopSamples]:
        """Depth and cover of a few rays and the gaussians that they meet; not for pictures."""
        met = gaussians_along(self.gaussians(), rays.origins, rays.directions)
        positions_RK3 = self._contracted(met.positions_RK3)
        samples = TopSamples(positions_RK3, met.weights_RK * self.is_seen(positions_RK3))
        return {"depth": met.depth_R1, "accumulation": met.covered_R1}, samples

    # Queries.

    def go_live(self) -> SplatViews:
        """What answers questions on views, and keeps those that stand still."""
        if self._views is None:
            self._views = SplatViews(self)
        return self._views

    @torch.no_grad()
    def get_outputs_for_camera(
        self, camera: Cameras, obb_box: OrientedBox | None = None
    ) -> dict[str, Tensor]:
        """Draws a camera; with a question also `phrases`, `relevancy_i` and `composited_i`."""
        outputs = super().get_outputs_for_camera(camera, obb_box)
        question = self._question
        if question is None:
            # A viewer that shows this layer must never find it gone.
            return {PAINTED: outputs["rgb"]} | outputs
        return self.go_live().layers_of(camera.to(self.device), outputs, question, obb_box)

    def get_image_metrics_and_images(
        self, outputs: dict[str, Tensor], batch: dict[str, Tensor]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """splatfacto's metrics, without LPIPS where its network can't be had."""
        metrics, images = super().get_image_metrics_and_images(outputs, batch)
        if metrics["lpips"] != metrics["lpips"]:
            del metrics["lpips"]
        return metrics, images


def at_places(
    maps_HWF: Float[Tensor, "h w f"], places_R2: Float[Tensor, "r 2"]
) -> Float[Tensor, "r f"]:
    """Reads maps bilinearly at places, (x, y) as shares of the picture."""
    found_1FR1 = nn.functional.grid_sample(
        maps_HWF.permute(2, 0, 1)[None],
        (places_R2 * 2 - 1)[None, :, None],
        padding_mode="border",
        align_corners=False,
    )
    return found_1FR1[0, :, :, 0].T


def linear_at(
    head: nn.Linear,
    hidden_HWF: Float[Tensor, "h w f"],
    covered_R1: Float[Tensor, "r 1"],
    places_R2: Float[Tensor, "r 2"],
) -> Float[Tensor, "r d"]:
    """A linear head on rasterised hidden vectors: A sum(w h) + b sum(w)."""
    hidden_RF = at_places(hidden_HWF, places_R2)
    return nn.functional.linear(hidden_RF, head.weight) + covered_R1 * head.bias
