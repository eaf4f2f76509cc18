"""The bundled quadruped: what its file promises, and the steps that make it."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import roma
import torch

from lerf_wild.animals import schema
from lerf_wild.animals.body import mirrored_pose
from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.animals.quadruped import half_mesh, make, parts, transfer
from lerf_wild.animals.quadruped.anatomy import HEIGHTS_M, SPECIES, Anatomy, blended, varied
from lerf_wild.errors import AssetError, InputError

FLIP = torch.tensor([1.0, -1.0, 1.0])


def edge_counts(faces):
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)


def volume(vertices, faces):
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.einsum("fc,fc->", a, np.cross(b, c)) / 6


def test_sizes_and_topology():
    model = load_quadruped().model
    assert model.template_V3.shape == (schema.VERTEX_COUNT, 3)
    assert model.faces_F3.shape == (schema.FACE_COUNT, 3)
    assert model.weights_VJ.shape == (schema.VERTEX_COUNT, schema.JOINT_COUNT)
    assert model.beta_count == 41
    faces = model.faces_F3.numpy()
    edges, counts = edge_counts(faces)
    assert (counts == 2).all()
    # Euler's number of a sphere: no handle, no second piece that isn't closed by itself.
    assert schema.VERTEX_COUNT - len(edges) + schema.FACE_COUNT == 2
    assert volume(model.template_V3.numpy().astype(float), faces) > 0.05


def test_mirror_is_exact():
    model = load_quadruped().model
    mirror, order = model.mirror_V, torch.from_numpy(schema.joint_mirror())
    assert torch.equal(mirror[mirror], torch.arange(len(mirror)))
    assert torch.equal(model.template_V3[mirror] * FLIP, model.template_V3)
    assert torch.equal(model.shapedirs_V3K[mirror] * FLIP[:, None], model.shapedirs_V3K)
    assert torch.equal(model.weights_VJ[mirror][:, order], model.weights_VJ)
    assert torch.equal(model.joint_regressor_JV[order][:, mirror], model.joint_regressor_JV)
    triangles = {tuple(sorted(face)) for face in model.faces_F3.tolist()}
    assert {tuple(sorted(face)) for face in mirror[model.faces_F3].tolist()} == triangles


def test_swapping_sides_mirrors_every_species():
    model = load_quadruped().model.to(torch.float64)
    betas = torch.stack(list(load_quadruped().species_betas.values())).double()
    vectors = 0.4 * torch.randn(35, 3, generator=torch.manual_seed(0), dtype=torch.float64)
    rotations = roma.rotvec_to_rotmat(vectors)
    order = torch.from_numpy(schema.joint_mirror())
    plain = model.pose(betas, rotations).vertices
    other = model.pose(betas, mirrored_pose(rotations, order)).vertices
    assert (other[:, model.mirror_V] * FLIP - plain).abs().max() < 1e-12
    rest = model.rest(betas)
    assert (rest[:, model.mirror_V] * FLIP - rest).abs().max() < 1e-14


def test_weights_and_regressors():
    model = load_quadruped().model
    assert (model.weights_VJ >= 0).all()
    assert ((model.weights_VJ > 0).sum(1) <= 4).all()
    torch.testing.assert_close(model.weights_VJ.sum(1), torch.ones(schema.VERTEX_COUNT))
    # Every joint moves some skin.
    assert (model.weights_VJ.max(0).values > 0.4).all()
    assert (model.joint_regressor_JV >= 0).all()
    assert model.keypoint_names == schema.KEYPOINT_NAMES
    torch.testing.assert_close(model.keypoint_regressor_PV.sum(1), torch.ones(26))


def test_root_joint_is_the_origin_for_all_shapes():
    model = load_quadruped().model
    betas = 3 * torch.randn(50, 41, generator=torch.manual_seed(1))
    assert model.rest_joints(betas)[:, 0].abs().max() < 2e-5


@pytest.mark.parametrize("name", list(SPECIES))
def test_species_keep_their_proportions(name):
    quadruped = load_quadruped()
    rest = quadruped.model.rest_joints(quadruped.betas_of(name)).numpy()
    wanted = parts.joint_positions(SPECIES[name])

    def lengths(joints):
        bones = ((7, 10), (15, 16), (25, 31), (17, 19), (0, 6))
        return np.array([np.linalg.norm(joints[a] - joints[b]) for a, b in bones])

    found, meant = lengths(rest), lengths(wanted)
    scale = np.median(found / meant)
    assert (np.abs(found / scale - meant) < 0.02 + 0.05 * meant).all()
    assert name in HEIGHTS_M


def test_keypoints_are_where_they_should_be():
    model = load_quadruped().model
    points = dict(zip(schema.KEYPOINT_NAMES, model.pose().keypoints.numpy()))
    for name, place in points.items():
        side = place[1]
        if name.startswith("left"):
            assert side > 0.01, name
        elif name.startswith("right"):
            assert side < -0.01, name
        else:
            assert abs(side) < 1e-6, name
    assert max(points, key=lambda name: points[name][0]) == "nose"
    assert min(points, key=lambda name: points[name][0]) == "tail tip"
    assert points["left ear"][2] > points["left eye"][2] > points["mouth"][2]
    assert points["nose"][0] - points["tail base"][0] == pytest.approx(1.55, abs=1e-3)


def test_unknown_species_is_named():
    with pytest.raises(InputError, match="unicorn"):
        load_quadruped().betas_of("unicorn")


@pytest.fixture(scope="module")
def coarse():
    body = parts.body_parts(Anatomy())
    size = functools.partial(transfer.edge_size, body)
    return body, *half_mesh.build_half(body, size, 901, cell=0.04)


def test_half_mesh_reaches_an_exact_count(coarse):
    _, points, faces = coarse
    whole, triangles, mirror = half_mesh.mirrored_whole(points, faces)
    assert len(whole) == 901 and len(triangles) == 2 * 901 - 4
    assert (edge_counts(triangles)[1] == 2).all()
    assert (whole[mirror] * [1, -1, 1] == whole).all()
    assert volume(whole, triangles) > 0


def test_vertices_lie_on_the_skin_before_and_after_carrying(coarse):
    body, points, _ = coarse
    assert np.abs(parts.skin_distance(body, points)).max() < 0.02
    other = parts.body_parts(SPECIES["horse"])
    moved = transfer.carried(body, other, points)
    assert np.quantile(np.abs(parts.skin_distance(other, moved)), 0.99) < 0.01
    back = transfer.carried(body, body, points)
    assert np.abs(back - points).max() < 0.01


def test_part_distance_is_exact_for_a_capsule():
    rng = np.random.default_rng(0)
    start, end = np.array([0.1, 0.2, 0.3]), np.array([0.9, 0.1, 0.4])
    part = parts.Part("trunk", 0, start, end, 0.1, 0.1, parts.LEFT)
    points = rng.uniform(-1, 2, (200, 3))
    share, _, distance = parts.part_coordinates(part, points)
    for point, t, d in zip(points, share, distance):
        steps = np.linspace(0, 1, 2001)
        gaps = np.linalg.norm(point - (start + steps[:, None] * (end - start)), axis=1)
        assert d == pytest.approx(gaps.min() - 0.1, abs=1e-5)
        assert t == pytest.approx(steps[gaps.argmin()], abs=1e-3)


def test_principal_shapes_give_samples_back():
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(3, 20, 3))
    samples = 1.0 + np.einsum("sk,khc->shc", rng.normal(size=(30, 3)), basis)
    mean, directions, coefficients = make.principal_shapes(samples, np.ones(30), 3)
    rebuilt = mean + np.einsum("hck,sk->shc", directions, coefficients)
    np.testing.assert_allclose(rebuilt, samples, atol=1e-9)
    np.testing.assert_allclose((coefficients**2).mean(axis=0), 1.0)


def test_anatomies_can_be_blended_and_varied():
    dog, horse = SPECIES["dog"], SPECIES["horse"]
    assert blended(dog, horse, 0.0) == dog
    assert blended(dog, horse, 0.5).neck == pytest.approx((dog.neck + horse.neck) / 2)
    assert varied(dog, np.random.default_rng(0)) == varied(dog, np.random.default_rng(0)) != dog


def test_a_skin_that_cannot_be_thinned_is_an_error():
    body = parts.body_parts(Anatomy())
    with pytest.raises(AssetError, match="can't be thinned"):
        half_mesh.build_half(body, lambda points: np.ones(len(points)), 5, cell=0.12)
