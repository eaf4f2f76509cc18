"""The tiny run of lerf-wild's own tests, opened with items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from third_parties import let_pass
from wall_run import scene, session_patch, stand_in_encoders, trained


def pytest_collection_modifyitems(items):
    let_pass(items, Path(__file__).parent)


@pytest.fixture(scope="session")
def library_folder(tmp_path_factory, session_patch) -> Path:
    """A library folder with one red cube, which is also the user's."""
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
    session_patch.setenv("LERF_WILD_ASSETS", str(folder))
    return folder


@pytest.fixture(scope="session")
def populated(trained, library_folder):
    """The trained run, opened with items; none is placed yet."""
    from lerf_wild.cli.wildlife import open_populated

    return open_populated(trained.base_dir / "config.yml")
