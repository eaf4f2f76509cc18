"""A maker of small relevancy clouds."""

from __future__ import annotations

import numpy as np
import pytest

from lerf_wild.export.point_cloud import RelevancyCloud

HARD_NAMES = (
    "lynx",
    "bunny",
    "red fox",
    "blue jay",
    "green turtle",
    "grey wolf",
    "quartz and onyx",
    "Füchse",
    "🦊",
    "🦊🦊",
    "two\nlines",
    "end_header\nelement vertex 9",
    "a" * 200,
    "a" * 201,
    "red fox",
    "Red-Fox!",
    "x",
    "fallen log; mossy",
    '"quoted" \\ back',
    " padded ",
)


def build_cloud(points: int, phrases: tuple[str, ...], seed: int = 0, **changes) -> RelevancyCloud:
    """Returns a cloud of seeded random points whose coordinates are exact in float32."""
    generator = np.random.default_rng(seed)
    values = {
        "positions_N3": generator.uniform(-9, 9, (points, 3)).astype(np.float32).astype(np.float64),
        "normals_N3": generator.normal(size=(points, 3)).astype(np.float32),
        "colours_N3": generator.integers(0, 256, (points, 3), dtype=np.uint8),
        "relevancy_NP": generator.random((points, len(phrases)), dtype=np.float32),
        "scale_N": generator.random(points, dtype=np.float32),
        "views_N": generator.integers(0, 65536, points, dtype=np.uint16),
        "phrases": phrases,
        "canonical": ("object", "things; 100 %", "stuff", "texture"),
        "metadata": {"frame": "world", "meters_per_unit": 0.5, "encoder": "ViT-B-16 é\n"},
    }
    return RelevancyCloud(**(values | changes))


def assert_same(have: RelevancyCloud, expected: RelevancyCloud) -> None:
    """Compares two clouds exactly."""
    for name in ("positions_N3", "normals_N3", "colours_N3", "relevancy_NP", "scale_N", "views_N"):
        np.testing.assert_array_equal(getattr(have, name), getattr(expected, name), err_msg=name)
    assert have.phrases == expected.phrases
    assert have.canonical == expected.canonical
    assert dict(have.metadata) == dict(expected.metadata)


@pytest.fixture
def make_cloud():
    return build_cloud


@pytest.fixture
def same():
    return assert_same


@pytest.fixture
def hard_names():
    return HARD_NAMES
