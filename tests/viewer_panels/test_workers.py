"""Threads that work in torch while the process ends, in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEGIN = """
import threading, time, torch
from lerf_wild.viewer_panels.workers import Jobs, Latest

begun = threading.Event()

def multiply(*_):
    begun.set()
    for _ in range(100):
        torch.rand(300, 300) @ torch.rand(300, 300)
    return True

def sleep(*_):
    begun.set()
    time.sleep(0.5)
    print("done")
"""

BUSY = {
    "idle work": "Jobs(multiply, print, 'idle')",
    "a job": "Jobs(lambda: False, print, 'jobs').put(multiply)",
    "an item": "Latest(multiply, print, 'items').put(0)",
}


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", BEGIN + code + "\nbegun.wait()"],
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.parametrize("start", BUSY.values(), ids=BUSY)
def test_a_process_ends_well_while_a_thread_is_in_torch(start):
    ended = run(start)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    "worker", ["Jobs(lambda: False, print, 'jobs')", "Latest(sleep, print, 'x')"]
)
def test_what_is_in_hand_is_finished_and_what_waits_is_dropped(worker):
    ended = run(f"worker = {worker}; worker.put(sleep); begun.wait(); worker.put(sleep)")
    assert (ended.returncode, ended.stdout) == (0, "done\n")


def test_a_render_thread_ends_in_the_midst_of_pictures(screen):
    screen.stop()
    screen.join(20)
    assert not screen.is_alive()
