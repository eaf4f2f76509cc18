"""The tiny run of lerf-wild's own tests, opened with items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from third_parties import let_pass
from wall_run import scene, stand_in_cache, stand_in_encoders, stand_ins, trained


def pytest_collection_modifyitems(items):
    let_pass(items, Path(__file__).parent)


@pytest.fixture(scope="session")
def library_folder(tmp_path_factory) -> Path:
    """A library folder with one red cube."""
    import trimesh

    from lerf_wild.assets.asset_files import Description
    from lerf_wild.assets.library import Library
    from lerf_wild.assets.mesh import Asset

    folder = tmp_path_factory.mktemp("library")
    mesh = trimesh.creation.box((1.0, 1.0, 1.0)).subdivide()
    mesh.apply_translation((0.0, 0.0, 0.5))
    colours = np.tile(np.uint8([230, 20, 20]), (len(mesh.vertices), 1))
    vertices = mesh.vertices.astype(np.float32)
    faces = mesh.faces.astype(np.int32)
    asset = Asset("red_cube", "rock", ("red cube",), vertices, faces, colours, 1.0)
    Library({}, folder).add(asset, Description("rock", "cube", ("red cube",), "MIT", {}))
    return folder


@pytest.fixture(scope="module", autouse=True)
def own_library(stand_in_encoders, library_folder):
    """The folder is the user's."""
    stand_in_encoders.setenv("LERF_WILD_ASSETS", str(library_folder))


@pytest.fixture(scope="session")
def populated(trained, library_folder, stand_in_cache):
    """The trained run, opened with items; none is placed yet."""
    from lerf_wild.cli.wildlife import open_populated

    with stand_ins(stand_in_cache) as patch:
        patch.setenv("LERF_WILD_ASSETS", str(library_folder))
        return open_populated(trained.base_dir / "config.yml")
