"""The panel's two threads: one that always has the newest state, one that works through jobs."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")
OnTrouble = Callable[[BaseException], None]


class Latest(Generic[Item]):
    """Hands the newest item to a function in a thread; items that came between are skipped."""

    def __init__(self, handle: Callable[[Item], None], on_trouble: OnTrouble, name: str) -> None:
        self._handle = handle
        self._on_trouble = on_trouble
        self._items: list[Item] = []
        self._wake = threading.Condition()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def put(self, item: Item) -> None:
        """Replaces what is waiting."""
        with self._wake:
            self._items[:] = [item]
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._items)
                item = self._items.pop()
            try:
                self._handle(item)
            except Exception as error:
                self._on_trouble(error)


class Jobs:
    """Does one job after the other in a thread, and something idle when there is none."""

    def __init__(self, idle: Callable[[], bool], on_trouble: OnTrouble, name: str) -> None:
        self._idle = idle
        self._on_trouble = on_trouble
        self._queue: queue.Queue[Callable[[], None]] = queue.Queue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def put(self, job: Callable[[], None]) -> None:
        """Queues a job."""
        self._queue.put(job)

    def is_waiting(self) -> bool:
        """Whether a job is queued that has not begun."""
        return not self._queue.empty()

    def _run(self) -> None:
        is_busy = False
        while True:
            try:
                # Idle work comes in small pieces, and a job goes before the next of them.
                job = self._queue.get(timeout=0.02 if is_busy else 0.3)
            except queue.Empty:
                job = None
            try:
                is_busy = self._idle() if job is None else job() is not None
            except Exception as error:
                is_busy = False
                self._on_trouble(error)
