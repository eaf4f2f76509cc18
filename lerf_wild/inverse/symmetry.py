"""Rotations of symmetric bodies: targets that do not change under a symmetry, and errors.

A network can't regress a cube's rotation, because 24 rotations give the same image. It can
regress a polynomial that all 24 share: p(v) = sum_i (c_i . v)^4 over the cube's axes c_i. In the
same way a cylinder has the quadratic (a . v)^2 of its axis line and a cone the linear a . v.
The coefficients are weighted such that their inner product is that of the tensors, for example
phi4(a) . phi4(b) = (a . b)^4. Cf. Bregier et al., "Defining the pose of any 3D rigid object and
an associated distance", IJCV 2018.

Symbols: R rotation matrix (local to world), c_i its columns, a = c_1 the axis (local y).
"""

from __future__ import annotations

import itertools
import math
from functools import cache

import torch
from torch import Tensor

from lerf_wild.render.primitive_scenes import CAPSULE, CONE, CUBE, CYLINDER, ELLIPSOID

CUBE_DIMS, LINE_DIMS, ARROW_DIMS = 15, 6, 3
LINE_KINDS = (CYLINDER, ELLIPSOID, CAPSULE)
"""Bodies of revolution that look the same upside down."""


@cache
def _exponents(degree: int) -> tuple[tuple[int, int, int], ...]:
    return tuple(e for e in itertools.product(range(degree + 1), repeat=3) if sum(e) == degree)


@cache
def _weights(degree: int) -> tuple[float, ...]:
    """Square roots of the multinomial coefficients."""
    return tuple(
        math.sqrt(math.factorial(degree) / math.prod(math.factorial(p) for p in e))
        for e in _exponents(degree)
    )


def symmetric_power(vector_3: Tensor, degree: int) -> Tensor:
    """Coefficients of (vector . v)^degree, [..., 3] -> [..., (degree + 1)(degree + 2) / 2]."""
    exponents = torch.tensor(_exponents(degree), device=vector_3.device)
    weights = torch.tensor(_weights(degree), dtype=vector_3.dtype, device=vector_3.device)
    return vector_3[..., None, :].pow(exponents).prod(-1) * weights


def cube_target(R_33: Tensor) -> Tensor:
    """The 15 coefficients that the cube's 24 rotations share, shape [..., 15]."""
    return symmetric_power(R_33.transpose(-1, -2), 4).sum(-2)


def line_target(R_33: Tensor) -> Tensor:
    """The 6 coefficients of the axis line, shape [..., 6]."""
    return symmetric_power(R_33[..., 1], 2)


def arrow_target(R_33: Tensor) -> Tensor:
    """The axis as a direction, shape [..., 3]."""
    return R_33[..., 1]


def decode_line(coefficients_6: Tensor) -> Tensor:
    """Axis of the line nearest to the coefficients, up to its sign, shape [..., 3]."""
    matrix = torch.zeros(*coefficients_6.shape[:-1], 3, 3, dtype=coefficients_6.dtype)
    for value, exponent, weight in zip(coefficients_6.unbind(-1), _exponents(2), _weights(2)):
        i, j = [axis for axis in range(3) for _ in range(exponent[axis])]
        matrix[..., i, j] = matrix[..., j, i] = value / weight
    return torch.linalg.eigh(matrix).eigenvectors[..., -1]


def axis_to_rotation(axis_3: Tensor) -> Tensor:
    """A rotation that takes local y to the given direction, shape [..., 3] -> [..., 3, 3]."""
    axis = torch.nn.functional.normalize(axis_3, dim=-1)
    helper = torch.zeros_like(axis)
    helper.scatter_(-1, axis.abs().argmin(-1, keepdim=True), 1.0)
    first = torch.nn.functional.normalize(torch.linalg.cross(axis, helper), dim=-1)
    return torch.stack([first, axis, torch.linalg.cross(first, axis)], -1)


def decode_cube(coefficients_15: Tensor, iterations: int = 20) -> Tensor:
    """Rotation whose quartic is nearest to the coefficients, shape [..., 15] -> [..., 3, 3].

    A search over a fixed grid of rotations, then orthogonal power iterations
    R <- polar([T(c_i, c_i, c_i, .)]), which climb the inner product with the coefficients.
    """
    flat = coefficients_15.reshape(-1, CUBE_DIMS)
    grid = rotation_grid(2048).to(flat)
    R = grid[(flat @ cube_target(grid).T).argmax(-1)]
    for _ in range(iterations):
        gradient = _quartic_gradient(flat[:, None, :], R.transpose(-1, -2))
        U, _, Vh = torch.linalg.svd(gradient.transpose(-1, -2))
        R = U @ Vh
    R = R * torch.linalg.det(R)[:, None, None]
    return R.reshape(*coefficients_15.shape[:-1], 3, 3)


def _quartic_gradient(coefficients_15: Tensor, point_3: Tensor) -> Tensor:
    """Gradient of the quartic at a point, shape [..., 3]."""
    exponents = torch.tensor(_exponents(4), device=point_3.device)
    scaled = coefficients_15 * torch.tensor(_weights(4), dtype=point_3.dtype).to(point_3.device)
    parts = []
    for axis in range(3):
        lowered = exponents.clone()
        lowered[:, axis] = (lowered[:, axis] - 1).clamp(min=0)
        monomials = point_3[..., None, :].pow(lowered).prod(-1) * exponents[:, axis]
        parts.append((scaled * monomials).sum(-1))
    return torch.stack(parts, -1)


@cache
def rotation_grid(count: int) -> Tensor:
    """Evenly spread rotations [count, 3, 3]: super-Fibonacci spirals (Alexa, CVPR 2022)."""
    index = torch.arange(count, dtype=torch.float64) + 0.5
    share = index / count
    alpha = 2.0 * math.pi * index / math.sqrt(2.0)
    # The positive root of psi^4 = psi + 4, which the construction asks for.
    beta = 2.0 * math.pi * index / 1.533751168755204288118041
    inner, outer = share.sqrt(), (1.0 - share).sqrt()
    quaternion = torch.stack(
        [inner * alpha.sin(), inner * alpha.cos(), outer * beta.sin(), outer * beta.cos()], -1
    )
    return quaternion_to_rotation(quaternion)


def quaternion_to_rotation(wxyz_4: Tensor) -> Tensor:
    """Rotation matrices of quaternions of any length but 0, shape [..., 4] -> [..., 3, 3]."""
    w, x, y, z = torch.nn.functional.normalize(wxyz_4, dim=-1).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


@cache
def cube_group() -> Tensor:
    """The 24 rotations of the cube, float64 [24, 3, 3]."""
    matrices = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = torch.zeros(3, 3, dtype=torch.float64)
            matrix[torch.arange(3), torch.tensor(order)] = torch.tensor(signs, dtype=torch.float64)
            matrices.append(matrix)
    stacked = torch.stack(matrices)
    return stacked[torch.linalg.det(stacked) > 0]


def cube_error_deg(first_33: Tensor, second_33: Tensor) -> Tensor:
    """Smallest angle between two cube rotations over the 24-element group, shape [...], degrees."""
    difference = first_33.double().transpose(-1, -2) @ second_33.double()
    trace = torch.einsum("...ij,gji->...g", difference, cube_group().to(difference.device))
    # asin of the half angle keeps its precision near 0, where acos of the trace does not.
    half_sine = ((3.0 - trace.amax(-1)).clamp(min=0.0) / 4.0).sqrt().clamp(max=1.0)
    return torch.rad2deg(2.0 * torch.asin(half_sine))


def line_error_deg(first_33: Tensor, second_33: Tensor) -> Tensor:
    """Angle between two axis lines, shape [...], degrees in 0-90."""
    a, b = first_33.double()[..., 1], second_33.double()[..., 1]
    sine = torch.linalg.cross(a, b).norm(dim=-1)
    return torch.rad2deg(torch.atan2(sine, (a * b).sum(-1).abs()))


def arrow_error_deg(first_33: Tensor, second_33: Tensor) -> Tensor:
    """Angle between two axis directions, shape [...], degrees in 0-180."""
    a, b = first_33.double()[..., 1], second_33.double()[..., 1]
    return torch.rad2deg(torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1)))


def rotation_error_deg(kinds: Tensor, first_33: Tensor, second_33: Tensor) -> Tensor:
    """The error that fits each kind, shape [...]; 0 for spheres."""
    error = torch.zeros(kinds.shape, dtype=torch.float64, device=kinds.device)
    line = torch.isin(kinds, torch.tensor(LINE_KINDS, device=kinds.device))
    error = torch.where(line, line_error_deg(first_33, second_33), error)
    error = torch.where(kinds == CUBE, cube_error_deg(first_33, second_33), error)
    return torch.where(kinds == CONE, arrow_error_deg(first_33, second_33), error)
