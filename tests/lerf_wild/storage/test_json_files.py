"""JSON from outside: accepted like the standard reader, or refused with file and place."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerf_wild.errors import InputError
from lerf_wild.storage.json_files import read_json

FINITE = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)

HOSTILE = {
    "nan": ('{\n"a": [1,\nNaN]}', "line 3"),
    "infinity": ('{"a": -Infinity}', "-Infinity"),
    "nan text before the nan": ('{"NaN": 1,\n"a": NaN}', "line 2"),
    "overflow": ('\n\n{"a": 1e999}', "line 3"),
    "negative overflow": ("[-1e999]", "-1e999"),
    "cut off": ('{"a": [1, 2', "line 1"),
    "empty": ("", "line 1"),
    "not json": ("<html></html>", "line 1"),
    "repeated key": ('{"frames": [], "frames": []}', "'frames' appears twice"),
    "deep list": ("[" * 200_000 + "]" * 200_000, "nested deeper"),
    "rather deep": ("[" * 100 + "]" * 100, "nested deeper"),
    "deep object": ('{"a":' * 5000 + "1" + "}" * 5000, "nested deeper"),
    "digits": ("1" * 10_000, "can't be read"),
    "single quotes": ("{'a': 1}", "line 1"),
    "two values": ("{} {}", "line 1"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_json_is_refused_with_file_and_place(tmp_path, name):
    text, place = HOSTILE[name]
    path = tmp_path / "transforms.json"
    path.write_text(text)
    start = time.perf_counter()
    with pytest.raises(InputError) as caught:
        read_json(path)
    assert str(path) in str(caught.value)
    assert place in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2
    assert time.perf_counter() - start < 1


def test_wrong_encodings_and_sizes(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a":\n"\xff\xfe"}')
    with pytest.raises(InputError, match="line 2: not UTF-8"):
        read_json(path)
    path.write_bytes('{"a": 1}'.encode("utf-16"))
    with pytest.raises(InputError, match="not UTF-8"):
        read_json(path)
    path.write_text("[" + "1," * 1000 + "1]")
    with pytest.raises(InputError, match="larger than"):
        read_json(path, max_bytes=1000)
    with pytest.raises(InputError, match="can't be read"):
        read_json(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        read_json(tmp_path / "missing.json")


def test_a_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes('{"a": 1}'.encode("utf-8-sig"))
    assert read_json(path) == {"a": 1}


@settings(max_examples=100, derandomize=True, deadline=None)
@given(VALUES)
def test_reads_what_the_standard_library_writes(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    assert read_json(path) == value
