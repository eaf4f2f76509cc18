"""Coats and subdivision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.animals.coats import COATS, PATTERNS, Coat, make_canvas, paint, random_coat
from lerf_wild.animals.subdivision import loop_refinement
from lerf_wild.errors import InputError

OCTAHEDRON = np.array(
    [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
)


def loop_oracle(vertices, faces):
    """Loop's rules, one vertex and one edge at a time."""
    neighbours = [set() for _ in vertices]
    wings = {}
    for face in faces:
        for i in range(3):
            a, b, c = face[i], face[(i + 1) % 3], face[(i + 2) % 3]
            neighbours[a] |= {b, c}
            wings.setdefault(tuple(sorted((a, b))), []).append(c)
    old = []
    for vertex, near in zip(vertices, neighbours):
        n = len(near)
        beta = 3 / 16 if n == 3 else 3 / (8 * n)
        old.append((1 - n * beta) * vertex + beta * sum(vertices[k] for k in near))
    new = {
        (a, b): 3 / 8 * (vertices[a] + vertices[b]) + 1 / 8 * (vertices[c] + vertices[d])
        for (a, b), (c, d) in wings.items()
    }
    return np.array(old), new


def test_loop_subdivision_equals_the_rules():
    vertices = np.random.default_rng(0).normal(size=(6, 3))
    step = loop_refinement(OCTAHEDRON, 6)
    fine = step.matrix @ vertices
    old, new = loop_oracle(vertices, OCTAHEDRON)
    np.testing.assert_allclose(fine[:6], old, atol=1e-6)
    for row, edge in enumerate(sorted(new)):
        np.testing.assert_allclose(fine[6 + row], new[edge], atol=1e-6)
    assert len(step.faces_F3) == 32
    edges = np.concatenate(
        [step.faces_F3[:, [0, 1]], step.faces_F3[:, [1, 2]], step.faces_F3[:, [2, 0]]]
    )
    assert len({tuple(edge) for edge in edges.tolist()}) == len(edges)


def test_loop_subdivision_keeps_orientation():
    corners = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1.0]])
    step = loop_refinement(OCTAHEDRON, 6)
    for points, faces in ((corners, OCTAHEDRON), (step.matrix @ corners, step.faces_F3)):
        a, b, c = (points[faces[:, i]] for i in range(3))
        assert (np.einsum("fc,fc->f", a, np.cross(b, c)) > 0).all()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_mark_the_skin(pattern):
    canvas = make_canvas(0)
    coat = Coat((200, 150, 100), (20, 20, 20), (200, 150, 100), pattern=pattern)
    dark = (paint(coat, canvas, 0).mean(axis=1) < 80) & (canvas.region("trunk") > 0.9)
    share = dark.sum() / (canvas.region("trunk") > 0.9).sum()
    assert share == 0 if pattern == "plain" else 0.1 < share < 0.9


def test_coats_follow_the_seed():
    canvas = make_canvas(0)
    coat = COATS["cow"]
    assert (paint(coat, canvas, 1) == paint(coat, canvas, 1)).all()
    assert (paint(coat, canvas, 1) != paint(coat, canvas, 2)).any()
    assert random_coat(np.random.default_rng(0)) == random_coat(np.random.default_rng(0))


def test_every_species_has_a_coat_and_dark_eyes():
    assert set(COATS) == set(load_quadruped().species_betas)
    canvas = make_canvas(0)
    for coat in COATS.values():
        colours = paint(coat, canvas)
        assert colours[canvas.region("eye") > 0.7].max() < 40
        assert colours.min() >= 0 and colours.max() <= 255


def test_an_unknown_pattern_is_an_error():
    with pytest.raises(InputError, match="tartan"):
        paint(replace(COATS["dog"], pattern="tartan"), make_canvas(0))


def test_refined_vertices_follow_the_pose():
    canvas = make_canvas(1)
    template = load_quadruped().model.template_V3.numpy()
    np.testing.assert_allclose(canvas.refined(template), canvas.points_N3, atol=1e-5)
    np.testing.assert_allclose(
        canvas.refined(template + [1, 2, 3]), canvas.points_N3 + [1, 2, 3], atol=1e-4
    )
