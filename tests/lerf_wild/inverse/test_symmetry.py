import itertools
import math

import pytest
import torch

from lerf_wild.inverse import symmetry
from lerf_wild.render.primitive_scenes import CAPSULE, CONE, CUBE, CYLINDER, ELLIPSOID, SPHERE


def rotations(count=200, seed=0):
    generator = torch.Generator().manual_seed(seed)
    quaternions = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    return symmetry.quaternion_to_rotation(quaternions)


def about_y(angle):
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float64)


FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))


def geodesic_deg(a, b):
    cosine = ((a.transpose(-1, -2) @ b).diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    return torch.rad2deg(cosine.clamp(-1, 1).acos())


def test_cube_group_is_a_group_of_24():
    group = symmetry.cube_group()
    assert group.shape == (24, 3, 3)
    assert torch.allclose(torch.linalg.det(group), torch.ones(24, dtype=torch.float64))
    members = {tuple(g.flatten().tolist()) for g in group}
    assert len(members) == 24
    for a, b in itertools.product(group, group):
        assert tuple((a @ b + 0.0).flatten().tolist()) in members


def test_cube_target_and_error_ignore_all_24_rotations():
    R = rotations(50)
    for g in symmetry.cube_group():
        assert torch.allclose(symmetry.cube_target(R @ g), symmetry.cube_target(R))
        assert symmetry.cube_error_deg(R, R @ g).max() < 1e-5


def test_cube_target_tells_different_cubes_apart():
    a, b = rotations(300, 1), rotations(300, 2)
    error = symmetry.cube_error_deg(a, b)
    distance = (symmetry.cube_target(a) - symmetry.cube_target(b)).norm(dim=-1)
    assert distance[error > 5].min() > 0.1


def test_cube_error_is_the_smallest_geodesic():
    a, b = rotations(60, 3), rotations(60, 4)
    naive = torch.stack([geodesic_deg(a @ g, b) for g in symmetry.cube_group()]).amin(0)
    assert torch.allclose(symmetry.cube_error_deg(a, b), naive, atol=1e-5)


def test_errors_of_random_guesses_are_the_known_ones():
    """40.7 degrees for cubes and 57.3 (one radian) for lines: what chance looks like."""
    a, b = rotations(20_000, 5), rotations(20_000, 6)
    assert float(symmetry.cube_error_deg(a, b).mean()) == pytest.approx(40.7, abs=0.5)
    assert float(symmetry.line_error_deg(a, b).mean()) == pytest.approx(57.3, abs=0.5)
    assert float(symmetry.cube_error_deg(a, b).max()) < 62.9


@pytest.mark.parametrize("angle", [0.3, 2.0, math.pi])
def test_line_ignores_spin_and_flip_but_an_arrow_sees_the_flip(angle):
    R = rotations(50)
    for symmetric in (R @ about_y(angle), R @ FLIP, R @ FLIP @ about_y(angle)):
        assert torch.allclose(symmetry.line_target(symmetric), symmetry.line_target(R))
        assert symmetry.line_error_deg(R, symmetric).max() < 1e-5
    assert symmetry.arrow_error_deg(R, R @ about_y(angle)).max() < 1e-5
    assert symmetry.arrow_error_deg(R, R @ FLIP).min() > 179.9


@pytest.mark.parametrize("degree", [1, 2, 4])
def test_inner_product_of_symmetric_powers(degree):
    generator = torch.Generator().manual_seed(degree)
    a, b = torch.randn(2, 30, 3, generator=generator, dtype=torch.float64)
    inner = (symmetry.symmetric_power(a, degree) * symmetry.symmetric_power(b, degree)).sum(-1)
    assert torch.allclose(inner, (a * b).sum(-1) ** degree)


def test_decoding_undoes_encoding():
    R = rotations(100)
    cube = symmetry.decode_cube(symmetry.cube_target(R))
    assert symmetry.cube_error_deg(cube, R).max() < 1e-3
    assert torch.allclose(torch.linalg.det(cube), torch.ones(100, dtype=torch.float64))
    line = symmetry.axis_to_rotation(symmetry.decode_line(symmetry.line_target(R)))
    assert symmetry.line_error_deg(line, R).max() < 1e-5
    arrow = symmetry.axis_to_rotation(symmetry.arrow_target(R))
    assert symmetry.arrow_error_deg(arrow, R).max() < 1e-5
    assert torch.allclose(torch.linalg.det(arrow), torch.ones(100, dtype=torch.float64))


def test_decoding_bears_noise():
    R = rotations(200)
    generator = torch.Generator().manual_seed(9)
    noise = 0.1 * torch.randn(200, 15, generator=generator, dtype=torch.float64)
    decoded = symmetry.decode_cube(symmetry.cube_target(R) + noise)
    assert symmetry.cube_error_deg(decoded, R).median() < 5
    assert symmetry.cube_error_deg(decoded, R).max() < 15


def test_decoding_of_no_object():
    assert symmetry.decode_cube(torch.zeros(0, 15)).shape == (0, 3, 3)
    assert symmetry.decode_line(torch.zeros(0, 6)).shape == (0, 3)


def test_rotation_grid_is_even():
    grid = symmetry.rotation_grid(2048)
    error = torch.stack([symmetry.cube_error_deg(grid, R).min() for R in rotations(50, 8)])
    assert error.max() < 8


def test_error_by_kind():
    R = rotations(6)
    kinds = torch.tensor([SPHERE, CUBE, CYLINDER, CONE, ELLIPSOID, CAPSULE])
    error = symmetry.rotation_error_deg(kinds, R, R @ FLIP)
    assert error[kinds == CONE].item() > 179
    assert error[kinds != CONE].max() < 1e-5
    assert symmetry.rotation_error_deg(kinds, R, rotations(6, 3))[0] == 0
