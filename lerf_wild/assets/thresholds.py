"""Below which score nothing in the library is like a query: frozen here, once for each encoder.

Found by `python -m lerf_wild.assets.calibration`, which looks at assets that are taken out of the
library before they are looked for. Encoders that are not named have no threshold: everything
counts as known until one is calibrated and passed on.
"""

from __future__ import annotations

from collections.abc import Mapping

PHOTO_THRESHOLDS: Mapping[str, float] = {"wild-clip": 0.887}
"""Encoder -> least cosine of a photo and its best template."""

WORD_THRESHOLDS: Mapping[str, float] = {"wild-clip": 0.476}
"""Encoder -> least score of words and their best asset."""

NOTHING_KNOWN = -1.0
"""Least cosine there is."""


def threshold_of(table: Mapping[str, float], identity: str) -> float:
    """The threshold of an encoder by its identity, such as "wild-clip@0123abcd"."""
    return table.get(identity.partition("@")[0], NOTHING_KNOWN)
