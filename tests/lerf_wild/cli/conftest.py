"""A run of which only the coordinates work, for tests that need no weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lerf_wild.cli.runs import Run


def pytest_collection_modifyitems(items):
    """Warnings of nerfstudio and torchmetrics on current torch are no failures of ours."""
    from lerf_wild.methods.lerf_wild.pipeline import NOISE

    for item in items:
        if Path(__file__).parent in item.path.parents:
            for message in NOISE:
                item.add_marker(pytest.mark.filterwarnings(f"ignore:{message}"))


@pytest.fixture()
def plain_run(tmp_path) -> Run:
    """Returns a run whose frame is turned, moved and scaled against a world in half metres."""
    angle = 0.5
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    transform = np.concatenate([rotation, [[0.3], [-0.2], [1.0]]], axis=1)
    settings = SimpleNamespace(model=SimpleNamespace(encoder_identity="fake@1"))
    config = SimpleNamespace(experiment_name="wall", pipeline=settings)
    return Run(tmp_path / "config.yml", config, None, 99, transform, 0.25, 0.5)


@pytest.fixture()
def exit_code():
    """Returns a function that runs the command line and gives its exit code."""
    from lerf_wild import cli

    def run(*words: object) -> int:
        try:
            cli.main([str(word) for word in words])
        except SystemExit as stop:
            return stop.code or 0
        return 0

    return run
