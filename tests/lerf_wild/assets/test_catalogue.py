"""Every asset of the catalogue: sound meshes, the asset frame, determinism and triangle budgets."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from lerf_wild.assets.catalogue import CATALOGUE, grow
from lerf_wild.assets.mesh import Asset
from lerf_wild.errors import AssetError

NAMES = sorted(CATALOGUE)
KINDS = {"animal", "bird", "tree", "shrub", "plant", "rock", "log"}


@cache
def grown(name: str, seed: int = 0) -> Asset:
    return grow(name, np.random.default_rng(seed))


@pytest.mark.parametrize("name", NAMES)
def test_mesh_is_sound(name: str) -> None:
    asset = grown(name)
    vertices, faces = asset.vertices_V3, asset.faces_F3
    assert vertices.dtype == np.float32 and faces.dtype == np.int32
    assert asset.colours_V3.dtype == np.uint8
    assert asset.colours_V3.shape == vertices.shape
    assert np.isfinite(vertices).all()
    assert faces.min() >= 0 and faces.max() < len(vertices)
    assert set(np.unique(faces)) == set(range(len(vertices)))
    assert asset.colours_V3.std(axis=0).max() > 2.0


@pytest.mark.parametrize("name", NAMES)
def test_mesh_lies_in_the_asset_frame(name: str) -> None:
    low, high = grown(name).vertices_V3.min(axis=0), grown(name).vertices_V3.max(axis=0)
    assert low[2] == pytest.approx(0.0, abs=1e-5)
    assert high[2] == pytest.approx(grown(name).height_m, abs=1e-5)
    np.testing.assert_allclose(low[:2] + high[:2], 0.0, atol=1e-4)
    assert 0.05 < grown(name).height_m < 9.0


@pytest.mark.parametrize("name", NAMES)
def test_triangle_budget(name: str) -> None:
    budget = 15_000 if CATALOGUE[name].kind == "tree" else 12_000
    assert 500 < len(grown(name).faces_F3) <= budget


@pytest.mark.parametrize("name", NAMES)
def test_kind_and_phrases(name: str) -> None:
    item = CATALOGUE[name]
    assert item.kind in KINDS
    assert (grown(name).name, grown(name).kind, grown(name).phrases) == (
        name,
        item.kind,
        item.phrases,
    )
    assert len(set(item.phrases)) == len(item.phrases) >= 2
    assert all(phrase == phrase.lower().strip() for phrase in item.phrases)
    assert grown(name).provenance["source"]


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_asset(name: str) -> None:
    again = grow(name, np.random.default_rng(0))
    np.testing.assert_array_equal(grown(name).vertices_V3, again.vertices_V3)
    np.testing.assert_array_equal(grown(name).faces_F3, again.faces_F3)
    np.testing.assert_array_equal(grown(name).colours_V3, again.colours_V3)


@pytest.mark.parametrize("name", [n for n in NAMES if "_" not in n])
def test_other_seed_other_individual(name: str) -> None:
    other = grown(name, 1)
    assert other.vertices_V3.shape != grown(name).vertices_V3.shape or not np.allclose(
        other.vertices_V3, grown(name).vertices_V3
    )


def test_every_kind_is_there() -> None:
    assert {item.kind for item in CATALOGUE.values()} == KINDS


def test_unknown_name_is_refused() -> None:
    with pytest.raises(AssetError, match="no asset 'unicorn'"):
        grow("unicorn", np.random.default_rng(0))
