"""What every model with a language field does with phrases, whatever draws its pictures.

Symbols: N points, D CLIP dimensions, S tile sizes, R rays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import SceneBox
from torch import Tensor, nn

from lerf_wild.errors import EncoderError
from lerf_wild.language.encoders import ImageTextEncoder
from lerf_wild.language.relevancy import Query, make_query
from lerf_wild.live.question import Question, plain_question
from lerf_wild.methods.lerf_wild.compositing import composite
from lerf_wild.methods.lerf_wild.contraction import CubeContraction
from lerf_wild.methods.lerf_wild.datamanager import image_angles
from lerf_wild.methods.lerf_wild.field import safe_normalise
from lerf_wild.methods.lerf_wild.parts import language_field
from lerf_wild.methods.lerf_wild.scale_search import log_spaced_sizes
from lerf_wild.methods.lerf_wild.view_grid import (
    GRID_CELLS,
    counts_at,
    enough_views,
    uncontract,
    views_per_cell,
)

RANGE_MEMORY = 0.98
"""Share of the old value in the running range of tile sizes, a memory of some fifty steps."""


class AskedModel(nn.Module):
    """Mixed into a nerfstudio model: holds the language field, its encoder and the question."""

    config: Any

    def build_language(self) -> None:
        """Builds the language field and the buffers that queries need."""
        self.language = language_field(self.config)
        self.register_buffer("basis_range", torch.tensor([-6.0, 2.0]))
        self.register_buffer("size_range", torch.tensor([-6.0, 2.0]))
        self.register_buffer("min_views", torch.tensor(0))
        grid = torch.zeros(GRID_CELLS, GRID_CELLS, GRID_CELLS, dtype=torch.uint8)
        self.register_buffer("view_counts", grid)
        self._question: Question | None = None
        self._encoder_source: Callable[[], ImageTextEncoder] | None = None

    def prepare_language(self, cameras: Cameras) -> None:
        """Takes from the training cameras what the field and its queries need to know of them."""
        angle = image_angles(cameras)
        # Tiles of 0.05 to 0.5 of the height, at a tenth of the scene's size to four times it.
        sizes = torch.stack([0.05 * angle.min() * 0.1, 0.5 * angle.max() * 4.0])
        self.basis_range.copy_(sizes.log2())
        self.size_range.copy_(sizes.log2())
        counts = views_per_cell(cameras, self.near_distance(), to_nerf=self._uncontracted)
        self.view_counts.copy_(counts)
        self.min_views.fill_(enough_views(self.config.min_views, len(cameras)))

    def near_distance(self) -> float:
        """Distance, in nerf units, from which on a camera sees anything."""
        raise NotImplementedError

    def language_losses(
        self, outputs: dict[str, Tensor], batch: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Losses of rendered `clip` and `dino` vectors against those of the batch."""
        valid = batch["clip_valid"].float()
        cosine = (outputs["clip"] * safe_normalise(batch["clip"])).sum(dim=-1)
        clip_loss = ((1 - cosine) * valid).sum() / valid.sum().clamp(min=1)
        dino_loss = nn.functional.mse_loss(outputs["dino"], batch["dino"])
        return {
            "clip_loss": self.config.clip_loss_mult * clip_loss,
            "dino_loss": self.config.dino_loss_mult * dino_loss,
        }

    @torch.no_grad()
    def follow_sizes(self, sizes_R: Float[Tensor, "r"]) -> None:
        """Keeps the running range of the tile sizes that the training meets at surfaces."""
        quantiles = torch.tensor([0.02, 0.98], device=sizes_R.device)
        seen = torch.quantile(sizes_R.float().clamp(min=1e-9).log2(), quantiles)
        seen = seen.clamp(self.basis_range[0], self.basis_range[1])
        self.size_range.lerp_(seen, 1 - RANGE_MEMORY)

    def is_seen(self, positions: Float[Tensor, "*batch 3"]) -> Tensor:
        """Whether enough training views see contracted positions."""
        return counts_at(self.view_counts, positions) >= self.min_views

    def _contracted(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Positions in nerf units to the [0, 1] cube of the hash grids."""
        if self._has_box:
            aabb_23 = self.scene_box.aabb.to(positions)
            return SceneBox.get_normalized_positions(positions, aabb_23).clamp(0, 1)
        return ((CubeContraction()(positions) + 2.0) / 4.0).clamp(0, 1)

    def _uncontracted(self, positions_N3: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """The inverse of `_contracted`."""
        if not self._has_box:
            return uncontract(positions_N3)
        low_3, high_3 = self.scene_box.aabb.to(positions_N3)
        return low_3 + positions_N3 * (high_3 - low_3)

    @property
    def _has_box(self) -> bool:
        return getattr(self.config, "disable_scene_contraction", False)

    @property
    def clearings_version(self) -> int:
        """Changes whenever what the field shows is taken out somewhere, or comes back."""
        return 0

    @property
    def items_version(self) -> int:
        """Changes whenever what is placed in the scene does; nothing is, unless a model says so."""
        return 0

    def mixed_relevancy(
        self, outputs: dict[str, Tensor], relevancy: Float[Tensor, "*batch p"], query: Query
    ) -> Float[Tensor, "*batch p"]:
        """Relevancy of what rays show, given that of the field alone."""
        return relevancy

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

    def query_sizes(self) -> Float[Tensor, "s"]:
        """Tile sizes that a query tries, in nerf units."""
        return log_spaced_sizes(self.size_range, self.config.query_scales)

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


def phrase_layers(rgb: Tensor, relevancy: Float[Tensor, "*batch p"]) -> dict[str, Tensor]:
    """Outputs `relevancy_i` and `composited_i` for each phrase."""
    layers = {}
    for index, one in enumerate(relevancy.split(1, dim=-1)):
        layers[f"relevancy_{index}"] = one
        layers[f"composited_{index}"] = composite(rgb, one)
    return layers
