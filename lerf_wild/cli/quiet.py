"""Keeps nerfstudio's chatter and its libraries' warnings out of our commands' output."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_nerfstudio() -> Iterator[None]:
    """Within the block nerfstudio prints nothing; errors are raised as ever."""
    with warnings.catch_warnings():
        # torch and nerfstudio tell each other, at import, what will change one day.
        for category in (FutureWarning, DeprecationWarning):
            warnings.simplefilter("ignore", category)
        from nerfstudio.utils.rich_utils import CONSOLE

        before = CONSOLE.quiet
        CONSOLE.quiet = True
        try:
            yield
        finally:
            CONSOLE.quiet = before
