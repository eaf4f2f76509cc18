"""The panel's threads: one that always has the newest state, one that works through jobs.

A thread that is still in torch when the interpreter ends takes the process down with an abort. So
all of them are stopped before that, those in which nerfstudio renders too.
"""

from __future__ import annotations

import atexit
import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar
from weakref import WeakSet

Item = TypeVar("Item")
OnTrouble = Callable[[BaseException], None]

PATIENCE_S = 30.0
"""How long the end of a process waits for all threads together."""


class Stoppable(Protocol):
    """What runs in a thread of its own."""

    def stop(self) -> None:
        """Asks for an end, and returns at once."""

    def join(self, timeout: float | None = None) -> None:
        """Waits for the end."""


_RUNNING: WeakSet[Stoppable] = WeakSet()


def stop_at_exit(worker: Stoppable) -> None:
    """Has a thread stopped and waited for when the process ends."""
    _RUNNING.add(worker)


@atexit.register
def stop_all() -> None:
    """Stops all threads and waits for them, together at most ``PATIENCE_S``."""
    workers = list(_RUNNING)
    for worker in workers:
        worker.stop()
    until = time.monotonic() + PATIENCE_S
    for worker in workers:
        worker.join(max(0.0, until - time.monotonic()))


class Latest(Generic[Item]):
    """Hands the newest item to a function in a thread; items that came between are skipped."""

    def __init__(self, handle: Callable[[Item], None], on_trouble: OnTrouble, name: str) -> None:
        self._handle = handle
        self._on_trouble = on_trouble
        self._items: list[Item] = []
        self._is_stopping = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        stop_at_exit(self)

    def put(self, item: Item) -> None:
        """Replaces what is waiting."""
        with self._wake:
            self._items[:] = [item]
            self._wake.notify()

    def stop(self) -> None:
        """Ends the thread after the item in hand; what waits is dropped."""
        with self._wake:
            self._is_stopping = True
            self._wake.notify()

    def join(self, timeout: float | None = None) -> None:
        """Waits for the thread, at most ``timeout`` seconds."""
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._items or self._is_stopping)
                if self._is_stopping:
                    return
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
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        stop_at_exit(self)

    def put(self, job: Callable[[], None]) -> None:
        """Queues a job."""
        self._queue.put(job)

    def is_waiting(self) -> bool:
        """Whether a job is queued that has not begun."""
        return not self._queue.empty()

    def stop(self) -> None:
        """Ends the thread after the job in hand; what waits is dropped."""
        self._is_stopping = True

    def join(self, timeout: float | None = None) -> None:
        """Waits for the thread, at most ``timeout`` seconds."""
        self._thread.join(timeout)

    def _run(self) -> None:
        is_busy = False
        while not self._is_stopping:
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
