"""Shadows of a crate on level ground, whose edges are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from lerf_wild.assets.asset_files import Description
from lerf_wild.assets.library import Library
from lerf_wild.assets.mesh import Asset
from lerf_wild.frames import Placed
from lerf_wild.wildlife.items import Item
from lerf_wild.wildlife.looks import look_of
from lerf_wild.wildlife.scene_light import usual_light
from lerf_wild.wildlife.shading import shadow_factors, soft_shadow_factors
from lerf_wild.wildlife.stage import Stage
from lerf_wild.wildlife.tracing import scene_of, stand

SUN = np.float32([0.6, 0.0, 0.8])
"""A crate of 0.8 m shades 0.6 m of the ground behind it."""


class Capture(Placed):
    """A capture in metres that training left as it was."""

    transform_34 = np.eye(4)[:3]
    scale, meters_per_unit = 1.0, 1.0


@pytest.fixture()
def scene(tmp_path):
    mesh = trimesh.creation.box((2.0, 1.0, 1.0))
    mesh.apply_translation((0.0, 0.0, 0.5))
    vertices, faces = mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32)
    colours = np.full((len(vertices), 3), 200, np.uint8)
    asset = Asset(
        "crate", "rock", ("crate",), mesh.vertices.astype(np.float32), faces, colours, 1.0
    )
    about = Description("rock", "crate", ("crate",), "MIT", {})
    library = Library({}, tmp_path).add(asset, about)
    item = Item(id="crate_1", asset="crate", position=(0.0, 0.0, 0.0), height_m=0.8)
    return scene_of([stand(item, look_of(item, library), Stage(Capture()))])


@pytest.fixture()
def light():
    usual = usual_light()
    light = replace(usual.light, sun_direction_3=SUN)
    return replace(usual, light=light, shade=replace(usual.shade, sun_3=SUN))


def up(count: int) -> np.ndarray:
    return np.tile([0.0, 0.0, 1.0], (count, 1))


def test_shade_ends_where_the_sun_passes_over_the_edge(scene, light):
    # The crate is 1.6 m long: its shade ends 0.8 + 0.6 m behind its middle.
    x = np.array([-1.36, -1.44, 1.0])
    found = shadow_factors(scene, light, np.column_stack([x, 0 * x, 0 * x]), up(3))
    assert (found[0] < 0.9).all() and (found[1:] == 1.0).all()


def test_a_pixel_on_the_edge_is_as_dark_as_the_share_of_its_rays_in_shade(scene, light):
    points = np.array([[-1.4, 0.0, 0.0], [-1.1, 0.0, 0.0], [-1.7, 0.0, 0.0]])
    origins = points + [0.0, 0.0, 3.0]
    spread = np.array([[x, 0.0, -1.0] for x in (-0.03, -0.01, 0.01, 0.03)])
    spread /= np.linalg.norm(spread, axis=1, keepdims=True)
    rays = np.tile(spread, (3, 1, 1))
    edge, inside, outside = soft_shadow_factors(scene, light, points, up(3), origins, rays)
    np.testing.assert_allclose(outside, 1.0)
    np.testing.assert_allclose(edge, 0.5 * (inside + 1.0), rtol=1e-5)
    hard = shadow_factors(scene, light, points[1:2], up(1))[0]
    np.testing.assert_allclose(inside, hard, rtol=1e-5)
