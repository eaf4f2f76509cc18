"""Keeps nerfstudio's chatter and its libraries' warnings out of our commands' output."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_nerfstudio() -> Iterator[None]:
    """Within the block nerfstudio prints nothing; errors are raised as ever.

    The warnings that its import raises, about what torch will change one day, stay switched off.
    """
    for category in (FutureWarning, DeprecationWarning):
        warnings.simplefilter("ignore", category)
    from nerfstudio.utils.rich_utils import CONSOLE

    before = CONSOLE.quiet
    CONSOLE.quiet = True
    try:
        yield
    finally:
        CONSOLE.quiet = before
