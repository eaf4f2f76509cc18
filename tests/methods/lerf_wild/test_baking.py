"""Baking: voxels, the basis, and that a point says what its ray says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lerf_wild.baked.field import Answerer
from lerf_wild.cli.bake import cloud_of_surface
from lerf_wild.cli.runs import run_of
from lerf_wild.cli.sampling import sample_surface
from lerf_wild.methods.lerf_wild.baking import (
    BakeSpec,
    Cloud,
    bake,
    principal_basis,
    quantised,
    voxels,
)
from lerf_wild.methods.lerf_wild.baking import _confirmed as confirmed
from lerf_wild.methods.lerf_wild.scale_search import TopSamples, fold_query, relevancy_over_sizes


def test_few_points_are_voxels_of_their_own():
    order, counts = voxels(np.random.default_rng(0).normal(size=(7, 3)), 10)
    assert order.tolist() == list(range(7)) and counts.tolist() == [1] * 7


def test_voxels_hold_neighbours_and_are_no_more_than_asked():
    points = np.random.default_rng(1).normal(size=(3000, 3))
    order, counts = voxels(points, 200)
    assert sorted(order) == list(range(3000)) and 100 < len(counts) <= 200
    starts = np.cumsum(counts) - counts
    parts = [points[order[start : start + count]] for start, count in zip(starts, counts)]
    sides = [np.ptp(part, axis=0).max() for part in parts]
    # Cubes of one size: no voxel reaches further than the cube's side in any direction.
    assert max(sides) < np.ptp(points, axis=0).max() / 4


def test_places_that_one_view_alone_shows_are_left_out():
    dice = np.random.default_rng(2)
    voxel, views = np.sort(dice.integers(0, 30, 90)), dice.integers(0, 4, 90)
    counts = np.bincount(voxel, minlength=30)
    voxel, counts = np.unique(voxel, return_inverse=True)[1], counts[counts > 0]
    order = dice.permutation(90)
    shown_by = np.empty(90, np.int64)
    shown_by[order] = views
    kept_order, kept_counts = confirmed(order, counts, shown_by)
    rows = [row for row in range(90) if len(set(views[voxel == voxel[row]])) > 1]
    assert 0 < len(rows) < 90
    assert kept_order.tolist() == order[rows].tolist()
    assert kept_counts.sum() == len(rows) and (kept_counts > 1).all()
    alone = np.arange(90)
    assert confirmed(order, counts, alone * 0)[0].tolist() == order.tolist()


def test_the_basis_keeps_what_is_there_and_codes_round_little():
    generator = torch.Generator().manual_seed(0)
    frame = torch.linalg.qr(torch.randn(12, 3, generator=generator))[0]
    units = torch.nn.functional.normalize(torch.randn(4, 50, 3, generator=generator), dim=-1)
    units = units @ frame.T
    basis = principal_basis(units, 12)
    assert basis.shape == (12, 3)
    codes, steps = quantised(units, basis)
    restored = torch.from_numpy(codes.transpose(0, 2, 1) * steps) @ basis.T
    assert (restored - units).norm(dim=-1).max() < 0.02


@pytest.fixture(scope="module")
def baked(settled, tmp_path_factory):
    """A few points of the wall, each with a voxel of its own, and what their rays went through."""
    pipeline = settled.pipeline
    pipeline.eval()
    run = run_of(tmp_path_factory.mktemp("run") / "config.yml", settled.config, pipeline, 0)
    points = sample_surface(pipeline.model, run.dataset("train").cameras, 300)
    cloud = cloud_of_surface(points)
    return pipeline.model, run, cloud, bake(pipeline.model, run, cloud, BakeSpec(sizes=6), {}, {})


@torch.no_grad()
def test_a_point_says_what_its_ray_says(baked):
    from lerf_wild.language.relevancy import make_query

    model, run, cloud, found = baked
    query = make_query(("red", "green", "blue"), model.encoder())
    samples = torch.from_numpy(cloud.samples_NK4)
    sizes = torch.from_numpy(found.sizes_S / np.float32(run.length_per_nerf))
    table_NSP = relevancy_over_sizes(
        model.language,
        TopSamples(samples[..., :3], samples[..., 3]),
        fold_query(query, model.language.clip_head),
        sizes,
        model.basis_range,
    )
    for index, size in enumerate(found.sizes_S):
        answer = Answerer(found).answer(
            query.embeddings_PD.numpy(), query.canonical_CD.numpy(), float(size)
        )
        expected = table_NSP[:, index].T.numpy()
        assert np.abs(answer.relevancy_PN - expected).max() < 0.06
        assert np.abs(answer.relevancy_PN - expected).mean() < 0.01


@torch.no_grad()
def test_points_without_rays_are_asked_where_they_are(baked):
    model, run, cloud, _ = baked
    bare = Cloud(cloud.positions_N3, cloud.normals_N3, cloud.colours_N3)
    found = bake(model, run, bare, BakeSpec(sizes=3), {}, {})
    points = torch.from_numpy(cloud.positions_N3).float()
    seen = model.is_seen(model._contracted(points)).numpy()
    size = torch.full((len(points),), float(found.sizes_S[1]) / run.length_per_nerf)
    embeddings = model.language_at(points, size).numpy()
    codes = found.codes_SKV[1].T * found.steps_K
    restored = codes @ found.basis_DK.T
    assert np.abs(restored[seen] - embeddings[seen]).max() < 0.05
    assert not restored[~seen].any()
    np.testing.assert_allclose(found.positions_N3, run.to_world(cloud.positions_N3), atol=1e-6)


def test_a_bake_keeps_what_each_view_shows(baked):
    _, _, cloud, found = baked
    views = np.unique(cloud.shown_by_N)
    assert found.probes_TM.shape[0] == len(views) > 1
    # Each point is a voxel of its own here, in the order of the cloud.
    for view, probes in zip(views, found.probes_TM):
        assert set(cloud.shown_by_N[probes]) == {view}
        assert set(probes) == set(np.flatnonzero(cloud.shown_by_N == view))


@torch.no_grad()
def test_coarse_bakes_hold_places_of_several_views(baked):
    model, run, cloud, _ = baked
    coarse = bake(model, run, cloud, BakeSpec(sizes=2, max_voxels=40), {}, {})
    assert 0 < len(coarse.counts_V) <= 40 and len(coarse) <= len(cloud.positions_N3)
    assert coarse.probes_TM.max() < len(coarse.counts_V)
    assert Answerer(coarse).baked.counts_V.sum() == len(coarse)
