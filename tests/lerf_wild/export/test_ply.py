"""PLY: exact round trips, other programs' readers, hostile names and hostile files."""

from __future__ import annotations

import errno
import os
import tracemalloc

import numpy as np
import plyfile
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lerf_wild.errors import ExportError
from lerf_wild.export.ply import read_cloud, read_vertices, write_cloud

COLUMNS = ["x", "y", "z", "nx", "ny", "nz", "red", "green", "blue", "quality"]
PHRASES = st.lists(st.text(max_size=60), min_size=1, max_size=6).map(tuple)


def guess_roles(columns: list[str]) -> dict[str, str]:
    """CloudCompare's guess of what each vertex column is, from its PLY reader's rules."""
    roles: dict[str, str] = {}
    tests = [
        ("nx", lambda name: "NX" in name or ("NORM" in name and name.endswith("X"))),
        ("ny", lambda name: "NY" in name or ("NORM" in name and name.endswith("Y"))),
        ("nz", lambda name: "NZ" in name or ("NORM" in name and name.endswith("Z"))),
        ("red", lambda name: "RED" in name),
        ("green", lambda name: "GREEN" in name),
        ("blue", lambda name: "BLUE" in name),
    ]
    ends = [("x", "X"), ("y", "Y"), ("z", "Z")]
    for column in columns:
        name = column.upper()
        role = next((role for role, fits in tests if role not in roles and fits(name)), None)
        if role is None and any(word in name for word in ("INTENSITY", "GRAY", "GREY", "SCAL")):
            role = f"scalar field {column}"
        if role is None:
            role = next((r for r, end in ends if r not in roles and name.endswith(end)), None)
        if role is not None:
            roles[role] = column
    return roles


def header_of(path) -> list[str]:
    return path.read_bytes().split(b"end_header\n")[0].decode("ascii").splitlines()


def test_columns_in_order_and_exact_round_trip(tmp_path, make_cloud, same, hard_names):
    cloud = make_cloud(17, hard_names)
    write_cloud(tmp_path / "a.ply", cloud)
    same(read_cloud(tmp_path / "a.ply"), cloud)
    names = [line.split()[2] for line in header_of(tmp_path / "a.ply") if "property" in line]
    assert names[:10] == COLUMNS
    assert names[-2:] == ["scalar_scale", "scalar_views"]
    assert all(name.startswith("scalar_relevancy_") for name in names[10:-2])
    assert len(names) == 12 + len(hard_names)


def test_headers_cannot_be_broken_out_of(tmp_path, make_cloud, hard_names):
    write_cloud(tmp_path / "a.ply", make_cloud(2, hard_names))
    lines = header_of(tmp_path / "a.ply")
    assert sum(line.startswith("element") for line in lines) == 1
    assert all(line.isascii() and line.isprintable() and len(line) < 1000 for line in lines)


def test_cloudcompare_guesses_every_role_right(tmp_path, make_cloud, hard_names):
    write_cloud(tmp_path / "a.ply", make_cloud(2, hard_names))
    names = [line.split()[2] for line in header_of(tmp_path / "a.ply") if "property" in line]
    roles = guess_roles(names)
    for column in COLUMNS[:9]:
        assert roles[column] == column
    assert sum(role.startswith("scalar field") for role in roles) == len(hard_names) + 2
    # Without the columns in front the guess goes wrong, which is why they are always written.
    assert guess_roles(["x", "y", "z", "scalar_relevancy_lynx"])["nx"] == "scalar_relevancy_lynx"


@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(phrases=PHRASES, points=st.integers(0, 20), seed=st.integers(0, 1000))
def test_round_trips_through_all_readers(tmp_path, make_cloud, same, phrases, points, seed):
    path = tmp_path / "a.ply"
    cloud = make_cloud(points, phrases, seed)
    write_cloud(path, cloud)
    same(read_cloud(path), cloud)
    vertex = plyfile.PlyData.read(path)["vertex"].data
    mesh_metadata = trimesh.load(path, process=False).metadata if points else None
    tables = [vertex] + (
        [mesh_metadata["_ply_raw"]["vertex"]["data"]] if mesh_metadata is not None else []
    )
    for table in tables:
        scores = [name for name in table.dtype.names if name.startswith("scalar_relevancy_")]
        for index, name in enumerate(scores):
            np.testing.assert_array_equal(table[name].ravel(), cloud.relevancy_NP[:, index])
        np.testing.assert_array_equal(table["quality"].ravel(), cloud.best_N)
        np.testing.assert_array_equal(table["z"].ravel(), cloud.positions_N3[:, 2])
        np.testing.assert_array_equal(table["scalar_views"].ravel(), cloud.views_N)


def test_geographic_coordinates_keep_a_tenth_of_a_millimetre(tmp_path, make_cloud):
    positions = np.random.default_rng(0).uniform(-50, 50, (100, 3)) + [5e5, 5.4e6, 800]
    write_cloud(tmp_path / "a.ply", make_cloud(100, ("fox",), positions_N3=positions))
    once = read_cloud(tmp_path / "a.ply")
    assert np.abs(once.positions_N3 - positions).max() < 1e-4
    write_cloud(tmp_path / "b.ply", once)
    np.testing.assert_array_equal(read_cloud(tmp_path / "b.ply").positions_N3, once.positions_N3)


def test_what_can_not_be_written_is_refused(tmp_path, make_cloud, monkeypatch):
    cloud = make_cloud(3, ("fox",))
    cloud.relevancy_NP[1] = np.nan
    far = make_cloud(2, ("fox",), positions_N3=np.array([[0, 0, 0], [1e200, 0, 0]]))
    refused = [
        cloud,
        far,
        make_cloud(3, ("fox",), metadata={"query": 1}),
        make_cloud(3, ("fox",), metadata={"a\nelement face 3": 1}),
        make_cloud(3, ("fox",), metadata={"scale": float("nan")}),
        make_cloud(3, ("fox",), metadata={"scale": object()}),
    ]
    for bad in refused:
        with pytest.raises(ExportError):
            write_cloud(tmp_path / "a.ply", bad)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExportError, match="No space left"):
        write_cloud(tmp_path / "a.ply", make_cloud(3, ("fox",)))
    assert not list(tmp_path.iterdir())


def test_files_cut_off_at_any_byte_are_refused(tmp_path, make_cloud):
    path = tmp_path / "a.ply"
    write_cloud(path, make_cloud(3, ("fox", "log")))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ExportError, match=r"a\.ply"):
            read_cloud(path)


def test_reads_foreign_files(tmp_path):
    path = tmp_path / "sparse.ply"
    path.write_text(
        "ply\nformat ascii 1.0\ncomment made elsewhere\nelement vertex 2\n"
        "property float x\nproperty float y\nproperty float z\nproperty uint8 red\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
        "0.5 1 2 255\n3 4 5 7\n3 0 1 1\n"
    )
    rows, comments = read_vertices(path)
    assert rows["x"].tolist() == [0.5, 3]
    assert rows["red"].tolist() == [255, 7]
    assert comments == ("made elsewhere",)
    table = np.array([(1.5, 2), (2.5, 3)], dtype=[("x", ">f8"), ("n", ">i2")])
    element = plyfile.PlyElement.describe(table, "vertex")
    plyfile.PlyData([element], byte_order=">").write(path)
    rows, _ = read_vertices(path)
    assert rows.tolist() == table.tolist()
    with pytest.raises(ExportError, match="not a relevancy cloud"):
        read_cloud(path)


BODY = "property float x\nproperty float y\nproperty float z\nend_header\n"
START = "ply\nformat binary_little_endian 1.0\n"
BOMBS = {
    "a billion": f"{START}element vertex 1000000000\n{BODY}",
    "a trillion": f"{START}element vertex 1000000000000\n{BODY}",
    "many digits": f"{START}element vertex {'9' * 400}\n{BODY}",
    "negative": f"{START}element vertex -1\n{BODY}",
    "ascii trillion": f"ply\nformat ascii 1.0\nelement vertex 1000000000000\n{BODY}1 2 3\n",
    "ascii short": f"ply\nformat ascii 1.0\nelement vertex 3\n{BODY}1 2 3\n1 2 3\n 4 5 \n",
    "ascii words": f"ply\nformat ascii 1.0\nelement vertex 1\n{BODY}one two three\n",
    "ascii nan": f"ply\nformat ascii 1.0\nelement vertex 1\n{BODY}nan 2 3\n",
    "twice": f"{START}element vertex 0\nproperty float x\nproperty float x\nend_header\n",
    "no end": f"{START}" + "comment more\n" * 200_000,
    "long line": f"{START}comment " + "x" * 3_000_000,
    "no format": f"ply\nelement vertex 0\n{BODY}",
    "odd format": f"ply\nformat binary_middle_endian 1.0\nelement vertex 0\n{BODY}",
    "no vertices": f"{START}end_header\n",
    "no properties": f"{START}element vertex 5\nend_header\n",
    "faces first": f"{START}element face 1\nproperty list uchar int i\nelement vertex 0\n{BODY}",
    "list in vertices": f"{START}element vertex 1\nproperty list uchar int i\nend_header\n",
    "unknown type": f"{START}element vertex 1\nproperty object x\nend_header\n",
    "not ply": "<html></html>",
    "empty": "",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_cost_nothing(tmp_path, name):
    path = tmp_path / "bomb.ply"
    path.write_text(BOMBS[name])
    tracemalloc.start()
    try:
        with pytest.raises(ExportError, match=r"bomb\.ply") as caught:
            read_vertices(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(str(caught.value).splitlines()) <= 2
    assert peak < 50e6


def test_nan_and_missing_files_are_refused(tmp_path, make_cloud):
    path = tmp_path / "a.ply"
    write_cloud(path, make_cloud(1, ("fox",)))
    data = bytearray(path.read_bytes())
    start = data.index(b"end_header\n") + len(b"end_header\n")
    data[start : start + 4] = np.float32(np.nan).tobytes()
    path.write_bytes(data)
    with pytest.raises(ExportError, match="NaN"):
        read_cloud(path)
    with pytest.raises(ExportError, match="No such file"):
        read_cloud(tmp_path / "missing.ply")


@pytest.mark.parametrize("comment", ["offset 1 2", "offset a b c", "offset nan 0 0"])
def test_damaged_offsets_are_refused(tmp_path, make_cloud, comment):
    path = tmp_path / "a.ply"
    write_cloud(path, make_cloud(1, ("fox",)))
    path.write_bytes(path.read_bytes().replace(b"offset 0.0 0.0 0.0", comment.encode()))
    with pytest.raises(ExportError, match="offset"):
        read_cloud(path)
