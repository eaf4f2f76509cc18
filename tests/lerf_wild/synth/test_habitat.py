"""Habitats: the same from the same seed, on the ground, apart, out of the water."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from lerf_wild.synth import habitat as habitats
from lerf_wild.synth.habitat import KIND_COUNTS, draw_names, make_habitat, orbit_cameras
from lerf_wild.synth.taxonomy import surely_absent, with_synonyms
from lerf_wild.synth.terrain import under_water


@pytest.fixture(scope="module")
def place(grow_block):
    return make_habitat(11, grow=grow_block)


def test_a_seed_is_a_place(place, grow_block):
    again = make_habitat(11, grow=grow_block)
    assert [item.asset.name for item in again.items] == [item.asset.name for item in place.items]
    for one, other in zip(place.items, again.items):
        assert np.array_equal(one.vertices(), other.vertices())
    assert again.terrain.biome == place.terrain.biome
    names = {item.asset.name for item in make_habitat(12, grow=grow_block).items}
    assert names != {item.asset.name for item in place.items}


@pytest.mark.parametrize("seed", range(5))
def test_names_keep_their_counts_and_differ(seed):
    names = draw_names(np.random.default_rng(seed))
    assert len(set(names)) == len(names)
    kinds = [habitats.catalogue.CATALOGUE[name].kind for name in names]
    for kind, (low, high) in KIND_COUNTS.items():
        assert low <= kinds.count(kind) <= high
    assert 10 <= len(names) <= 25


def test_everything_stands_on_dry_ground(place):
    for item in place.items:
        spot = item.position_3[None, :2].astype(np.float32)
        assert not under_water(place.terrain, spot, 0.0)[0]
        assert item.position_3[2] <= place.terrain.height(spot)[0] + 1e-6


def test_nothing_stands_in_something_else(place):
    for one, other in combinations(place.items, 2):
        apart = np.linalg.norm(one.position_3[:2] - other.position_3[:2])
        assert apart > 0.3


def test_cameras_stand_around_and_look_in(place):
    cameras = orbit_cameras(place, 16, np.random.default_rng(0), 64, 48)
    assert len(cameras) == 16
    for camera in cameras:
        position = camera.camera_to_world_34[:, 3]
        ground = place.terrain.height(position[None, :2].astype(np.float32))[0]
        assert position[2] > ground + 1.0
        forward = -camera.camera_to_world_34[:2, 2]
        assert forward @ -position[:2] > 0


def test_synonyms_hold_and_their_kinds_are_never_absent():
    held = with_synonyms(["red fox", "fox", "animal"])
    assert {"red fox", "fox", "carnivore", "animal"} <= set(held)
    absent = surely_absent(["fox", "carnivore", "brown carnivore", "pond", "zebra"], held)
    assert absent == ("pond", "zebra")
