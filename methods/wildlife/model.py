"""lerf-wild's model with opaque items among the samples of its rays.

Symbols: R rays, S samples of a ray, K rays through a pixel, I items, V sides, P phrases.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle, RaySamples
from nerfstudio.model_components.renderers import RGBRenderer
from torch import Tensor

from lerf_wild.language.relevancy import Query
from lerf_wild.methods.lerf_wild.live_views import weights_version
from lerf_wild.methods.lerf_wild.model import LerfWildModel
from lerf_wild.methods.wildlife.cleared_space import ClearedSpace, Detour
from lerf_wild.methods.wildlife.config import WildlifeModelConfig
from lerf_wild.methods.wildlife.item_field import FOREMOST, NUMBER, SHARE, ItemField
from lerf_wild.wildlife.clearings import ClearedGround
from lerf_wild.wildlife.compositing import mixed_answer

KEPT_BYTES = 128 << 20
"""Marched rays that a viewer keeps: some fifty thousand of 24 samples."""

Marched = tuple[dict[str, Any], Tensor, RaySamples, Tensor]
"""Outputs, weights, samples and their colours."""


class TappedColour(RGBRenderer):
    """The colour renderer, which also keeps the samples' colours."""

    _seen: Tensor | None = None

    def forward(self, rgb: Tensor, weights: Tensor, **kwargs: Any) -> Tensor:
        """Renders as nerfstudio does and remembers what it was given."""
        self._seen = rgb
        return super().forward(rgb, weights, **kwargs)

    def give(self, rgb: Tensor) -> None:
        """Remembers colours that were rendered before."""
        self._seen = rgb

    def take(self) -> Tensor:
        """Hands out and forgets the colours of the latest call."""
        seen, self._seen = self._seen, None
        assert seen is not None, "nothing was rendered"
        return seen


class KeptRays:
    """Marched rays of the latest views, up to a number of bytes."""

    def __init__(self, max_bytes: int = KEPT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, Marched] = OrderedDict()
        self._bytes = 0

    def key(self, rays: RayBundle, version: Hashable) -> Hashable:
        """What tells rays, and the weights that they are marched with, from others."""
        # A crop in the viewer changes where rays begin and end, and nothing else of them.
        parts = [rays.origins, rays.directions]
        parts += [part for part in (rays.nears, rays.fars) if part is not None]
        digest = hashlib.blake2b(digest_size=16)
        for part in parts:
            digest.update(part.detach().cpu().contiguous().numpy().tobytes())
        return digest.digest(), version

    def get(self, key: Hashable) -> Marched | None:
        """What was kept, or None."""
        return self._kept.get(key)

    def put(self, key: Hashable, marched: Marched) -> None:
        """Keeps rays; the oldest ones make room."""
        self._kept[key] = marched
        self._bytes += _bytes_of(marched)
        while self._bytes > self._max_bytes and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= _bytes_of(oldest)


def _bytes_of(marched: Marched) -> int:
    colours_RS3 = marched[3]
    # Colours are half of what a sample takes, with its weight and both of its ends.
    return 2 * colours_RS3.numel() * colours_RS3.element_size()


class WildlifeModel(LerfWildModel):
    """A trained field and the items that stand in it; without items it is lerf-wild's."""

    config: WildlifeModelConfig

    def populate_modules(self) -> None:
        """Builds lerf-wild's parts, with a renderer that tells the colours of samples."""
        super().populate_modules()
        self.renderer_rgb = TappedColour(background_color=self.config.background_color)
        # In a list, so that the items are no part of what is trained and saved.
        self._items: list[ItemField] = []
        self._detour = Detour(lambda: self._items[0].stage, self._cleared_ground)
        for part in (self.field, *self.proposal_networks):
            if part.spatial_distortion is not None:
                part.spatial_distortion = ClearedSpace(part.spatial_distortion, self._detour)
        self._kept_rays = KeptRays()
        self.keeps_rays = False
        """Whether marched rays are kept without a viewer too, for views that stand still."""

    def attach_items(self, items: ItemField) -> None:
        """Says what stands in the scene."""
        self._items = [items]

    @property
    def items(self) -> ItemField | None:
        """What stands in the scene."""
        return self._items[0] if self._items else None

    @property
    def clearings_version(self) -> int:
        """Changes whenever a place is cleared, or what stood there comes back."""
        return 0 if self.items is None else hash(self.items.shown().population.clearings)

    @property
    def items_version(self) -> int:
        """Changes whenever an item does."""
        return 0 if self.items is None else self.items.version

    def _cleared_ground(self) -> ClearedGround | None:
        return None if self.items is None or self.training else self.items.cleared_ground()

    def _contracted(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        if self._detour.is_needed:
            positions, _ = self._detour.of(positions)
        return super()._contracted(positions)

    def _marched(self, rays: RayBundle) -> tuple[dict[str, Any], Tensor, RaySamples]:
        """As lerf-wild; a viewer's still rays are marched once, however often items change."""
        if self.training or not (self.keeps_rays or self._live is not None):
            return super()._marched(rays)
        version = (weights_version(self), self.clearings_version)
        key = self._kept_rays.key(rays, version)
        kept = self._kept_rays.get(key)
        if kept is None:
            outputs, weights, samples = super()._marched(rays)
            kept = (outputs, weights, samples, self.renderer_rgb.take())
            self._kept_rays.put(key, kept)
        outputs, weights, samples, colours_RS3 = kept
        self.renderer_rgb.give(colours_RS3)
        return dict(outputs), weights, samples

    def _amended(
        self, rays: RayBundle, outputs: dict[str, Any], samples: RaySamples, weights_RS1: Tensor
    ) -> Tensor:
        colours_RS3 = self.renderer_rgb.take()
        blank_R1 = torch.zeros_like(outputs["accumulation"])
        outputs |= {name: blank_R1.clone() for name in (SHARE, FOREMOST, NUMBER)}
        if self.items is None or self.training:
            return weights_RS1
        return self.items.put_into(
            rays,
            outputs,
            samples,
            weights_RS1,
            colours_RS3,
            self.config.pixel_rays,
            self.config.item_shadows,
        )

    def mixed_relevancy(
        self, outputs: dict[str, Tensor], relevancy: Float[Tensor, "*batch p"], query: Query
    ) -> Float[Tensor, "*batch p"]:
        """Relevancy of field and items, by how much of each a ray shows."""
        items = self.items
        if items is None or SHARE not in outputs or not bool((outputs[SHARE] > 0).any()):
            return relevancy
        table_IP = items.likeness(self.encoder).relevancy(query)
        foremost = outputs[FOREMOST][..., 0].long().to(table_IP.device)
        found = table_IP[foremost.clamp(max=len(table_IP) - 1)].to(relevancy)
        share = outputs[SHARE].to(relevancy)
        field_share = (outputs["accumulation"].to(relevancy) - share).clamp(min=0)
        return mixed_answer(relevancy, found, field_share, share)
