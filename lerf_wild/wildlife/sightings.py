"""Placed animals in rendered views as the observations of a Camtrap DP package.

Symbols: H, W rows and columns of a view. Camera axes are OpenGL's: x right, y up, looking along -z.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from lerf_wild.animals.species import species_named
from lerf_wild.assets.library import Library
from lerf_wild.export.camtrap_dp import TAXA, Sighting
from lerf_wild.wildlife.coco import MIN_PIXELS, box_of
from lerf_wild.wildlife.items import Item

CARNIVORES = "Carnivora"


def kind_of(item: Item, library: Library) -> str | None:
    """Which kind of animal an item is, as the packages name it; None for what is none."""
    if item.animal is not None:
        is_hunter = species_named(item.animal.species).order == CARNIVORES
        return "carnivore" if is_hunter else "herbivore"
    entry = library.entries.get(str(item.asset))
    return entry.kind if entry is not None and entry.kind in TAXA else None


def sighting_of(
    item: Item, kind: str, mask_HW: Bool[np.ndarray, "H W"], middle_3: Float[np.ndarray, "3"]
) -> Sighting | None:
    """What a view says of an item; None where it shows hardly any of it.

    Args:
        item: The item.
        kind: What `kind_of` says.
        mask_HW: Where it shows.
        middle_3: Its middle in camera axes, metres.
    """
    if int(mask_HW.sum()) < MIN_PIXELS:
        return None
    rows, columns = mask_HW.shape
    left, top, width, height = box_of(mask_HW)
    box = (left / columns, top / rows, (left + width) / columns, (top + height) / rows)
    across, forward = float(middle_3[0]), -float(middle_3[2])
    angle_deg = float(np.degrees(np.arctan2(across, forward)))
    comment = f"{item.id}: {item.what}, {item.height_m:.2f} m high, placed in the scene"
    return Sighting(kind, float(np.hypot(across, forward)), angle_deg, box, None, comment)
