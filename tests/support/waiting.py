"""Waiting for what other threads do."""

from __future__ import annotations

import time


def wait_until(condition, seconds: float = 60.0):
    """Returns the first true value of a condition."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")
