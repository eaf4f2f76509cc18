"""Exports hold every object where the program says, and Blender sees what the ray-caster sees."""

import importlib.util
import subprocess

import numpy as np
import pytest
import trimesh

from lerf_wild.errors import ExportError
from lerf_wild.program.frames import upright_rotation
from lerf_wild.program.types import Program, SceneObject, Settings
from lerf_wild.render import blender
from lerf_wild.render.blender import BlenderPicture, have_blender, render_in_blender
from lerf_wild.render.program_export import file_vertices, write_glb, write_usd
from lerf_wild.render.scene_program import FIRST_ID, placements, render_program

PITCH = 84.0


def _object(x: float, away: float, name: str, height: float, yaw: float) -> SceneObject:
    turn = upright_rotation(yaw, PITCH)
    frame = upright_rotation(0.0, PITCH)
    loc = frame @ np.array([x, away, -1.5])
    return SceneObject(
        9, tuple(loc), height, rotation_9=tuple(np.ravel(turn)), asset=name, kind=None
    )


PROGRAM = Program(
    Settings(camera_pitch_deg=PITCH, camera_height_m=1.5, sun_rotation_deg=100.0),
    (
        _object(-0.6, 4.0, "cactus.0", 1.2, 0.3),
        _object(0.5, 5.5, "grey rock.0", 0.8, 2.0),
        _object(1.2, 5.0, "mallard.0", 0.5, -1.0),
    ),
)


def test_a_glb_holds_the_objects_on_the_ground(tmp_path):
    path = tmp_path / "scene.glb"
    write_glb(path, PROGRAM)
    scene = trimesh.load(path)
    assert len(scene.geometry) == 1 + len(PROGRAM.objects)
    for place in placements(PROGRAM):
        vertices = file_vertices(place, 1.5)
        assert vertices[:, 1].min() == pytest.approx(0.0, abs=1e-3)
        assert np.ptp(vertices[:, 1]) == pytest.approx(place.height_m, rel=1e-3)
    cactus = next(name for name in scene.geometry if "cactus" in name)
    low, high = scene.geometry[cactus].bounds
    assert (low[0] + high[0]) / 2 == pytest.approx(-0.6, abs=0.05)
    assert (low[2] + high[2]) / 2 == pytest.approx(-4.0, abs=0.05)


@pytest.mark.skipif(importlib.util.find_spec("pxr") is None, reason="needs usd-core")
@pytest.mark.parametrize("suffix", [".usda", ".usdc"])
def test_a_usd_stage_holds_meshes_camera_and_sun(tmp_path, suffix):
    from pxr import Usd, UsdGeom

    path = tmp_path / f"scene{suffix}"
    write_usd(path, PROGRAM)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    stage = Usd.Stage.Open(str(path))
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    names = [prim.GetName() for prim in stage.GetDefaultPrim().GetChildren()]
    assert len(names) == 6 and {"ground", "camera", "sun"} <= set(names)
    rock = next(name for name in names if "rock" in name)
    points = np.array(UsdGeom.Mesh(stage.GetPrimAtPath(f"/Scene/{rock}")).GetPointsAttr().Get())
    np.testing.assert_allclose(points, file_vertices(placements(PROGRAM)[1], 1.5), atol=1e-4)


def test_without_its_package_each_export_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pxr", None)
    with pytest.raises(ExportError, match="usd-core"):
        write_usd(tmp_path / "scene.usda", PROGRAM)
    monkeypatch.setattr(blender, "have_blender", lambda: False)
    with pytest.raises(ExportError, match="pip install bpy"):
        render_in_blender(PROGRAM, tmp_path / "picture.png")


def test_what_blender_says_when_it_fails_is_passed_on(tmp_path, monkeypatch):
    monkeypatch.setattr(blender, "have_blender", lambda: True)
    failed = subprocess.CompletedProcess([], 3, b"", b"noise\nRuntimeError: no sky\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: failed)
    with pytest.raises(ExportError, match=r"code 3.*no sky"):
        render_in_blender(PROGRAM, tmp_path / "picture.png")


@pytest.mark.slow
@pytest.mark.skipif(not have_blender(), reason="needs bpy")
def test_blender_and_the_ray_caster_see_the_same_objects(tmp_path):
    blend = tmp_path / "scene.blend"
    seen = render_in_blender(PROGRAM, tmp_path / "picture.png", 128, 128, 2, blend)
    assert isinstance(seen, BlenderPicture) and blend.stat().st_size > 1e5
    drawn = render_program(PROGRAM, 128, 128).picture
    for i in range(len(PROGRAM.objects)):
        ours, theirs = drawn.instances == FIRST_ID + i, seen.instances == FIRST_ID + i
        assert ours.sum() > 30
        assert (ours & theirs).sum() / (ours | theirs).sum() >= 0.95
    assert abs(seen.rgb.astype(float).mean() - drawn.rgb.mean()) < 60
