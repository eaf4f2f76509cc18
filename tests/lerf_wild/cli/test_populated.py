"""Pictures of populated scenes: which view, and what is marked."""

from __future__ import annotations

import numpy as np

from lerf_wild.cli.populated import COLOURS, CUT, _whole, annotated


def test_an_item_that_a_border_cuts_counts_less():
    hits = np.full((6, 8), -1)
    hits[2:4, 3:5], hits[3:6, 6] = 0, 1
    assert _whole(hits, 3).tolist() == [1.0, CUT, 1.0]


def test_masks_are_tinted_and_framed_and_the_rest_is_dim():
    rgb = np.full((10, 12, 3), 100, np.uint8)
    numbers = np.zeros((10, 12), int)
    numbers[3:7, 4:9] = 2
    picture = annotated(rgb, numbers)
    assert (picture[3, 4:9] == COLOURS[2]).all() and (picture[3:7, 8] == COLOURS[2]).all()
    assert (picture[4:6, 5:8] != 100).any() and (picture[0] == 45).all()
