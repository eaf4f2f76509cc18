from __future__ import annotations

import numpy as np
import pytest

from lerf_wild.language.lerf_ovs import box_filter, majority, ovs_is_hit, ovs_mask


def majority_slowly(mask):
    height, width = mask.shape
    result = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            window = mask[
                max(0, y - 3) : min(y + 4, height - 1), max(0, x - 3) : min(x + 4, width - 1)
            ]
            result[y, x] = window.sum() > window.size - window.sum()
    return result


@pytest.mark.parametrize("shape", [(20, 30), (9, 9), (40, 12)])
def test_majority_agrees_with_loops(shape):
    mask = np.random.default_rng(0).random(shape) < 0.5
    assert np.array_equal(majority(mask), majority_slowly(mask))


def test_box_filter_is_that_of_opencv():
    cv2 = pytest.importorskip("cv2")
    image = np.random.default_rng(0).random((70, 50))
    kernel = np.ones((30, 30)) / 900
    np.testing.assert_allclose(box_filter(image), cv2.filter2D(image, -1, kernel), atol=1e-12)


def blob(y, x, height=1.0, shape=(80, 100), radius=15):
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return height * np.exp(-((rows - y) ** 2 + (cols - x) ** 2) / (2 * radius**2))


def test_hit_of_the_best_level():
    levels = np.stack([blob(20, 20, 0.6), blob(50, 70, 0.9)])
    assert ovs_is_hit(levels, np.array([[60, 40, 80, 60]]))
    assert not ovs_is_hit(levels, np.array([[10, 10, 30, 30]]))


def test_mask_of_the_best_level_surrounds_its_peak():
    levels = np.stack([blob(20, 20, 0.6), blob(50, 70, 0.9)])
    mask = ovs_mask(levels)
    assert mask[50, 70]
    assert not mask[20, 20]
    assert 0.01 < mask.mean() < 0.3


def test_a_flat_map_has_no_mask():
    assert not ovs_mask(np.full((1, 40, 40), 0.7)).any()
