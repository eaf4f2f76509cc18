"""Programs as values: checks, frames, JSON, differences and files."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerf_wild.errors import SceneProgramError
from lerf_wild.program.diff import describe_diff, diff
from lerf_wild.program.files import read_program, read_with_notes, write_program
from lerf_wild.program.frames import (
    level_from_camera,
    seen_yaw,
    to_camera,
    to_level,
    upright_rotation,
    yaw_of,
)
from lerf_wild.program.json_form import from_json, to_json
from lerf_wild.program.sampling import sample_program
from lerf_wild.program.statements import STATEMENTS
from lerf_wild.program.types import Program, SceneObject, Settings


def sampled(seed: int, objects: int = 4) -> Program:
    return sample_program(np.random.default_rng(seed), objects, dim=8)


def test_there_are_eleven_scene_statements_with_sane_ranges():
    assert len(STATEMENTS) + 1 == 11
    for item in STATEMENTS:
        assert item.accepted[0] <= item.sampled[0] < item.sampled[1] <= item.accepted[1]
        assert item.check(item.default) == item.default
        assert item.clamp(1e9) == item.accepted[1]
        with pytest.raises(SceneProgramError, match=item.name):
            item.check(item.accepted[1] + 1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, "1", True, None, [1], 10**400])
def test_numbers_must_be_finite_numbers(value):
    with pytest.raises(SceneProgramError, match="set_air"):
        Settings(air=value)


def test_numpy_numbers_become_plain_ones():
    item = SceneObject(np.int64(3), np.float32([0, -1, -5]), np.float32(1.5))
    assert type(item.pixels) is int and type(item.height_m) is float
    assert all(type(value) is float for value in item.loc_m)


@pytest.mark.parametrize("pitch", [0.0, 60.0, 88.13, 90.0, 120.0])
def test_the_level_frame_is_upright(pitch):
    rotation = level_from_camera(pitch)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    ahead = to_level((0, 0, -1), pitch)
    assert ahead[0] == 0.0
    np.testing.assert_allclose(np.degrees(np.arcsin(ahead[2])), pitch - 90, atol=1e-9)
    points = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(to_camera(to_level(points, pitch), pitch), points, atol=1e-12)


def test_yaw_survives_the_camera():
    for yaw in np.linspace(-3, 3, 7):
        assert yaw_of(upright_rotation(yaw, 80.0), 80.0) == pytest.approx(yaw)
    up = to_level(upright_rotation(1.0, 80.0)[:, 2], 80.0)
    np.testing.assert_allclose(up, [0, 0, 1], atol=1e-12)


def test_the_seen_yaw_follows_the_line_of_sight():
    # Straight to the right of the camera, a nose along the line of sight points away.
    right = to_camera((5.0, 0.0, 0.0), 85.0)
    assert seen_yaw(0.0, right, 85.0) == pytest.approx(np.pi / 2)
    assert seen_yaw(0.3, (0, 0, -5), 90.0) == pytest.approx(0.3)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(0, 6))
def test_json_reads_back_exactly(seed, count):
    program = sampled(seed, count)
    assert from_json(json.loads(json.dumps(to_json(program), allow_nan=False))) == program


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda c: c.update(version=2), "version"),
        (lambda c: c.update(extra=1), "extra"),
        (lambda c: c["settings"].update(air="x"), "settings: set_air"),
        (lambda c: c["settings"].update(fog=1), "fog"),
        (lambda c: c["objects"][1].pop("height_m"), r"objects\[1\]"),
        (lambda c: c["objects"][0].update(appearance=3), r"objects\[0\]"),
        (lambda c: c["objects"][0].update(body=[1]), r"objects\[0\]: body"),
        (lambda c: c["objects"][0].update(loc_m=7), r"objects\[0\]"),
        (lambda c: c.update(objects={}), "objects"),
    ],
)
def test_wrong_json_is_refused_by_place(change, place):
    content = json.loads(json.dumps(to_json(sampled(0))))
    change(content)
    with pytest.raises(SceneProgramError, match=place):
        from_json(content)
    with pytest.raises(SceneProgramError):
        from_json([content])


def bare(kind: str, x: float, **more: object) -> SceneObject:
    return SceneObject(10, (x, -1.0, -5.0), 1.0, kind=kind, **more)


def test_a_program_equals_itself_in_any_order():
    program = sampled(5)
    assert diff(program, replace(program, objects=program.objects[::-1])).is_empty


def test_differences_are_found():
    before = Program(Settings(), (bare("bird", 0.0), bare("tree", 3.0), bare("rock", -4.0)))
    after = Program(
        Settings(air=1.1), (bare("tree", 3.5), bare("bird", 0.0), bare("carnivore", -4.0))
    )
    found = diff(before, after)
    assert found.settings == ("air",)
    assert (found.gone, found.come) == ((2,), (2,))
    assert [(c.before, c.after, c.fields) for c in found.changed] == [(1, 0, ("loc_m",))]
    lines = describe_diff(before, after, found)
    assert lines[0] == "air: 1 -> 1.1" and "moved 0.500 m" in lines[-1] and len(lines) == 4


def test_identities_pair_objects_wherever_they_are():
    before = Program(objects=(bare("bird", 0.0, identity=1), bare("bird", 1.0, identity=2)))
    after = Program(objects=(bare("bird", 0.0, identity=2), bare("bird", 1.0, identity=1)))
    assert {(c.before, c.after) for c in diff(before, after).changed} == {(0, 1), (1, 0)}


def test_pairs_are_the_best_of_all_assignments():
    rng = np.random.default_rng(7)
    places = rng.uniform(-0.5, 0.5, (2, 4))
    programs = [Program(objects=tuple(bare("bird", float(x)) for x in row)) for row in places]
    found = sum(change.moved_m for change in diff(*programs).changed)
    best = min(np.abs(places[0] - places[1][list(p)]).sum() for p in permutations(range(4)))
    assert found == pytest.approx(best)


@pytest.mark.parametrize("name", ["a.scene", "a.json"])
def test_files_read_back(tmp_path, name):
    program = sampled(9)
    write_program(tmp_path / name, program)
    assert read_program(tmp_path / name) == program


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "a.scene"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SceneProgramError, match="UTF-8"):
        read_program(path)
    path.write_text("set_air(1.0)\nboom()\nset_dust(1.0)")
    with pytest.raises(SceneProgramError, match=r"a\.scene: Line 2"):
        read_program(path)
    path.write_text("set_air(1.0)")
    assert "set_dust" in read_with_notes(path).notes[0]
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(SceneProgramError, match=r"b\.json, line 1"):
        read_program(tmp_path / "b.json")
    with pytest.raises(SceneProgramError, match="can't be read"):
        read_program(tmp_path / "missing.scene")
