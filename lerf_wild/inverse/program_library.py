"""What the user has added to the library, joined to a reader's templates without any training.

Pictures of an asset are kept by content, so that `assets add` draws them once; embeddings are kept
by content and reader.

Symbols: Y yaws, S side of a crop, A length of an embedding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lerf_wild.assets.library import Entry, Library
from lerf_wild.assets.library_assets import entry_asset
from lerf_wild.errors import CacheError
from lerf_wild.inverse.program_crops import CROP, CropNetwork
from lerf_wild.inverse.program_matching import TemplateBank
from lerf_wild.inverse.program_templates import (
    WIDTH,
    YAWS,
    Templates,
    network_embed,
    template_pictures,
    templates_of,
)
from lerf_wild.storage.cache import FeatureCache, content_key, default_cache_root

VERSION = 1
"""Raise it when templates are drawn otherwise."""
EMBEDDING_VERSION = 3
"""Raise it when they are embedded otherwise."""
OnAsset = Callable[[Entry], None]


def draw_added(library: Library, on_asset: OnAsset = lambda entry: None) -> None:
    """Draws the templates of what was added, so that the next reader finds them drawn.

    Raises:
        AssetError: for a mesh that can't be read.
    """
    kept = FeatureCache(default_cache_root())
    for entry in library.added():
        pictures_of(entry, YAWS, kept)
        on_asset(entry)


def joined_templates(
    templates: Templates, library: Library, network: CropNetwork, reader_key: str
) -> Templates:
    """A reader's templates and those of what was added to the library.

    Args:
        templates: What the reader brings along.
        library: Where added assets are; those whose names the reader has already are left out.
        network: The reader's network of crops.
        reader_key: Tells this network from others.

    Raises:
        AssetError: for a mesh that can't be read.
    """
    kept = FeatureCache(default_cache_root())
    yaws = templates.embedding_MYA.shape[1]
    for entry in library.added():
        if entry.name not in templates.names:
            one = _templates_of(entry, yaws, network, reader_key, kept)
            templates = concatenated(templates, one)
    return templates


def pictures_of(entry: Entry, yaws: int, kept: FeatureCache) -> tuple[Tensor, Tensor]:
    """Crops (Y, 3, S, S) and masks (Y, S, S) of an asset in 0-1, drawn or read from the cache."""
    key = content_key({"asset": entry.key, "kind": "reader pictures", "v": VERSION, "yaws": yaws})
    like = {
        "rgb": ((yaws, 3, CROP, CROP), torch.uint8),
        "mask": ((yaws, CROP, CROP), torch.uint8),
    }
    found = kept.get(key, like)
    if found is None:
        angles = np.arange(yaws) * (2 * np.pi / yaws)
        drawn = template_pictures(entry_asset(entry), angles)
        found = {name: (255 * part).round().to(torch.uint8) for name, part in zip(like, drawn)}
        _keep(kept, key, found, entry)
    return found["rgb"].float() / 255.0, found["mask"].float() / 255.0


def _templates_of(
    entry: Entry, yaws: int, network: CropNetwork, reader_key: str, kept: FeatureCache
) -> Templates:
    rgb, mask = pictures_of(entry, yaws, kept)
    key = content_key(
        {"asset": entry.key, "reader": reader_key, "v": EMBEDDING_VERSION, "yaws": yaws}
    )
    found = kept.get(key, {"embedding": ((yaws, WIDTH), torch.float32)})
    if found is None:
        found = {"embedding": network_embed(network)(rgb).float().cpu()}
        _keep(kept, key, found, entry)
    return templates_of([entry_asset(entry)], rgb[None], mask[None], lambda _: found["embedding"])


def _keep(kept: FeatureCache, key: str, tensors: dict[str, Tensor], entry: Entry) -> None:
    # A cache folder that can't be written costs time, no more.
    with contextlib.suppress(CacheError):
        kept.put(key, tensors, {"asset": entry.name})


def concatenated(first: Templates, second: Templates) -> Templates:
    """The templates of two libraries by one reader."""
    bank = TemplateBank(
        torch.cat([first.bank.rgb_MY3SS, second.bank.rgb_MY3SS]),
        torch.cat([first.bank.mask_MYSS, second.bank.mask_MYSS]),
    )
    return replace(
        first,
        names=first.names + second.names,
        kind_M=torch.cat([first.kind_M, second.kind_M]),
        height_M=torch.cat([first.height_M, second.height_M]),
        embedding_MYA=torch.cat([first.embedding_MYA, second.embedding_MYA]),
        bank=bank,
    )
