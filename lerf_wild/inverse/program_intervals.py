"""How far figures may be off: pictures are drawn anew, with repetition, many times (bootstrap).

Symbols: R draws. The objects of a picture are drawn with it, as they are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lerf_wild.inverse.program_evaluation import Record, figures_of

DRAWS = 400
"""The ends of an interval are then known to about a tenth of its width."""
CONFIDENCE = 0.95
Drawn = Mapping[str, NDArray[np.float64]]
"""Values (R,) of each figure."""


def redrawn(records: Sequence[Record], draws: int = DRAWS, seed: int = 0) -> Drawn:
    """Each figure of each draw. The same seed draws the same pictures of records of one length, so
    that differences between readers are those on the same pictures."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(records), size=(draws, len(records)))
    found = [figures_of([records[i] for i in row]) for row in rows]
    return {name: np.array([figures[name] for figures in found]) for name in found[0]}


def interval(values_R: NDArray[np.float64]) -> tuple[float, float]:
    """Where 95 % of the values are, as many below as above."""
    outside = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(values_R, [outside, 100 - outside])
    return float(low), float(high)
