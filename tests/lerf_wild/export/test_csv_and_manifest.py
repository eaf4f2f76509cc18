"""CSV and the side file."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from lerf_wild.errors import ExportError, InputError
from lerf_wild.export import csv_files
from lerf_wild.export.csv_files import write_cloud_csv
from lerf_wild.export.manifest import read_manifest, write_manifest


def test_csv_reads_back(tmp_path, make_cloud, monkeypatch):
    monkeypatch.setattr(csv_files, "_ROWS_AT_ONCE", 7)
    cloud = make_cloud(20, ("red fox", "log"))
    write_cloud_csv(tmp_path / "a.csv", cloud)
    with open(tmp_path / "a.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == [
        *("x", "y", "z", "nx", "ny", "nz", "red", "green", "blue"),
        *("relevancy_red_fox", "relevancy_log", "scale", "views"),
    ]
    assert len(rows) == 20
    np.testing.assert_allclose([float(row["x"]) for row in rows], cloud.positions_N3[:, 0])
    np.testing.assert_allclose(
        [float(row["relevancy_log"]) for row in rows], cloud.relevancy_NP[:, 1], atol=1e-6
    )
    assert [int(row["views"]) for row in rows] == cloud.views_N.tolist()
    cloud.positions_N3[3] = np.nan
    with pytest.raises(ExportError):
        write_cloud_csv(tmp_path / "b.csv", cloud)
    assert not (tmp_path / "b.csv").exists()


def test_manifest_round_trip(tmp_path, make_cloud):
    cloud = make_cloud(5, ("red fox", "🦊"))
    (tmp_path / "a.ply").write_bytes(b"abc")
    path = tmp_path / "relevancy.json"
    write_manifest(path, cloud, [tmp_path / "a.ply"], {"threshold": 0.5, "points": -1})
    content = read_manifest(path)
    assert content["points"] == 5
    assert content["threshold"] == 0.5
    assert content["frame"] == "world"
    assert [query["phrase"] for query in content["queries"]] == ["red fox", "🦊"]
    assert content["queries"][0]["column"] == "scalar_relevancy_red_fox"
    assert content["queries"][1]["maximum"] == float(cloud.relevancy_NP[:, 1].max())
    assert content["files"][0]["name"] == "a.ply"
    assert content["files"][0]["sha256"].startswith("ba7816bf")
    write_manifest(path, make_cloud(0, ("fox",)), [])
    assert read_manifest(path)["bounds"] is None


def test_manifest_refusals(tmp_path, make_cloud):
    path = tmp_path / "relevancy.json"
    cloud = make_cloud(2, ("fox",))
    for extra in ({"a": float("nan")}, {"a": object()}):
        with pytest.raises(ExportError, match="JSON"):
            write_manifest(path, cloud, [], extra)
    with pytest.raises(InputError):
        write_manifest(path, cloud, [tmp_path / "missing.ply"])
    assert not path.exists()
    for content in ([], {}, {"format": "other"}, {"format": "lerf_wild.relevancy"}):
        path.write_text(json.dumps(content))
        with pytest.raises(ExportError):
            read_manifest(path)
