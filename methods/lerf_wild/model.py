"""nerfacto with a language field: colours as before, and where phrases are."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle, RaySamples
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.models.nerfacto import NerfactoModel
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor, nn

from lerf_wild.language.relevancy import Query
from lerf_wild.live.painting import paint
from lerf_wild.methods.lerf_wild.asking import AskedModel, phrase_layers
from lerf_wild.methods.lerf_wild.config import LerfWildModelConfig
from lerf_wild.methods.lerf_wild.contraction import use_fast_contraction
from lerf_wild.methods.lerf_wild.datamanager import COLOUR_WEIGHT, TILE_ANGLE
from lerf_wild.methods.lerf_wild.field import render_linear, safe_normalise
from lerf_wild.methods.lerf_wild.hash_grid import use_fast_lookup
from lerf_wild.methods.lerf_wild.live_views import PAINTED, LiveViews
from lerf_wild.methods.lerf_wild.parts import (
    ColourLoss,
    KeptCounter,
    TappedDepth,
    implementation,
)
from lerf_wild.methods.lerf_wild.perceptual import lazy_perceptual_metric
from lerf_wild.methods.lerf_wild.scale_search import MIN_VISIBLE_SHARE, TopSamples, fold_query
from lerf_wild.methods.lerf_wild.view_query import (
    answer_view,
    choose_sizes,
    plain_view,
    relevancy_at,
)


class LerfWildModel(AskedModel, NerfactoModel):
    """Nerfacto and a language field that is trained on, but never changes, its geometry."""

    config: LerfWildModelConfig

    def populate_modules(self) -> None:
        """Builds nerfacto, the language field and the buffers that queries need."""
        self.config.implementation = implementation(self.config.implementation)
        with lazy_perceptual_metric():
            super().populate_modules()
        self.renderer_expected_depth = TappedDepth(method="expected")
        self.rgb_loss = ColourLoss()
        needs = self.config.predict_normals or self.config.camera_optimizer.mode != "off"
        for part in (self.field, self.proposal_networks):
            use_fast_lookup(part, in_training=not needs)
        use_fast_contraction(self.field, *self.proposal_networks)
        self.build_language()
        self._batch_sizes: tuple[Query, Tensor] | None = None
        self._live: LiveViews | None = None

    def near_distance(self) -> float:
        """Distance, in nerf units, from which on a camera sees anything."""
        return self.config.near_plane

    def get_param_groups(self) -> dict[str, list[nn.Parameter]]:
        """nerfacto's parameter groups and `language`."""
        groups = super().get_param_groups()
        groups["language"] = list(self.language.parameters())
        return groups

    # Training.

    def get_outputs(self, ray_bundle: RayBundle) -> dict[str, Any]:
        """nerfacto's outputs; in training also the rendered embeddings, else the answers."""
        if not self.training:
            query = self.query
            outputs, samples = self._shade_collided(ray_bundle)
            if query is not None:
                outputs.update(self._batch_answers(outputs, samples, query))
            return outputs
        outputs = super().get_outputs(ray_bundle)
        self.renderer_expected_depth.take()
        if TILE_ANGLE in ray_bundle.metadata:
            samples = outputs["ray_samples_list"][-1]
            angle = ray_bundle.metadata[TILE_ANGLE]
            outputs.update(self._embeddings(samples, outputs["weights_list"][-1], angle))
        return outputs

    def _embeddings(
        self, samples: RaySamples, weights: Tensor, angle_R1: Tensor
    ) -> dict[str, Tensor]:
        """Rendered CLIP and DINO vectors; gradients reach the language field only."""
        top, distances_RK = self._top(samples, weights)
        features = self.language.encode(top.positions_RK3)
        sizes_RK = angle_R1 * distances_RK
        self.follow_sizes(sizes_RK[:, 0])
        hidden = self.language.clip_hidden(
            self.language.clip_position_part(features),
            self.language.clip_scale_part(sizes_RK, self.basis_range),
        )
        clip = render_linear(self.language.clip_head, hidden, top.weights_RK)
        dino_hidden = self.language.dino_hidden(features)
        dino = render_linear(self.language.dino_head, dino_hidden, top.weights_RK)
        return {"clip": safe_normalise(clip.float()), "dino": dino.float()}

    def get_loss_dict(
        self, outputs: dict, batch: dict, metrics_dict: dict | None = None
    ) -> dict[str, Tensor]:
        """nerfacto's losses and, where the batch has targets, those of the language field."""
        self.rgb_loss.weight_R1 = batch.get(COLOUR_WEIGHT)
        losses = super().get_loss_dict(outputs, batch, metrics_dict)
        if "clip" in outputs and "clip" in batch:
            losses |= self.language_losses(outputs, batch)
        return losses

    def update_to_step(self, step: int) -> None:
        """Brings the proposal sampler to the state it had after a step, so that a resume agrees."""
        sampler = self.proposal_sampler
        since, last = 0, 0
        for past in range(step + 1):
            if since > sampler.update_sched(last) or last < 10:
                since = 0
            last = past
            since += 1
        sampler._step, sampler._steps_since_update = last, since

    # Geometry of rays.

    def shade(self, rays: RayBundle) -> tuple[dict[str, Tensor], TopSamples]:
        """nerfacto's outputs of rays and the samples that the language field needs of them."""
        return self._shade_collided(self.collider(rays))

    def top_samples(self, rays: RayBundle) -> TopSamples:
        """The samples that the language field needs, without the colour network."""
        with self._untouched_sampler():
            samples, _, _ = self.proposal_sampler(self.collider(rays), self.density_fns)
        density, _ = self.field.get_density(samples)
        return self._visible(self._top(samples, samples.get_weights(density))[0])

    def _shade_collided(self, rays: RayBundle) -> tuple[dict[str, Any], TopSamples]:
        outputs, weights, samples = self._marched(rays)
        weights = self._amended(rays, outputs, samples, weights)
        return outputs, self._visible(self._top(samples, weights)[0])

    def _marched(self, rays: RayBundle) -> tuple[dict[str, Any], Tensor, RaySamples]:
        """nerfacto's outputs, and the weights and samples that they were rendered from."""
        with self._untouched_sampler():
            outputs = super().get_outputs(rays)
        return (outputs, *self.renderer_expected_depth.take())

    def _amended(
        self, rays: RayBundle, outputs: dict[str, Any], samples: RaySamples, weights_RS1: Tensor
    ) -> Tensor:
        """A chance to put into the outputs what the field lacks; returns what weighs then."""
        return weights_RS1

    def _top(
        self, samples: RaySamples, weights_RS1: Tensor
    ) -> tuple[TopSamples, Float[Tensor, "r k"]]:
        """The heaviest samples of each ray and their distances, without gradients."""
        count = min(self.config.num_language_samples, weights_RS1.shape[1])
        weights_RK, index_RK = weights_RS1.detach()[..., 0].float().topk(count, dim=1)
        frustums = samples.frustums
        middle_RS = (frustums.starts + frustums.ends)[..., 0].detach() / 2
        distances_RK = middle_RS.gather(1, index_RK)
        rays = frustums.directions[:, :1].detach()
        positions_RK3 = frustums.origins[:, :1].detach() + rays * distances_RK[..., None]
        return TopSamples(self._contracted(positions_RK3), weights_RK), distances_RK

    def _visible(self, top: TopSamples) -> TopSamples:
        """The same samples without the weight of places that too few training views see.

        A ray that lies in such places for the most part, such as one into the sky, has none left.
        """
        seen_RK = top.weights_RK * self.is_seen(top.positions_RK3)
        share_R1 = seen_RK.sum(dim=1, keepdim=True) / top.weights_RK.sum(dim=1, keepdim=True)
        return TopSamples(top.positions_RK3, seen_RK * (share_R1 >= MIN_VISIBLE_SHARE))

    def _untouched_sampler(self) -> KeptCounter:
        return KeptCounter(self.proposal_sampler)

    # Queries.

    def go_live(self) -> LiveViews:
        """From now on views of still cameras are kept, as a viewer wants it."""
        if self._live is None:
            self._live = LiveViews(self)
        return self._live

    def get_outputs_for_camera(
        self, camera: Cameras, obb_box: OrientedBox | None = None
    ) -> dict[str, Tensor]:
        """Renders a camera; once live, from what was kept of it where that is possible."""
        if self._live is None or obb_box is not None:
            return super().get_outputs_for_camera(camera, obb_box)
        return self._live.layers(camera.to(self.device), self._question)

    @torch.no_grad()
    def get_outputs_for_camera_ray_bundle(self, camera_ray_bundle: RayBundle) -> dict[str, Tensor]:
        """Renders a view; with a query also `relevancy_i` and `composited_i` for each phrase."""
        question = self._question
        if question is None:
            return plain_view(self, camera_ray_bundle)
        try:
            answer = answer_view(self, camera_ray_bundle, question.query)
        except torch.OutOfMemoryError:
            CONSOLE.print(
                "The query needs more GPU memory than is free; showing colours alone. "
                "Lower --pipeline.model.eval-num-rays-per-chunk."
            )
            torch.cuda.empty_cache()
            return plain_view(self, camera_ray_bundle)
        rgb = answer.outputs["rgb"]
        painted = paint(rgb, answer.relevancy_HWP, question.look)
        return answer.outputs | phrase_layers(rgb, answer.relevancy_HWP) | {PAINTED: painted}

    def _batch_answers(
        self, outputs: dict[str, Tensor], samples: TopSamples, query: Query
    ) -> dict[str, Tensor]:
        """Answers for loose rays, as ns-export asks: sizes are chosen once, on the first batch."""
        folded = fold_query(query, self.language.clip_head)
        known = self._batch_sizes
        if known is None or known[0] is not query:
            known = (query, choose_sizes(self, next(iter(samples.chunks(4096))), folded))
            self._batch_sizes = known
        relevancy = relevancy_at(self, samples, folded, self.query_sizes(), known[1])
        relevancy = self.mixed_relevancy(outputs, relevancy, query)
        return phrase_layers(outputs["rgb"], relevancy)

    def get_image_metrics_and_images(
        self, outputs: dict[str, Tensor], batch: dict[str, Tensor]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """nerfacto's metrics, without LPIPS where its network can't be had."""
        metrics, images = super().get_image_metrics_and_images(outputs, batch)
        if metrics["lpips"] != metrics["lpips"]:
            del metrics["lpips"]
        images.update({name: outputs[name] for name in outputs if name.startswith("composited_")})
        return metrics, images
