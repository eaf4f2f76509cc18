"""nerfstudio's commands end in lines that a person can read."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lerf_wild import errors


def test_a_missing_scene_ends_ns_train_in_one_line_and_with_code_2(tmp_path):
    words = ["-m", "nerfstudio.scripts.train", "lerf-wild-tiny", "--vis", "tensorboard"]
    words += ["--data", str(tmp_path / "nowhere"), "--output-dir", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=240)
    assert done.returncode == errors.EXIT_CODE
    assert "nowhere: there is no such folder" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("program", "is_told"),
    [
        ("/venv/bin/ns-train", True),
        ("/venv/lib/nerfstudio/scripts/train.py", True),
        ("/home/me/my_script.py", False),
        ("", False),
    ],
)
def test_only_nerfstudio_commands_lose_their_traceback(monkeypatch, program, is_told):
    monkeypatch.setattr(sys, "argv", [program])
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    errors.tell_plainly()
    assert (sys.excepthook is not sys.__excepthook__) is is_told


def test_a_hook_of_others_stays(monkeypatch):
    theirs = lambda *_: None  # noqa: E731
    monkeypatch.setattr(sys, "argv", ["ns-train"])
    monkeypatch.setattr(sys, "excepthook", theirs)
    errors.tell_plainly()
    assert sys.excepthook is theirs


def test_other_errors_keep_their_traceback(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ns-train"])
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    errors.tell_plainly()
    sys.excepthook(KeyError, KeyError("x"), None)
    assert "KeyError: 'x'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        sys.excepthook(errors.DatasetError, errors.DatasetError("no scene"), None)
    assert ended.value.code == 2 and capsys.readouterr().err == "no scene\n"
