"""Progress bars with the rate and the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def say(console: Console, text: str) -> None:
    """Prints a line as it is: names and phrases may hold what looks like markup."""
    # Names of files may hold bytes that are no text; a terminal takes text alone.
    text = text.encode("utf-8", "replace").decode("utf-8")
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def numbered(count: int, noun: str) -> str:
    """``1 photo``, ``2 photos``."""
    return f"{count} {noun}{'s' * (count != 1)}"


@contextmanager
def counting(
    console: Console, what: str, total: int, is_transient: bool = True
) -> Iterator[Callable[[], None]]:
    """Shows a bar while the block runs; the function that it yields counts one piece as done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=is_transient) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


@contextmanager
def open_counting(console: Console, what: str) -> Iterator[Callable[[int], Callable[[], None]]]:
    """Like `counting`, for work whose amount is only known once it has begun.

    What is yielded is called with the total and returns the function that counts.
    """
    with ExitStack() as stack:
        yield lambda total: stack.enter_context(counting(console, what, total))


@contextmanager
def counting_to(console: Console, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Like `counting`, but what is yielded is told how many pieces are done in all.

    Without a total the bar only shows that something is going on.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def adding_up(console: Console, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Like `counting_to`, but what is yielded is told how many more pieces are done."""
    done = 0
    with counting_to(console, what, total) as at:

        def add(count: int) -> None:
            nonlocal done
            done += count
            at(done)

        yield add
