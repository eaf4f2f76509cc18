"""File names of a dataset stay inside its folder."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerf_wild.errors import DatasetError
from lerf_wild.storage.safe_paths import inside

HOSTILE = [
    "",
    " ",
    ".",
    "./",
    "/",
    "//",
    "..",
    "...",
    "../",
    "../secret.txt",
    "images/../../secret.txt",
    "images/..",
    "./../secret.txt",
    "/etc/passwd",
    "//server/share/a.png",
    "\\\\server\\share\\a.png",
    "..\\secret.txt",
    "images\\a.png",
    "C:\\Windows\\system.ini",
    "C:/Windows/system.ini",
    "C:secret.txt",
    "c:",
    "file:///etc/passwd",
    "https://example.org/a.png",
    "s3://bucket/a.png",
    "images/a.png\0.jpg",
    "images/a\n.png",
    "images/\x1b[31m.png",
    "\uff0e\uff0e/secret.txt",
    "images/\u2025/\u2025/secret.txt",
    "~/secret.txt",
    "~root/secret.txt",
    "a/" * 2000 + "b.png",
    "x" * 300 + ".png",
    "é" * 200 + ".png",
    ".. /secret.txt",
    "images/a\ud800.png",
]

ORDINARY = [
    "images/frame_00001.png",
    "a.png",
    "./images/a.png",
    "images//a.png",
    "images/..a.png",
    "images/a..png",
    "images/Füchse im Wald.JPG",
    "images/2024-01-01T10:00:00.jpg",
    ".hidden/a.png",
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_are_refused(tmp_path, name):
    with pytest.raises(DatasetError) as caught:
        inside(tmp_path, name)
    message = str(caught.value)
    assert len(message.splitlines()) <= 2
    assert len(message) < 400
    assert message.isprintable() or "\n" in message


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_names_are_joined(tmp_path, name):
    assert inside(tmp_path, name) == (tmp_path / name).resolve()


@pytest.mark.parametrize("name", [None, 3, b"a.png", ["a.png"]])
def test_names_that_are_no_text(tmp_path, name):
    with pytest.raises(DatasetError, match="must be text"):
        inside(tmp_path, name)


def test_links_may_not_leave_the_folder_unless_allowed(tmp_path):
    root, secret = tmp_path / "scene", tmp_path / "secret.txt"
    root.mkdir()
    secret.write_text("secret")
    (root / "a.txt").symlink_to(secret)
    (root / "up").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    for name in ("a.txt", "up/secret.txt"):
        with pytest.raises(DatasetError, match="--allow-outside-root True"):
            inside(root, name)
        assert inside(root, name, allow_outside=True) == secret
    with pytest.raises(DatasetError):
        inside(root, "loop")
    (root / "b.txt").write_text("fine")
    (root / "link").symlink_to(root / "b.txt")
    assert inside(root, "link") == root / "b.txt"


def test_allow_outside_lets_absolute_paths_through_but_not_nonsense(tmp_path):
    assert inside(tmp_path, "/data/a.png", allow_outside=True).name == "a.png"
    assert inside(tmp_path / "scene", "../a.png", allow_outside=True) == tmp_path / "a.png"
    for name in ("", "a\0b", "https://example.org/a.png"):
        with pytest.raises(DatasetError):
            inside(tmp_path, name, allow_outside=True)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.text(alphabet=st.sampled_from("./\\~:ab\0 "), max_size=12))
def test_no_name_gets_out(tmp_path_factory, name):
    root = tmp_path_factory.getbasetemp() / "scene"
    try:
        path = inside(root, name)
    except DatasetError:
        return
    assert path != root.resolve()
    assert path.is_relative_to(root.resolve())
