"""Moving a viewer's camera to a place."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

FEW_SIZES = 4.0
"""Distance to a thing in its own sizes: close enough to know it, with some of its surroundings."""

NEAR_SHARE = 0.35
"""A camera comes no nearer than this share of the nearest photo's distance: there, the field has
seen nothing."""


def look_at_place(client: Any, peak_3: np.ndarray, size: float, cameras: Any, ratio: float) -> None:
    """Looks at a place (nerf frame) from the side that the capture has seen it from."""
    places_C3 = cameras.camera_to_worlds[:, :3, 3].cpu().numpy().astype(np.float64)
    looks_C3 = -cameras.camera_to_worlds[:, :3, 2].cpu().numpy().astype(np.float64)
    stand_3 = standpoint(np.asarray(peak_3, np.float64), size, places_C3, looks_C3)
    with client.atomic():
        client.camera.position = tuple(stand_3 * ratio)
        client.camera.look_at = tuple(np.asarray(peak_3, np.float64) * ratio)
    client.flush()


def standpoint(
    peak_3: Float[np.ndarray, "3"],
    size: float,
    places_C3: Float[np.ndarray, "C 3"],
    looks_C3: Float[np.ndarray, "C 3"],
) -> Float[np.ndarray, "3"]:
    """Returns where to stand: towards the camera that looks most directly at the place.

    Args:
        peak_3: what to look at.
        size: of what is looked at.
        places_C3: where the photos were taken from.
        looks_C3: unit directions in which they look.
    """
    towards_C3 = peak_3 - places_C3
    distance_C = np.linalg.norm(towards_C3, axis=1)
    straight_C = (towards_C3 * looks_C3).sum(axis=1) / np.maximum(distance_C, 1e-9)
    # Straight first; of those that are about as straight, the nearest.
    best = int(np.argmax(straight_C - 0.05 * distance_C / max(float(distance_C.mean()), 1e-9)))
    distance = float(np.clip(FEW_SIZES * size, NEAR_SHARE * distance_C[best], distance_C[best]))
    return peak_3 - towards_C3[best] / max(float(distance_C[best]), 1e-9) * distance
