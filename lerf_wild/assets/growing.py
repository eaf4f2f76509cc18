"""New individuals for the library by the project's own growers: no network, seconds each.

A seed decides the species, the individual and its coat, so that the same seed grows the same asset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from lerf_wild.assets import catalogue
from lerf_wild.assets.asset_files import Description, checked_kind
from lerf_wild.assets.habits import HABITS, grow_species
from lerf_wild.assets.mesh import Asset, scaled
from lerf_wild.assets.painting import Coat, painted
from lerf_wild.errors import AssetError

SOURCES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "bird": ("egret", "raven", "flamingo", "mallard"),
        "carnivore": ("red fox", "grey wolf", "brown bear", "leopard"),
        "herbivore": (
            "wild boar", "red deer", "roe deer fawn", "zebra", "rabbit", "sheep", "cow",
            "white horse",
        ),
        "shrub": ("hazel", "broom", "rhododendron", "thorn bush", "shrub", "berry bush"),
        "rock": ("grey rock", "mossy rock", "sandstone", "snowy rock"),
        "tree": ("acacia", "poplar", "willow", "maple", "cherry tree", "oak tree", "birch tree"),
    }
)  # fmt: skip
"""Kind -> species that it is grown from; trees and most shrubs by space colonisation."""
COATS: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "rust": (168, 84, 40), "sand": (204, 172, 118), "slate": (92, 100, 116),
        "cream": (226, 214, 186), "umber": (96, 66, 44), "charcoal": (54, 52, 54),
        "olive": (118, 122, 66), "amber": (214, 150, 50), "plum": (122, 70, 104),
    }
)  # fmt: skip
"""Names and sRGB colours of the coats that new individuals come in."""


def grow_own(kind: str, seed: int, name: str | None = None) -> tuple[Asset, Description]:
    """Grow one new individual of a kind.

    Args:
        kind: One of the six kinds.
        seed: Decides everything.
        name: What to call it; species, coat and seed when None.

    Raises:
        AssetError: for another kind or a negative seed.
    """
    sources = SOURCES[checked_kind(kind)]
    if seed < 0:
        raise AssetError(f"A seed is 0 or more, not {seed}.")
    rng = np.random.default_rng([seed, list(SOURCES).index(kind), 0x6120])
    source = str(rng.choice(sources))
    colour = str(rng.choice(list(COATS)))
    grown = grow_species(source, rng) if source in HABITS else catalogue.grow(source, rng)
    where = "leaves" if kind in ("tree", "shrub") else "all"
    coat = Coat(COATS[colour], where, contrast=0.75, strength=float(rng.uniform(0.6, 0.95)))
    asset = scaled(painted(grown, coat), grown.height_m * float(rng.uniform(0.85, 1.2)))
    asset = replace(asset, name=name or f"{source.replace(' ', '_')}_{colour}_{seed}", kind=kind)
    phrases = (f"{colour} {source}", source, kind)
    provenance = {"source": "lerf_wild.assets.growing", "species": source, "seed": seed}
    return asset, Description(kind, source, phrases, "Apache-2.0", provenance)
