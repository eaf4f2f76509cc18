"""Looking for more of what was pointed at, as if it were a phrase.

A phrase's embedding q answers sigmoid(T (e.q - max_c e.c)). An embedding f that was picked in the
scene can't stand in for q directly: pictures are much closer to each other than to any text, so
every place would beat the canonical phrases. With m the mean embedding of the scene, the text-like
embedding q = a f + b m is chosen so that

    T (e.q - hardest)  =  LIKENESS (e.f - limit) / (1 - limit)

at e = f and at the places whose likeness e.f is just at the limit.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from lerf_wild.language.phrases import TEMPERATURE

LIKENESS = 2.2
"""Log odds of the place itself: a relevancy of 0.9."""

ALIKE_SHARE = 0.02
"""About how much of a scene may be taken for more of the same."""

MAX_LIMIT = 0.985


def more_like(
    picked_D: Float[np.ndarray, "D"],
    scene_VD: Float[np.ndarray, "V D"],
    canonical_CD: Float[np.ndarray, "C D"],
    temperature: float = TEMPERATURE,
) -> Float[np.ndarray, "D"]:
    """Returns an embedding that finds what looks like `picked_D`.

    Args:
        picked_D: unit embedding of the place.
        scene_VD: unit embeddings of the scene at the same size; rows of zeros are left out.
        canonical_CD: unit embeddings of the canonical phrases.
    """
    seen_VD = scene_VD[np.abs(scene_VD).sum(axis=1) > 0]
    if len(seen_VD) == 0:
        return picked_D
    alike_V = seen_VD @ picked_D
    limit = min(MAX_LIMIT, max(float(np.quantile(alike_V, 1 - ALIKE_SHARE)), 0.0))
    edge_D = seen_VD[int(np.abs(alike_V - limit).argmin())]
    mean_D = seen_VD.mean(axis=0)
    places_2D = np.stack([picked_D, edge_D])
    limit = float(edge_D @ picked_D)
    hardest_2 = (places_2D @ canonical_CD.T).max(axis=1)
    odds_2 = LIKENESS * (places_2D @ picked_D - limit) / max(1 - limit, 1e-3)
    system_22 = places_2D @ np.stack([picked_D, mean_D], axis=1)
    wanted_2 = hardest_2 + odds_2 / temperature
    weights_2 = np.linalg.lstsq(system_22, wanted_2, rcond=1e-6)[0]
    return (weights_2[0] * picked_D + weights_2[1] * mean_D).astype(np.float32)
