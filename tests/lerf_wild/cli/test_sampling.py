from __future__ import annotations

import torch

from lerf_wild.cli.sampling import BEST_VIEWS, best_sizes


def test_one_view_with_a_stray_peak_does_not_decide_the_size():
    peak_VSP = torch.full((20, 3, 1), 0.3)
    peak_VSP[:8, 1] = 0.8
    peak_VSP[15, 2] = 0.99
    assert best_sizes(peak_VSP).tolist() == [1]


def test_views_that_do_not_show_the_phrase_do_not_decide_either():
    peak_VSP = torch.zeros(20, 2, 1)
    peak_VSP[:5, 0] = 0.8
    peak_VSP[5:, 1] = 0.4
    assert best_sizes(peak_VSP).tolist() == [0]


def test_sizes_agree_with_a_plain_loop():
    peak_VSP = torch.rand(7, 5, 4, generator=torch.Generator().manual_seed(0))
    count = -(-7 * BEST_VIEWS // 1)
    for phrase, index in enumerate(best_sizes(peak_VSP).tolist()):
        means = []
        for size in range(5):
            ranked = sorted(peak_VSP[:, size, phrase].tolist(), reverse=True)
            means.append(sum(ranked[: int(count)]) / count)
        assert means.index(max(means)) == index


def test_a_single_view_is_enough():
    assert best_sizes(torch.tensor([[[0.1], [0.9], [0.2]]])).tolist() == [1]
