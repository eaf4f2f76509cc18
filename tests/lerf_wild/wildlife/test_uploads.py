"""Meshes and photos that come as the content of a file."""

from __future__ import annotations

import io

import numpy as np
import pytest
import trimesh
from PIL import Image

from lerf_wild.assets.library import Library
from lerf_wild.errors import AssetError, LerfWildError
from lerf_wild.wildlife.uploads import add_upload, program_of_photo


def crate(kind: str) -> bytes:
    mesh = trimesh.creation.box((0.4, 0.5, 0.3))
    mesh.visual.vertex_colors = np.tile([200, 60, 50, 255], (8, 1))
    return mesh.export(file_type=kind)


@pytest.mark.parametrize("kind", ["glb", "ply"])
def test_a_mesh_is_kept_under_a_free_name_with_its_licence(tmp_path, kind):
    library = Library({}, tmp_path)
    library, first = add_upload(library, f"/etc/Old_crate.{kind}", crate(kind), licence="CC0-1.0")
    library, second = add_upload(library, f"Old crate.{kind}", crate(kind), "wooden box")
    library, third = add_upload(library, f"Old crate.{kind}", crate(kind))
    assert (first.asset, second.asset, third.asset) == ("old_crate", "wooden_box", "old_crate_2")
    assert (first.licence, second.licence) == ("CC0-1.0", "unknown")
    assert second.phrases == ("wooden box",)
    high = 0.5 if kind == "glb" else 0.3
    assert first.height_m == pytest.approx(high, rel=0.02)
    assert {path.stem for path in tmp_path.iterdir()} == {"old_crate", "wooden_box", "old_crate_2"}


@pytest.mark.parametrize("name", ["notes.txt", "broken.glb", "", "a/../.."])
def test_what_is_no_mesh_is_named_and_not_kept(tmp_path, name):
    with pytest.raises(AssetError) as caught:
        add_upload(Library({}, tmp_path), name, b"no mesh")
    message = str(caught.value)
    assert message.count("\n") <= 1 and "/tmp" not in message
    assert not list(tmp_path.iterdir())


def test_what_is_no_photo_is_refused():
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    with pytest.raises(LerfWildError):
        program_of_photo("photo.png", picture.getvalue()[:40])
