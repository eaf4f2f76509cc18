"""The Infinigen pack: every file reads, bad files are refused with an AssetError."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from lerf_wild.assets import infinigen_pack
from lerf_wild.assets.infinigen_pack import (
    ENTRIES,
    FOLDER,
    infinigen_names,
    load_infinigen,
    read_coloured_glb,
)
from lerf_wild.errors import AssetError


def glb(path: Path, vertices: np.ndarray | None = None, colours: bool = True) -> Path:
    box = trimesh.creation.box()
    points = np.asarray(box.vertices) if vertices is None else vertices
    rgba = np.tile(np.uint8([10, 20, 30, 255]), (len(points), 1)) if colours else None
    trimesh.Trimesh(points, box.faces, vertex_colors=rgba, process=False).export(path)
    return path


def test_table_and_folder_agree() -> None:
    assert {path.stem for path in FOLDER.glob("*.glb")} == set(infinigen_names())
    assert len(infinigen_names()) == 33


@pytest.mark.parametrize("name", ENTRIES)
def test_natural_height(name: str) -> None:
    asset = load_infinigen(name)
    assert asset.height_m == ENTRIES[name].height_m
    assert asset.vertices_V3[:, 2].max() == pytest.approx(asset.height_m, abs=1e-4)


@pytest.mark.parametrize("name", [n for n in ENTRIES if ENTRIES[n].kind == "animal"])
def test_animals_look_along_x(name: str) -> None:
    """The head is the highest part of each animal of the pack, or of its front half."""
    vertices = load_infinigen(name).vertices_V3
    length = np.ptp(vertices[:, 0])
    assert length > np.ptp(vertices[:, 1])
    front = vertices[vertices[:, 0] > 0.25 * length]
    back = vertices[vertices[:, 0] < -0.42 * length]
    assert front[:, 2].max() > back[:, 2].max()


def test_y_up_becomes_z_up(tmp_path: Path) -> None:
    box = np.asarray(trimesh.creation.box().vertices) * [1.0, 5.0, 2.0]
    piece = read_coloured_glb(glb(tmp_path / "box.glb", box))
    np.testing.assert_allclose(np.ptp(piece.vertices_V3, axis=0), [1.0, 2.0, 5.0])
    assert piece.colours_V3[0].tolist() == [10, 20, 30]


def test_unknown_name_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="no Infinigen asset"):
        load_infinigen("../bird_1")
    with pytest.raises(AssetError, match="can't be read"):
        read_coloured_glb(tmp_path / "none.glb")


@pytest.mark.parametrize("keep", [0, 3, 11, 40, 400])
def test_truncated_file(tmp_path: Path, keep: int) -> None:
    short = tmp_path / "short.glb"
    short.write_bytes((FOLDER / "agave_1.glb").read_bytes()[:keep])
    with pytest.raises(AssetError):
        read_coloured_glb(short)


def test_values_out_of_range(tmp_path: Path) -> None:
    points = np.asarray(trimesh.creation.box().vertices).copy()
    points[0, 0] = np.inf
    with pytest.raises(AssetError):
        read_coloured_glb(glb(tmp_path / "inf.glb", points))


def test_file_without_colours(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="no colour"):
        read_coloured_glb(glb(tmp_path / "grey.glb", colours=False))


def test_size_caps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = glb(tmp_path / "box.glb")
    monkeypatch.setattr(infinigen_pack, "MAX_FACES", 4)
    with pytest.raises(AssetError, match="12 faces"):
        read_coloured_glb(path)
    monkeypatch.setattr(infinigen_pack, "MAX_BYTES", 16)
    with pytest.raises(AssetError, match="larger than"):
        read_coloured_glb(path)
