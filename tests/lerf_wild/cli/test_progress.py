"""Bars are told how many pieces are done in all."""

from __future__ import annotations

from contextlib import contextmanager

from rich.console import Console

from lerf_wild.cli import progress


def test_pieces_are_added_up(monkeypatch):
    told = []

    @contextmanager
    def counting_to(console, what, total):
        told.append((what, total))
        yield told.append

    monkeypatch.setattr(progress, "counting_to", counting_to)
    with progress.adding_up(Console(), "pictures", 6) as add:
        for count in (1, 2, 3):
            add(count)
    assert told == [("pictures", 6), 1, 3, 6]
