from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lerf_wild.language.scale import metres_per_unit, tile_ratio_at, tile_size_world

positive = st.floats(0.1, 100)


def test_by_similar_triangles():
    # A 100 px tile at 10 units through a lens of 500 px spans 2 units.
    assert tile_size_world(0.2, 500, 10.0, 500.0) == pytest.approx(2.0)


def test_batches_with_cameras_of_their_own():
    size = tile_size_world(
        torch.tensor([0.1, 0.5]),
        torch.tensor([100.0, 200.0]),
        torch.tensor([3.0, 4.0]),
        torch.tensor([50.0, 400.0]),
    )
    torch.testing.assert_close(size, torch.tensor([0.6, 1.0]))


@given(positive, positive, positive, positive)
def test_inverse(ratio, height, distance, focal):
    size = tile_size_world(ratio, height, distance, focal)
    assert tile_ratio_at(size, height, distance, focal) == pytest.approx(ratio)


def test_metres():
    # A capture in centimetres that was shrunk to a twentieth: one unit is 20 cm.
    assert metres_per_unit(0.01, 0.05) == pytest.approx(0.2)
