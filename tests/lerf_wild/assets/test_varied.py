"""Individuals in drawn coats and proportions."""

import numpy as np
import pytest

from lerf_wild.assets.recipes import STARTERS
from lerf_wild.assets.scene_assets import (
    HELD_OUT,
    kind_named,
    load_individual,
    starter_names,
    varied_names,
    varied_sources,
)
from lerf_wild.errors import AssetError
from lerf_wild.program.statements import KINDS
from lerf_wild.synth.raw_data import asset_pool

ONLY_HELD_OUT = {STARTERS[n].source for n in HELD_OUT} - {
    STARTERS[n].source for n in starter_names()
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_gives_the_same_individual_and_others_give_others(kind):
    first, second = (load_individual(f"varied-{kind}.{i}") for i in (0, 1))
    load_individual.cache_clear()
    again = load_individual(f"varied-{kind}.0")
    np.testing.assert_array_equal(first.vertices_V3, again.vertices_V3)
    np.testing.assert_array_equal(first.albedo_V3, again.albedo_V3)
    assert first.kind == second.kind == kind
    assert len(first.vertices_V3) != len(second.vertices_V3) or np.any(
        first.albedo_V3 != second.albedo_V3
    )
    assert np.ptp(first.vertices_V3[:, 2]) == pytest.approx(1.0, abs=0.05)


def test_what_only_held_out_assets_are_made_of_is_never_varied():
    assert {"poplar", "cherry tree", "hazel", "rhododendron", "bird_5"} <= ONLY_HELD_OUT
    for kind in KINDS:
        assert not ONLY_HELD_OUT & set(varied_sources(kind))


def test_the_pool_has_as_many_of_each_kind():
    names = asset_pool("varied")
    assert len(names) == len(set(names)) and names[:2] == varied_names(range(2))[:2]
    assert "varied" not in " ".join(asset_pool("all"))
    for bad in ("varied-bird.x", "varied-dragon.1", "varied-.1"):
        with pytest.raises(AssetError):
            load_individual(bad)


def test_a_name_tells_the_kind_that_the_asset_has():
    for name in (
        "tiger",
        "grey wolf.3",
        "boulder_2",
        "varied-tree.5",
        "varied-bird.77",
        "oak tree",
    ):
        assert kind_named(name) == load_individual(name).kind
    for bad in ("varied-bird.x", "dragon", "log", "varied-.1", ""):
        with pytest.raises(AssetError):
            kind_named(bad)
