"""What third parties warn of on current torch; it is no failure of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

NERFSTUDIO_VIEWER = (
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore::UserWarning",
)
"""nerfstudio's viewer reads every attribute of every module, deprecated ones too."""


def let_pass(items, folder: Path, *rules: str) -> None:
    """Lets the tests below a folder run through nerfstudio's warnings, and those of more rules."""
    from lerf_wild.methods.lerf_wild.pipeline import NOISE

    for item in items:
        if folder in item.path.parents:
            for rule in (*(f"ignore:{message}" for message in NOISE), *rules):
                item.add_marker(pytest.mark.filterwarnings(rule))
