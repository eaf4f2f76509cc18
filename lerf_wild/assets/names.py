"""Names of assets that are not there: which of the known ones may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from lerf_wild.errors import AssetError

SHOWN = 40
"""Most characters of a wrong name that a message repeats."""


def nearest_names(name: str, known: Iterable[str], count: int = 3) -> tuple[str, ...]:
    """The known names that are spelled most like a name; blanks, `_` and case don't matter."""
    plain = {_plain(other): other for other in known}
    found = difflib.get_close_matches(_plain(name[:80]), plain, n=count, cutoff=0.0)
    return tuple(plain[text] for text in found)


def unknown_asset(name: str, known: Iterable[str]) -> AssetError:
    """The error for a name that the library lacks; one line, with the nearest names."""
    nearest = ", ".join(nearest_names(name, known))
    meant = f"nearest are {nearest}" if nearest else "it is empty"
    return AssetError(
        f"The library has no asset {name[:SHOWN]!r}; {meant} (all: `lerf-wild assets index`)."
    )


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ")
