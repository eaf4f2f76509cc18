"""nerfacto with a language field: colours as before, and where phrases are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle, RaySamples
from nerfstudio.data.scene_box import OrientedBox, SceneBox
from nerfstudio.field_components.spatial_distortions import SceneContraction
from nerfstudio.models.nerfacto import NerfactoModel
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor, nn

from lerf_wild.errors import EncoderError
from lerf_wild.language.encoders import ImageTextEncoder
from lerf_wild.language.relevancy import Query, make_query
from lerf_wild.live.painting import paint
from lerf_wild.live.question import Question, plain_question
from lerf_wild.methods.lerf_wild.compositing import composite
from lerf_wild.methods.lerf_wild.config import LerfWildModelConfig
from lerf_wild.methods.lerf_wild.datamanager import TILE_ANGLE, image_angles
from lerf_wild.methods.lerf_wild.field import render_linear, safe_normalise
from lerf_wild.methods.lerf_wild.hash_grid import use_fast_lookup
from lerf_wild.methods.lerf_wild.live_views import PAINTED, LiveViews
from lerf_wild.methods.lerf_wild.parts import (
    KeptCounter,
    TappedDepth,
    implementation,
    language_field,
)
from lerf_wild.methods.lerf_wild.perceptual import lazy_perceptual_metric
from lerf_wild.methods.lerf_wild.scale_search import TopSamples, fold_query, log_spaced_sizes
from lerf_wild.methods.lerf_wild.view_grid import (
    GRID_CELLS,
    counts_at,
    enough_views,
    views_per_cell,
)
from lerf_wild.methods.lerf_wild.view_query import (
    answer_view,
    choose_sizes,
    plain_view,
    relevancy_at,
)

RANGE_MEMORY = 0.98
"""Share of the old value in the running range of tile sizes, a memory of some fifty steps."""


class LerfWildModel(NerfactoModel):
    """Nerfacto and a language field that is trained on, but never changes, its geometry."""

    config: LerfWildModelConfig

    def populate_modules(self) -> None:
        """Builds nerfacto, the language field and the buffers that queries need."""
        self.config.implementation = implementation(self.config.implementation)
        with lazy_perceptual_metric():
            super().populate_modules()
        self.renderer_expected_depth = TappedDepth(method="expected")
        needs = self.config.predict_normals or self.config.camera_optimizer.mode != "off"
        for part in (self.field, self.proposal_networks):
            use_fast_lookup(part, in_training=not needs)
        self.language = language_field(self.config)
        self.register_buffer("basis_range", torch.tensor([-6.0, 2.0]))
        self.register_buffer("size_range", torch.tensor([-6.0, 2.0]))
        self.register_buffer("min_views", torch.tensor(0))
        grid = torch.zeros(GRID_CELLS, GRID_CELLS, GRID_CELLS, dtype=torch.uint8)
        self.register_buffer("view_counts", grid)
        self._question: Question | None = None
        self._batch_sizes: tuple[Query, Tensor] | None = None
        self._encoder_source: Callable[[], ImageTextEncoder] | None = None
        self._live: LiveViews | None = None

    def prepare_language(self, cameras: Cameras) -> None:
        """Takes from the training cameras what the field and its queries need to know of them."""
        angle = image_angles(cameras)
        # Tiles of 0.05 to 0.5 of the height, at a tenth of the scene's size to four times it.
        sizes = torch.stack([0.05 * angle.min() * 0.1, 0.5 * angle.max() * 4.0])
        self.basis_range.copy_(sizes.log2())
        self.size_range.copy_(sizes.log2())
        self.view_counts.copy_(views_per_cell(cameras, self.config.near_plane))
        self.min_views.fill_(enough_views(self.config.min_views, len(cameras)))

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
        self._follow_sizes(sizes_RK[:, 0])
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
        losses = super().get_loss_dict(outputs, batch, metrics_dict)
        if "clip" in outputs and "clip" in batch:
            valid = batch["clip_valid"].float()
            cosine = (outputs["clip"] * safe_normalise(batch["clip"])).sum(dim=-1)
            clip_loss = ((1 - cosine) * valid).sum() / valid.sum().clamp(min=1)
            losses["clip_loss"] = self.config.clip_loss_mult * clip_loss
            dino_loss = nn.functional.mse_loss(outputs["dino"], batch["dino"])
            losses["dino_loss"] = self.config.dino_loss_mult * dino_loss
        return losses

    @torch.no_grad()
    def _follow_sizes(self, sizes_R: Tensor) -> None:
        """Keeps the running range of the tile sizes that the training rays meet at surfaces."""
        quantiles = torch.tensor([0.02, 0.98], device=sizes_R.device)
        seen = torch.quantile(sizes_R.float().clamp(min=1e-9).log2(), quantiles)
        seen = seen.clamp(self.basis_range[0], self.basis_range[1])
        self.size_range.lerp_(seen, 1 - RANGE_MEMORY)

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
        with self._untouched_sampler():
            outputs = super().get_outputs(rays)
        weights, samples = self.renderer_expected_depth.take()
        return outputs, self._visible(self._top(samples, weights)[0])

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
        """The same samples without the weight of places that too few training views see."""
        is_seen = counts_at(self.view_counts, top.positions_RK3) >= self.min_views
        return TopSamples(top.positions_RK3, top.weights_RK * is_seen)

    def _contracted(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Positions in nerf units to the [0, 1] cube of the hash grids."""
        if self.config.disable_scene_contraction:
            return SceneBox.get_normalized_positions(positions, self.scene_box.aabb).clamp(0, 1)
        contract = SceneContraction(order=float("inf"))
        return ((contract(positions) + 2.0) / 4.0).clamp(0, 1)

    def _untouched_sampler(self) -> KeptCounter:
        return KeptCounter(self.proposal_sampler)

    # Queries.

    @property
    def query(self) -> Query | None:
        """The query that views are rendered with, or None."""
        question = self._question
        return None if question is None else question.query

    def attach_encoder(self, source: Callable[[], ImageTextEncoder]) -> None:
        """Names where the encoder comes from; it is loaded when the first phrase needs it."""
        self._encoder_source = source

    def encoder(self) -> ImageTextEncoder:
        """Loads the encoder of the training; raises EncoderError when it can't be had."""
        if self._encoder_source is None:
            raise EncoderError("This model has no encoder attached, so phrases can't be embedded.")
        encoder = self._encoder_source()
        trained_with = self.config.encoder_identity
        if trained_with and encoder.identity != trained_with:
            raise EncoderError(
                f"This run was trained with {trained_with}, but the encoder is {encoder.identity}."
                "\nMake the first one available, or train again."
            )
        return encoder

    def ask(self, question: Question | None) -> None:
        """Publishes a question, or none, in one step that a render thread can't see half of."""
        if question is None:
            self._question = None
            return
        dim = question.query.embeddings_PD.shape[-1]
        if dim != self.config.clip_dim:
            raise EncoderError(
                f"The query has {dim} dimensions, but this run was "
                f"trained with {self.config.clip_dim} ({self.config.encoder_identity})."
            )
        self._question = question.to(self.device)

    def set_query(self, query: Query | None) -> None:
        """Publishes a query, or none, in the usual colours."""
        self.ask(None if query is None else plain_question(query))

    def set_phrases(self, phrases: Sequence[str]) -> None:
        """Embeds and publishes phrases; none at all clears the query.

        Raises QueryError for phrases that can't be used and EncoderError when the encoder of
        the training can't be had.
        """
        self.set_query(make_query(phrases, self.encoder()) if phrases else None)

    def go_live(self) -> LiveViews:
        """From now on views of still cameras are kept, as a viewer wants it."""
        if self._live is None:
            self._live = LiveViews(self)
        return self._live

    def query_sizes(self) -> Float[Tensor, "s"]:
        """Tile sizes that a query tries, in nerf units."""
        return log_spaced_sizes(self.size_range, self.config.query_scales)

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
        return answer.outputs | _layers(rgb, answer.relevancy_HWP) | {PAINTED: painted}

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
        return _layers(outputs["rgb"], relevancy)

    @torch.no_grad()
    def language_at(
        self, points_N3: Float[Tensor, "n 3"], sizes_N: Float[Tensor, "n"]
    ) -> Float[Tensor, "n d"]:
        """Unit CLIP embeddings of points, with the tile size to look at, both in nerf units."""
        features = self.language.encode(self._contracted(points_N3))
        hidden = self.language.clip_hidden(
            self.language.clip_position_part(features),
            self.language.clip_scale_part(sizes_N, self.basis_range),
        )
        return safe_normalise(self.language.clip_head(hidden))

    def get_image_metrics_and_images(
        self, outputs: dict[str, Tensor], batch: dict[str, Tensor]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """nerfacto's metrics, without LPIPS where its network can't be had."""
        metrics, images = super().get_image_metrics_and_images(outputs, batch)
        if metrics["lpips"] != metrics["lpips"]:
            del metrics["lpips"]
        images.update({name: outputs[name] for name in outputs if name.startswith("composited_")})
        return metrics, images


def _layers(rgb: Tensor, relevancy: Float[Tensor, "*batch p"]) -> dict[str, Tensor]:
    layers = {}
    for index, one in enumerate(relevancy.split(1, dim=-1)):
        layers[f"relevancy_{index}"] = one
        layers[f"composited_{index}"] = composite(rgb, one)
    return layers
