"""What items look like to an encoder: embeddings of each look from several sides, near and far.

Symbols: I items, V sides, Z distances, D embedding dimensions, P phrases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lerf_wild.assets.mesh import Asset
from lerf_wild.assets.templates import TemplateSpec, render_templates
from lerf_wild.language.encoders import ImageTextEncoder
from lerf_wild.language.relevancy import Query, relevancy
from lerf_wild.render.light import to_srgb
from lerf_wild.storage.cache import FeatureCache, content_key, default_cache_root
from lerf_wild.wildlife.looks import Look

SIDES = 12
FILLS = (0.86, 0.55)
"""Share of a tile that the item fills: close by, and with something around it."""
CROP = 0.62
"""A third distance: the middle of the closest picture."""
DISTANCES = len(FILLS) + 1


@dataclass(frozen=True)
class Likeness:
    """Embeddings of all items of a scene, in the order of its items."""

    units_IVZD: Float[Tensor, "i v z d"]

    def relevancy(self, query: Query) -> Float[Tensor, "i p"]:
        """Relevancy of each item, from the side and at the distance that fit each phrase best.

        What a field says of a place does not hang on where one looks from either.
        """
        dim = query.embeddings_PD.shape[-1]
        if self.units_IVZD.shape[0] == 0:
            return torch.zeros(0, len(query.phrases))
        units = self.units_IVZD.to(query.embeddings_PD).reshape(-1, dim)
        found = relevancy(units, query).view(*self.units_IVZD.shape[:3], -1)
        return found.amax(dim=(1, 2))


def likeness_of(looks: Sequence[Look], encoder: ImageTextEncoder) -> Likeness:
    """Embeddings of looks; each look is drawn once and then kept in the cache folder."""
    if not looks:
        return Likeness(torch.zeros(0, SIDES, DISTANCES, encoder.dim))
    kept = FeatureCache(default_cache_root())
    rows = {}
    for look in looks:
        if look.key not in rows:
            rows[look.key] = _row(look, encoder, kept)
    return Likeness(torch.stack([rows[look.key] for look in looks]))


def _row(look: Look, encoder: ImageTextEncoder, kept: FeatureCache) -> Tensor:
    specs = [TemplateSpec(yaws=SIDES, fill=fill) for fill in FILLS]
    size = encoder.image_size
    described = [spec.described(size) for spec in specs]
    about = {"look": look.key, "encoder": encoder.identity, "crop": CROP, "specs": described}
    key = content_key(about)
    like = {"sides": ((SIDES, DISTANCES, encoder.dim), torch.float16)}
    found = kept.get(key, like)
    if found is None:
        found = {"sides": _drawn(look, encoder, specs, size).half().contiguous()}
        kept.put(key, found, {"encoder": encoder.identity})
    return found["sides"].float()


def _drawn(
    look: Look, encoder: ImageTextEncoder, specs: Sequence[TemplateSpec], size: int
) -> Tensor:
    colours = to_srgb(look.albedo_V3)
    height = float(look.vertices_V3[:, 2].max())
    asset = Asset("item", "item", ("item",), look.vertices_V3, look.faces_F3, colours, height)
    sharp = 2 * size
    pictures = [_tensor(render_templates(asset, sharp, spec)) for spec in specs]
    margin = round(sharp * (1.0 - CROP) / 2)
    pictures.append(pictures[0][:, :, margin : sharp - margin, margin : sharp - margin])
    batches = [encoder.encode_images(one.to(encoder.device)).cpu() for one in pictures]
    return torch.stack(batches, dim=1)


def _tensor(pictures_BHW3: np.ndarray) -> Tensor:
    return torch.from_numpy(pictures_BHW3).permute(0, 3, 1, 2).float() / 255.0
