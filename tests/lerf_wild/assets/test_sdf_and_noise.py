"""Noise and distance fields against slow loops, and the skin that is cut from them."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from lerf_wild.assets.noise import LATTICE, fractal, make_lattice, value_noise
from lerf_wild.assets.sdf import (
    Bone,
    bone_distance,
    polygonise,
    relaxed,
    smooth_min,
    surface_normals,
)


def slow_noise(lattice: np.ndarray, point: np.ndarray) -> float:
    """Corner by corner."""
    total = 0.0
    for corner in np.ndindex(2, 2, 2):
        weight = 1.0
        index = []
        for axis in range(3):
            cell = int(np.floor(point[axis]))
            t = point[axis] - cell
            t = t * t * (3 - 2 * t)
            weight *= t if corner[axis] else 1 - t
            index.append((cell + corner[axis]) % LATTICE)
        total += weight * float(lattice[tuple(index)])
    return total


def slow_distance(bone: Bone, point: np.ndarray) -> float:
    """The nearest of many spheres along the bone."""
    shares = np.linspace(0.0, 1.0, 2001)[:, None]
    centres = (1 - shares) * np.array(bone.start) + shares * np.array(bone.end)
    radii = bone.radius_start + shares[:, 0] * (bone.radius_end - bone.radius_start)
    return float(np.min(np.linalg.norm(point - centres, axis=1) - radii))


def test_noise_equals_the_slow_loop() -> None:
    rng = np.random.default_rng(0)
    lattice = make_lattice(rng)
    points = rng.uniform(-20, 20, (40, 3))
    slow = [slow_noise(lattice, point) for point in points]
    np.testing.assert_allclose(value_noise(lattice, points), slow, atol=1e-5)


def test_fractal_stays_in_bounds_and_repeats() -> None:
    rng = np.random.default_rng(1)
    lattice = make_lattice(rng)
    points = rng.uniform(-5, 5, (500, 3))
    values = fractal(lattice, points, 2.0)
    assert np.abs(values).max() <= 1.0
    np.testing.assert_array_equal(values, fractal(lattice, points, 2.0))


def test_distance_to_a_capsule_equals_the_slow_loop() -> None:
    bone = Bone("body", (0, 0, 0), (1, 0.5, 0.2), 0.2, 0.2)
    points = np.random.default_rng(2).uniform(-1, 2, (60, 3)).astype(np.float32)
    slow = [slow_distance(bone, point) for point in points]
    np.testing.assert_allclose(bone_distance(bone, points)[0], slow, atol=1e-4)


def test_distance_to_a_tapered_bone_is_close_near_the_surface() -> None:
    bone = Bone("leg", (0, 0, 1), (0, 0, 0), 0.15, 0.08)
    points = np.random.default_rng(3).uniform(-0.2, 0.2, (60, 3)).astype(np.float32)
    points[:, 2] += 0.5
    slow = [slow_distance(bone, point) for point in points]
    np.testing.assert_allclose(bone_distance(bone, points)[0], slow, atol=5e-3)


def test_smooth_min_is_the_minimum_far_from_the_seam() -> None:
    first, second = np.float32([0.0, 1.0, 0.3]), np.float32([1.0, 0.0, 0.3])
    np.testing.assert_allclose(smooth_min(first, second, 0.2), [0.0, 0.0, 0.25], atol=1e-6)


def test_polygonised_sphere() -> None:
    vertices, faces = polygonise([Bone("body", (1, 2, 3), (1, 2, 3), 0.5, 0.5)], 0.05)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.125, rel=0.03)
    outward = vertices - np.float32([1, 2, 3])
    np.testing.assert_allclose(np.linalg.norm(outward, axis=1), 0.5, atol=0.01)
    assert np.sum(surface_normals(vertices, faces) * outward, axis=1).min() > 0.45


def test_relaxing_makes_thin_triangles_rarer() -> None:
    bone = Bone("body", (0, 0, 0), (1, 0, 0), 0.3, 0.2)
    vertices, faces = polygonise([bone], 0.06)
    again, _ = relaxed(vertices, faces, steps=3)
    area = trimesh.Trimesh(vertices, faces, process=False).area_faces
    after = trimesh.Trimesh(again, faces, process=False).area_faces
    assert after.std() / after.mean() <= area.std() / area.mean()
