"""Training as a user does it: `ns-train` in a process of its own, followed through its log."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lerf_wild.errors import TrainingError

EXPERIMENT = "habitat"
RUN = "run"
"""Fixed names, so that the run's folder is known beforehand."""

POLL_SECONDS = 0.5
_STEP = re.compile(r"^\s*(\d+) \(\d+\.\d+%\)")


def train_words(
    method: str, data: Path, output_dir: Path, steps: int | None, flags: Sequence[str] = ()
) -> list[str]:
    """Returns the words of `ns-train` that train into `output_dir`."""
    words = [method, "--data", str(data), "--output-dir", str(output_dir)]
    words += ["--experiment-name", EXPERIMENT, "--timestamp", RUN, "--vis", "tensorboard"]
    # One line a report instead of a table that is drawn over, so that the log can be followed.
    words += ["--logging.local-writer.max-log-size", "0"]
    if steps is not None:
        words += ["--max-num-iterations", str(steps), "--steps-per-save", str(steps)]
    return [*words, *flags]


def config_path(method: str, output_dir: Path) -> Path:
    """Returns where `train_words` leaves the run's config.yml."""
    return output_dir / EXPERIMENT / method / RUN / "config.yml"


def run_training(words: Sequence[str], log: Path, on_step: Callable[[int], None]) -> None:
    """Runs `ns-train`, its output going to `log`; `on_step` is told how far it is.

    Raises TrainingError with the last line of the log when it fails. The process is ended with this
    one.
    """
    command = [sys.executable, "-m", "nerfstudio.scripts.train", *words]
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
    try:
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
            on_step(last_step(log))
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode != 0:
        raise TrainingError(
            f"Training stopped with code {process.returncode}: {_reason(log)}\n"
            f"The whole output is in {log}."
        )


def last_step(log: Path) -> int:
    """Returns the last training step that a log tells of, 0 before the first."""
    tail = _tail(log)
    steps = [int(found.group(1)) for found in map(_STEP.match, tail) if found]
    return steps[-1] if steps else 0


def _reason(log: Path) -> str:
    lines = [line.strip() for line in _tail(log) if line.strip()]
    return lines[-1][:300] if lines else "it said nothing."


def _tail(log: Path, size: int = 1 << 14) -> list[str]:
    with open(log, "rb") as handle:
        handle.seek(0, 2)
        handle.seek(max(0, handle.tell() - size))
        text = handle.read().decode("utf-8", "replace")
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).splitlines()
