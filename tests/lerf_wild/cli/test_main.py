"""The command line's frame: dispatch, messages, exit codes, speed of help."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from importlib import import_module

import pytest

from lerf_wild import cli
from lerf_wild.errors import QueryError

CALLS: list[object] = []


def succeed(points: int = 3) -> None:
    """Counts points.

    Args:
        points: How many.
    """
    CALLS.append(points)


def fail_input() -> None:
    """Fails for bad input."""
    raise QueryError("no phrases were given.\nPass --phrases fox.")


def fail_interrupted() -> None:
    """Is interrupted."""
    raise KeyboardInterrupt


def fail_disk() -> None:
    """Meets a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device", "a.ply")


def fail_bug() -> None:
    """Has a bug."""
    raise ZeroDivisionError


@pytest.fixture(autouse=True)
def commands(monkeypatch):
    functions = {
        "count": succeed,
        "make cloud": succeed,
        "make nothing": fail_input,
        "stop": fail_interrupted,
        "fill": fail_disk,
        "bug": fail_bug,
    }
    monkeypatch.setitem(sys.modules, "cli_test_commands", sys.modules[succeed.__module__])
    table = {
        name: (f"cli_test_commands:{function.__name__}", "help of it")
        for name, function in functions.items()
    }
    monkeypatch.setattr(cli, "COMMANDS", table)
    CALLS.clear()


def exit_code(arguments: list[str]) -> int:
    try:
        cli.main(arguments)
    except SystemExit as stop:
        return stop.code or 0
    return 0


def test_commands_and_groups_run_with_their_flags():
    assert exit_code(["count", "--points", "5"]) == 0
    assert exit_code(["make", "cloud"]) == 0
    assert CALLS == [5, 3]


def test_errors_are_two_lines_and_code_2(capsys):
    assert exit_code(["make", "nothing"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "lerf-wild: no phrases were given.\nPass --phrases fox.\n"


def test_interrupts_and_full_disks_are_messages(capsys):
    assert exit_code(["stop"]) == 130
    assert capsys.readouterr().err == "lerf-wild: stopped.\n"
    assert exit_code(["fill"]) == 2
    assert "disk is full (a.ply)" in capsys.readouterr().err


def test_paths_that_the_file_system_refuses_are_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.undo()
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    for words in (
        ["synth", "primitives", "--scenes", "2", "--output-dir", str(file)],
        ["synth", "habitat", "--views", "8", "--output-dir", str(file)],
        ["synth", "genzoo", "--num", "2", "--output-dir", str(file / "below")],
    ):
        with pytest.raises(SystemExit) as stopped:
            cli.main(words)
        message = capsys.readouterr().err
        assert stopped.value.code == 2 and len(message.splitlines()) == 1, message
        assert str(file) in message
    assert file.read_text() == "mine"


def test_bugs_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        cli.main(["bug"])


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_overview_lists_every_command(capsys, arguments):
    assert exit_code(arguments) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in cli.COMMANDS)


def test_a_group_lists_its_own(capsys):
    assert exit_code(["make"]) == 0
    out = capsys.readouterr().out
    assert "make cloud" in out
    assert "count" not in out


def test_version(capsys):
    assert exit_code(["--version"]) == 0
    assert re.fullmatch(r"lerf-wild \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_unknown_words_get_a_hint(capsys):
    assert exit_code(["cuont"]) == 2
    assert "Did you mean `lerf-wild count`?" in capsys.readouterr().err
    assert exit_code(["make", "cluod"]) == 2
    assert "Did you mean `lerf-wild make cloud`?" in capsys.readouterr().err
    assert exit_code(["\x1b[31m" * 100]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_wrong_flags_are_code_2(capsys):
    assert exit_code(["count", "--points", "many"]) == 2
    assert exit_code(["count", "--pionts", "3"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_every_registered_command_exists(monkeypatch):
    monkeypatch.undo()
    for name, (target, summary) in cli.COMMANDS.items():
        module, _, function = target.partition(":")
        assert callable(getattr(import_module(module), function)), name
        assert len(name.split()) <= 2
        assert summary


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from lerf_wild.cli import main; main(['--help']); "
        "heavy = {'torch', 'tyro', 'rich', 'numpy', 'nerfstudio'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
