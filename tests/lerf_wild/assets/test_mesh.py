"""Pure functions on meshes and the small building blocks."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from lerf_wild.assets.mesh import Piece, finish, join, moved, normalise, recoloured, scaled
from lerf_wild.assets.shapes import blades, blob, disc, leaves, rotation, tints, tube
from lerf_wild.errors import AssetError


def ball(at: tuple[float, float, float] = (3.0, -2.0, 5.0)) -> Piece:
    return blob(at, (0.5, 0.4, 0.3), (200, 100, 50))


def test_normalise_stands_the_piece_on_the_ground() -> None:
    piece = normalise(ball())
    low, high = piece.vertices_V3.min(axis=0), piece.vertices_V3.max(axis=0)
    np.testing.assert_allclose(low[:2] + high[:2], 0.0, atol=1e-6)
    assert low[2] == 0.0
    assert high[2] == pytest.approx(0.6, abs=1e-5)


def test_normalise_drops_faces_without_area_and_unused_vertices() -> None:
    piece = ball()
    vertices = np.concatenate([piece.vertices_V3, np.float32([[9, 9, 9]])])
    colours = np.concatenate([piece.colours_V3, np.float32([[0, 0, 0]])])
    faces = np.concatenate([piece.faces_F3, np.int32([[0, 0, 1]])])
    clean = normalise(Piece(vertices, faces, colours))
    assert len(clean.vertices_V3) == len(piece.vertices_V3)
    assert len(clean.faces_F3) == len(piece.faces_F3)


def test_join_shifts_faces() -> None:
    both = join([ball(), ball((0.0, 0.0, 0.0))])
    half = len(both.vertices_V3) // 2
    np.testing.assert_array_equal(both.faces_F3[len(both.faces_F3) // 2 :] - half, ball().faces_F3)


def test_scaled_and_recoloured_leave_the_original_alone() -> None:
    asset = finish([ball()], "ball", "rock", ("ball",), {"source": "test"})
    big, dim = scaled(asset, 1.8), recoloured(asset, (0.5, 1.0, 9.0))
    assert (asset.height_m, big.height_m) == (pytest.approx(0.6, abs=1e-5), 1.8)
    assert big.vertices_V3[:, 2].max() == pytest.approx(1.8, abs=1e-5)
    assert dim.colours_V3[0].tolist() == [100, 100, 255]
    assert asset.colours_V3[0].tolist() == [200, 100, 50]


def test_finish_refuses_what_is_not_finite_or_empty() -> None:
    piece = ball()
    broken = Piece(piece.vertices_V3 * np.float32(np.nan), piece.faces_F3, piece.colours_V3)
    with pytest.raises(AssetError, match="not finite"):
        finish([broken], "ball", "rock", ("ball",), {})
    flat = Piece(piece.vertices_V3 * np.float32(0), piece.faces_F3, piece.colours_V3)
    with pytest.raises(AssetError, match="no faces"):
        finish([flat], "ball", "rock", ("ball",), {})


def test_moved_turns_then_shifts() -> None:
    point = Piece(np.float32([[1, 0, 0]]), np.zeros((0, 3), np.int32), np.zeros((1, 3), np.float32))
    turned = moved(point, rotation("z", np.pi / 2), (0, 0, 3))
    np.testing.assert_allclose(turned.vertices_V3, [[0, 1, 3]], atol=1e-6)


def test_tube_is_closed_and_faces_outwards() -> None:
    line = np.array([[0, 0, 0], [0.2, 0, 1], [0, 0.3, 2]])
    piece = tube(line, np.array([0.3, 0.2, 0.1]), (1, 2, 3), sides=9)
    mesh = trimesh.Trimesh(piece.vertices_V3, piece.faces_F3, process=False)
    assert mesh.is_watertight
    assert mesh.volume > 0.0


def test_disc_faces_its_axis() -> None:
    piece = disc((0, 0, 1), (0, 0, 1), 0.5, np.zeros((4, 3), np.float32))
    mesh = trimesh.Trimesh(piece.vertices_V3, piece.faces_F3, process=False)
    assert mesh.area == pytest.approx(np.pi * 0.25, rel=0.05)
    mesh.update_faces(mesh.area_faces > 1e-9)
    np.testing.assert_allclose(mesh.face_normals[:, 2], 1.0, atol=1e-6)


def test_leaves_look_up_and_have_their_length() -> None:
    rng = np.random.default_rng(0)
    ones = np.ones(5)
    along = np.tile([1.0, 0.0, 0.0], (5, 1))
    up = np.tile([0.0, 0.0, 1.0], (5, 1))
    piece = leaves(0 * along, along, 2 * ones, ones, tints(rng, 5, (90, 120, 40)), up, droop=0.0)
    np.testing.assert_allclose(np.ptp(piece.vertices_V3[:, 0]), 2.0, rtol=1e-6)
    normals = trimesh.Trimesh(piece.vertices_V3, piece.faces_F3, process=False).face_normals
    np.testing.assert_allclose(normals[:, 2], 1.0, atol=1e-6)


def test_blades_end_at_their_tips() -> None:
    tips = np.array([[0.3, 0.0, 1.0], [0.0, 0.2, 0.8]])
    colours = np.full((2, 3), 100.0)
    piece = blades(np.zeros((2, 3)), tips, np.full(2, 0.1), colours, segments=3)
    ends = piece.vertices_V3.reshape(2, -1, 3)[:, -1]
    np.testing.assert_allclose(ends, tips, atol=1e-6)
