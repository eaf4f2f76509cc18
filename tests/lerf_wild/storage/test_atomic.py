"""Atomic writes are complete or not there."""

from __future__ import annotations

import errno
import os

import pytest

from lerf_wild.errors import AssetError, ExportError
from lerf_wild.storage import atomic


def test_writes_text_bytes_and_json(tmp_path):
    atomic.write_text(tmp_path / "new" / "a.txt", "Füchse\n")
    atomic.write_bytes(tmp_path / "b.bin", b"\x00\x01")
    atomic.write_json(tmp_path / "c.json", {"b": 1.5, "a": "é"})
    assert (tmp_path / "new" / "a.txt").read_bytes() == "Füchse\n".encode()
    assert (tmp_path / "b.bin").read_bytes() == b"\x00\x01"
    assert (tmp_path / "c.json").read_text(encoding="utf-8") == '{\n  "b": 1.5,\n  "a": "é"\n}\n'


def test_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    atomic.write_text(target, "old")
    with pytest.raises(RuntimeError), atomic.atomic_path(target) as temporary:
        temporary.write_text("half of the ne")
        raise RuntimeError("stop")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_nan_in_json_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError):
        atomic.write_json(tmp_path / "a.json", {"psnr": float("nan")})
    assert not list(tmp_path.iterdir())


def test_full_disk_at_sync_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        atomic.write_text(tmp_path / "a.txt", "text")
    assert not list(tmp_path.iterdir())


def test_very_long_names_still_fit_the_file_system(tmp_path):
    atomic.write_text(tmp_path / ("x" * 250), "text")
    assert (tmp_path / ("x" * 250)).read_text() == "text"


def test_what_the_disk_says_is_one_line_that_names_the_file(tmp_path):
    target = tmp_path / "a.txt"
    with pytest.raises(ExportError) as caught, atomic.writing(target, hint=atomic.IS_FULL):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    reason = os.strerror(errno.ENOSPC)
    assert str(caught.value) == f"{target}: can't be written ({reason}). Is the disk full?"
    with pytest.raises(AssetError, match=r"a\.txt: can't be written \(gone\)\.$"):
        with atomic.writing(target, AssetError):
            raise OSError("gone")
    with pytest.raises(KeyError), atomic.writing(target):
        raise KeyError("of another kind")
