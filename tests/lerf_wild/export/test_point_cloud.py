"""The cloud's own rules: kinds, lengths, finiteness, column names."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerf_wild.errors import ExportError
from lerf_wild.export.point_cloud import coordinate_offset, slugs, without_non_finite


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("positions_N3", np.zeros((4, 3), np.float32)),
        ("positions_N3", np.zeros((4, 2))),
        ("normals_N3", np.zeros((3, 3), np.float32)),
        ("relevancy_NP", np.zeros((4, 1), np.float32)),
        ("views_N", np.zeros(4, np.int64)),
    ],
)
def test_wrong_arrays_are_refused(make_cloud, name, array):
    with pytest.raises(ExportError, match=name):
        make_cloud(4, ("fox", "log"), **{name: array})


def test_no_phrase_is_refused(make_cloud):
    with pytest.raises(ExportError, match="at least one phrase"):
        make_cloud(4, ())


def test_points_that_are_not_finite_are_dropped_and_counted(make_cloud):
    cloud = make_cloud(6, ("fox", "log"))
    cloud.positions_N3[0, 1] = np.nan
    cloud.normals_N3[1, 0] = np.inf
    cloud.relevancy_NP[2] = (np.inf, -np.inf)
    cloud.scale_N[3] = np.nan
    kept, dropped = without_non_finite(cloud)
    assert dropped == 4
    np.testing.assert_array_equal(kept.views_N, cloud.views_N[4:])
    assert kept.phrases == cloud.phrases
    assert without_non_finite(kept) == (kept, 0)


def test_slugs_of_hard_names(hard_names):
    result = slugs(hard_names)
    assert result[:6] == ("lynx", "bunny", "red_fox", "blue_jay", "green_turtle", "grey_wolf")
    assert result[7:10] == ("fuchse", "phrase_8", "phrase_9")
    assert result[14:16] == ("red_fox_2", "red_fox_3")


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.text(max_size=40) | st.sampled_from(["a", "a_2", "A!"]), max_size=60))
def test_slugs_are_unique_short_and_plain(phrases):
    for length in (24, 21):
        result = slugs(phrases, length)
        assert len(set(result)) == len(phrases)
        assert all(re.fullmatch(f"[a-z0-9_]{{1,{length}}}", slug) for slug in result)


def test_offsets_are_whole_and_only_used_far_away():
    near_N3 = np.array([[-5.5, 0, 1], [700, 2, 3]])
    assert not coordinate_offset(near_N3).any()
    far_N3 = near_N3 + [500_000.25, 5_400_000.5, 0]
    offset = coordinate_offset(far_N3)
    np.testing.assert_array_equal(offset, np.round(offset))
    assert np.abs((far_N3 - offset).astype(np.float32) - (far_N3 - offset)).max() < 1e-4
    assert not coordinate_offset(np.zeros((0, 3))).any()
