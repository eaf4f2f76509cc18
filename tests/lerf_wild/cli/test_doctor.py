"""The doctor's findings on whole, broken and offline installations."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from lerf_wild.cli import doctor as doctor_module
from lerf_wild.cli.doctor import Finding, doctor, examine
from lerf_wild.errors import ExportError


def finding(part: str) -> Finding:
    return next(item for item in examine() if item.part == part)


def test_every_missing_part_has_a_remedy_and_no_text_is_long():
    for item in examine():
        assert item.state in ("ok", "optional", "missing")
        assert item.detail
        assert item.state != "missing" or item.remedy, item


def test_the_network_is_never_asked(monkeypatch):
    import socket

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    start = time.perf_counter()
    assert not [item for item in examine() if "AssertionError" in item.detail]
    assert time.perf_counter() - start < 20


def test_a_check_that_fails_becomes_a_finding(monkeypatch):
    def broken():
        raise OSError("libcuda.so.1: cannot open\nmore")

    monkeypatch.setattr(doctor_module, "_torch", broken)
    item = finding("torch")
    assert item.state == "missing"
    assert item.detail == "OSError: libcuda.so.1: cannot open"


def test_a_cache_that_does_not_exist_yet_is_fine(monkeypatch, tmp_path):
    monkeypatch.setenv("LERF_WILD_CACHE", str(tmp_path / "deep" / "cache"))
    assert finding("cache").state in ("ok", "optional")
    assert not list(tmp_path.iterdir())


def test_little_space_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor_module, "FREE_SPACE_MB", 1e12)
    monkeypatch.setenv("LERF_WILD_CACHE", str(tmp_path))
    assert "LERF_WILD_CACHE" in finding("cache").remedy


def test_a_cache_that_can_not_be_written_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor_module, "_is_writable", lambda folder: False)
    monkeypatch.setenv("LERF_WILD_CACHE", str(tmp_path))
    assert finding("cache").state == "missing"


@pytest.mark.parametrize("state", ["ok", "missing"])
def test_json_and_exit_code(monkeypatch, tmp_path, capsys, state):
    remedy = 'In the checkout: `pip install -e ".[ray]"`'
    monkeypatch.setattr(
        doctor_module, "examine", lambda: [Finding("extra ray", state, "[x] it", remedy)]
    )
    path = tmp_path / "doctor.json"
    if state == "missing":
        with pytest.raises(SystemExit, match="1"):
            doctor(path)
    else:
        doctor(path)
    content = json.loads(path.read_text())
    assert content["extra_ray"] == state
    assert content["missing"] == (state == "missing")
    out = capsys.readouterr().out
    assert remedy in out
    assert "[x] it" in out


def test_reports_hold_plain_figures(tmp_path):
    import numpy as np
    import torch

    from lerf_wild.cli.report import write_report

    path = tmp_path / "report.json"
    figures = {
        "psnr": np.float64(25.5),
        "miou": torch.tensor(0.5),
        "views": np.int64(3),
        "nothing": float("nan"),
        "path": Path("a.ply"),
        "list": [np.float32(1), (2, 3)],
    }
    write_report(path, figures, seed=7)
    content = json.loads(path.read_text())
    assert content["psnr"] == 25.5
    assert content["miou"] == 0.5
    assert content["views"] == 3
    assert content["nothing"] is None
    assert content["path"] == "a.ply"
    assert content["list"] == [1, [2, 3]]
    assert content["seed"] == 7
    assert content["version_nerfstudio"] == "1.1.5"
    assert isinstance(content["command"], str)
    assert content["device"]
    write_report(None, figures)
    with pytest.raises(ExportError, match="JSON"):
        write_report(path, {"a": object()})
    with pytest.raises(ExportError, match="can't be written"):
        write_report(path / "below" / "a.json", {})
