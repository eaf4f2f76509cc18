"""LAS: what other readers find in it."""

from __future__ import annotations

import laspy
import numpy as np
import pytest

from lerf_wild.errors import ExportError
from lerf_wild.export.las import coordinate_step, write_cloud_las


@pytest.mark.parametrize("centre", [[0, 0, 0], [5e5, 5.4e6, 800]])
def test_round_trip_through_laspy(tmp_path, make_cloud, hard_names, centre):
    positions = np.random.default_rng(0).uniform(-20, 20, (50, 3)) + centre
    cloud = make_cloud(50, hard_names, positions_N3=positions)
    write_cloud_las(tmp_path / "a.las", cloud)
    las = laspy.read(tmp_path / "a.las")
    assert las.header.point_format.id == 7
    assert np.abs(las.xyz - positions).max() <= coordinate_step(positions) * 0.51
    np.testing.assert_array_equal(
        np.stack([las.red, las.green, las.blue]) // 257, cloud.colours_N3.T
    )
    extra = list(las.point_format.extra_dimension_names)
    scores = [name for name in extra if name.startswith("relevancy_")]
    assert len(scores) == len(set(scores)) == len(hard_names)
    for index, name in enumerate(scores):
        np.testing.assert_array_equal(las[name], cloud.relevancy_NP[:, index])
    np.testing.assert_array_equal(las["views"], cloud.views_N)
    np.testing.assert_array_equal(las["scale"], cloud.scale_N)
    np.testing.assert_array_equal(las["normal_z"], cloud.normals_N3[:, 2])
    np.testing.assert_allclose(las.intensity / 65535, cloud.best_N, atol=1e-5)


def test_steps_are_a_ten_millionth_of_the_extent_or_finer():
    for extent in (1e-3, 0.5, 12.0, 4e5):
        positions = np.array([[0, 0, 0], [extent, 0, 0]], dtype=np.float64)
        step = coordinate_step(positions)
        assert extent / step < 2**31
        assert step <= extent * 1e-7


def test_empty_and_bad_clouds(tmp_path, make_cloud):
    write_cloud_las(tmp_path / "empty.las", make_cloud(0, ("fox",)))
    assert len(laspy.read(tmp_path / "empty.las").points) == 0
    bad = make_cloud(2, ("fox",))
    bad.scale_N[0] = np.inf
    with pytest.raises(ExportError, match="not finite"):
        write_cloud_las(tmp_path / "bad.las", bad)
    assert [path.name for path in tmp_path.iterdir()] == ["empty.las"]


def test_laz_without_a_compressor_names_the_remedy(tmp_path, make_cloud, monkeypatch):
    monkeypatch.setattr(laspy.LazBackend, "detect_available", classmethod(lambda cls: ()))
    with pytest.raises(ExportError, match="pip install lazrs"):
        write_cloud_las(tmp_path / "a.laz", make_cloud(2, ("fox",)))
