"""Scene programs as text: exact round trips, cut-off ends, and hostile texts with bounded work."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace

import hostile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerf_wild.errors import SceneProgramError
from lerf_wild.program import parser
from lerf_wild.program.parser import SceneProgramWarning, parse, parse_with_notes
from lerf_wild.program.printer import print_program
from lerf_wild.program.sampling import sample_program
from lerf_wild.program.statements import STATEMENTS
from lerf_wild.program.tokens import MAX_TOKENS
from lerf_wild.program.types import Embedding, Program, SceneObject, Settings

PAGE = """\
set_sun_intensity(0.981)  set_sun_elevation(0.691)  set_sun_size(0.811)  set_camera(88.130)
set_atmospheric_density(0.009)  set_ozone(1.499)  set_sun_rotation(231.110)  set_dust(0.169)
set_sun_strength(0.212)  set_air(0.771)  set_ground([CLIP])
add(pixels=1582, loc=(-0.553, -0.809, -22.591), height=1.365, rotation=[ROT], appearance=[CLIP])
"""


def finite(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


@st.composite
def objects(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    base = sample_program(rng, 1, draw(st.integers(0, 8))).objects[0]
    loc = tuple(draw(finite(-1e4, 1e4)) for _ in range(3))
    return replace(base, loc_m=loc, height_m=draw(finite(1e-3, 1e3)))


@st.composite
def programs(draw):
    values = {item.field: draw(finite(*item.accepted)) for item in STATEMENTS}
    values["ground_name"] = draw(st.none() | st.sampled_from(["dry grass", "Schnee", "草地"]))
    values["camera_fov_deg"] = draw(st.none() | finite(1.0, 170.0))
    return Program(Settings(**values), tuple(draw(st.lists(objects(), max_size=4))))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(programs())
def test_text_reads_back_exactly(program):
    text = print_program(program)
    assert parse(text) == program
    assert print_program(parse(text)) == text


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    try:
        parse_with_notes(text)
    except SceneProgramError as error:
        assert str(error).startswith(("Line ", "The scene program"))


def test_the_papers_example_reads():
    parsed = parse_with_notes(PAGE)
    assert parsed.notes == ()
    assert parsed.program.settings.camera_pitch_deg == 88.13
    assert parsed.program.objects == (SceneObject(1582, (-0.553, -0.809, -22.591), 1.365),)


def test_the_release_code_names_read_as_the_papers():
    text = PAGE.replace("set_ground", "set_floor").replace("set_sun_strength", "set_strength")
    text = text.replace("set_atmospheric_density", "set_density").replace("add(", "add_boulder(")
    program = parse(text)
    assert program.settings == parse(PAGE).settings
    assert program.objects[0].kind == "rock"


def test_scene_statements_may_come_in_any_order():
    words = PAGE.split("\n")[:3]
    lines = [statement for line in words for statement in line.split("  ")]
    assert parse("\n".join(reversed(lines))).settings == parse(PAGE).settings


def test_digits_round_as_in_the_paper():
    program = sample_program(np.random.default_rng(1), 3, has_extras=False)
    rounded = parse(print_program(program, digits=3, with_values=False))
    assert all(item.rotation_9 is None and item.appearance is None for item in rounded.objects)
    np.testing.assert_allclose(rounded.objects[0].loc_m, program.objects[0].loc_m, atol=5.1e-4)


def test_far_more_than_25_objects_fit():
    program = sample_program(np.random.default_rng(2), 250)
    assert parse(print_program(program)) == program


def test_every_cut_loses_the_last_statement_alone():
    program = sample_program(np.random.default_rng(3), 3, dim=4)
    text = print_program(program).rstrip("\n")
    start = text.rindex("\n") + 1
    for end in range(start + 1, len(text)):
        parsed = parse_with_notes(text[:end])
        assert parsed.program == replace(program, objects=program.objects[:-1]), text[start:end]
        assert parsed.notes == ("Line 15 is cut off; its last statement is left out.",)


def test_what_was_put_right_is_a_warning():
    with pytest.warns(SceneProgramWarning, match="set_air, .*set_ground"):
        parse("set_dust(1.0)")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse(PAGE)


def test_errors_name_the_line():
    with pytest.raises(SceneProgramError, match=r"^Line 3: there is no statement 'set_fog'"):
        parse("# hello\nset_air(1.0)\nset_fog(1)\nset_dust(1.0)\n")


def test_there_are_sixty_hostile_texts():
    assert len(hostile.HOSTILE) >= 60 and len(set(hostile.HOSTILE)) == len(hostile.HOSTILE)


@pytest.mark.parametrize("index", range(len(hostile.HOSTILE)))
def test_hostile_texts_are_refused_with_little_work(index, monkeypatch):
    text, counted, events = hostile.HOSTILE[index], [], []
    real = parser.tokens_of

    def counting(line):
        for token in real(line):
            counted.append(token.kind)
            yield token

    monkeypatch.setattr(parser, "tokens_of", counting)
    if not _WATCHED:
        sys.addaudithook(lambda event, _: [log.append(event) for log in _WATCHED])
    _WATCHED.append(events)
    try:
        with pytest.raises(SceneProgramError) as caught:
            parse_with_notes(text)
    finally:
        _WATCHED.clear()
        _WATCHED.append([])
    assert len(counted) <= MAX_TOKENS + 1
    assert not {"exec", "compile", "open", "os.system", "import"} & set(events)
    assert len(str(caught.value)) < 400


_WATCHED: list[list[str]] = []
"""Audit hooks stay for the life of the process, so one hook writes to whoever listens."""


def test_embeddings_keep_float16():
    values = np.random.default_rng(0).normal(size=128)
    embedding = Embedding.of(values)
    np.testing.assert_array_equal(embedding.numpy(), values.astype(np.float16))
    assert Embedding.from_text(embedding.text()) == embedding
    with pytest.raises(SceneProgramError, match="finite"):
        Embedding.of([np.nan])
    with pytest.raises(SceneProgramError, match="finite"):
        Embedding.of([1e9])
