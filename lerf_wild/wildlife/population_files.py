"""The door for `wildlife.json`, the file beside a run that holds its items.

An entry that can't be used is reported and left out, and written back as it was; only a file that
is no population at all is refused. Writes are atomic, and whoever edits holds a lock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import msgspec

from lerf_wild.errors import WildlifeError
from lerf_wild.storage import atomic
from lerf_wild.storage.json_files import read_json
from lerf_wild.wildlife.items import Clearing, item_of
from lerf_wild.wildlife.population import (
    MAX_CLEARINGS,
    MAX_ITEMS,
    MAX_STEPS,
    Population,
    Step,
)

POPULATION_FILE = "wildlife.json"
FORMAT = "lerf-wild wildlife"
VERSION = 1
MAX_BYTES = 32 << 20
LOCK_SECONDS = 10.0
_KEYS = {"format", "version", "items", "clearings", "undo", "redo"}


def population_path(folder: Path | str) -> Path:
    """Where the population of a run's folder lies."""
    return Path(folder) / POPULATION_FILE


def read_population(path: Path | str) -> Population:
    """Reads a population; an empty one when there is no file.

    Raises:
        WildlifeError or InputError, naming the file, when it is damaged as a whole.
    """
    path = Path(path)
    if not path.exists():
        return Population()
    content = read_json(path, max_bytes=MAX_BYTES)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise WildlifeError(
            f'{path}: no population file ("format": "{FORMAT}" is expected). Move it away to start '
            "afresh."
        )
    if content.get("version") != VERSION:
        raise WildlifeError(
            f"{path}: version {str(content.get('version'))[:20]}, but this lerf-wild reads version "
            f"{VERSION}. Install the one that wrote it."
        )
    extra = sorted(set(content) - _KEYS)
    if extra:
        raise WildlifeError(f"{path}: the key {extra[0][:40]!r} is unknown; remove it.")
    listed = content.get("items", [])
    if not isinstance(listed, list) or len(listed) > MAX_ITEMS:
        raise WildlifeError(f"{path}: items must be a list of at most {MAX_ITEMS} entries.")
    return _population(path, listed, content)


def write_population(path: Path | str, population: Population) -> None:
    """Writes a population atomically.

    Raises:
        WildlifeError: when the file can't be written.
    """
    items = [msgspec.to_builtins(item) for item in population.items]
    content = {
        "format": FORMAT,
        "version": VERSION,
        "items": [*items, *population.unread],
        "clearings": [*msgspec.to_builtins(population.clearings), *population.unread_clearings],
        "undo": msgspec.to_builtins(population.undo),
        "redo": msgspec.to_builtins(population.redo),
    }
    try:
        atomic.write_json(path, content)
    except OSError as error:
        raise WildlifeError(f"{path}: can't be written ({error.strerror or error}).") from None


def edit_population(path: Path | str, change: Callable[[Population], Population]) -> Population:
    """Reads, changes and writes a population while nobody else does; returns the new one.

    Raises:
        WildlifeError: when another process holds the file, or as reading and writing do.
    """
    with _locked(Path(path)):
        changed = change(read_population(path))
        write_population(path, changed)
    return changed


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except filelock.Timeout:
        raise WildlifeError(
            f"{path}: another process is editing it. Try again when it has finished."
        ) from None
    except OSError as error:
        raise WildlifeError(f"{path}: can't be written ({error.strerror or error}).") from None
    try:
        yield
    finally:
        lock.release()


def _population(path: Path, listed: list[object], content: dict[str, object]) -> Population:
    items, unread, troubles = {}, [], []
    for index, entry in enumerate(listed):
        try:
            item = item_of(entry)
            if item.id in items:
                raise WildlifeError(f"the id {item.id!r} is taken by an earlier item")
            items[item.id] = item
        except WildlifeError as error:
            name = entry.get("id") if isinstance(entry, dict) else None
            named = f" ({str(name)[:40]})" if name is not None else ""
            troubles.append(f"{path}: items[{index}]{named} is left out: {error}.")
            unread.append(entry)
    clearings, unread_clearings, clearing_trouble = _clearings(path, content)
    undo, undo_trouble = _steps(path, content, "undo")
    redo, redo_trouble = _steps(path, content, "redo")
    troubles += [*clearing_trouble, *undo_trouble, *redo_trouble]
    kept = tuple(unread), unread_clearings, tuple(troubles)
    return Population(tuple(items.values()), undo, redo, clearings, *kept)


def _clearings(
    path: Path, content: dict[str, object]
) -> tuple[tuple[Clearing, ...], tuple[object, ...], list[str]]:
    """The clearings that can be used, the entries that can't, and a line for each of these."""
    listed = content.get("clearings", [])
    if not isinstance(listed, list) or len(listed) > MAX_CLEARINGS:
        raise WildlifeError(f"{path}: clearings must be a list of at most {MAX_CLEARINGS} entries.")
    found: dict[str, Clearing] = {}
    unread, troubles = [], []
    for index, entry in enumerate(listed):
        try:
            one = msgspec.convert(entry, Clearing)
            if one.id in found:
                raise WildlifeError(f"the id {one.id!r} is taken by an earlier one")
            found[one.id] = one
        except (msgspec.ValidationError, WildlifeError) as error:
            reason = str(error).replace("`", "'")
            troubles.append(f"{path}: clearings[{index}] is left out: {reason}.")
            unread.append(entry)
    return tuple(found.values()), tuple(unread), troubles


def _steps(
    path: Path, content: dict[str, object], key: str
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """The steps of a history; a damaged one is forgotten as a whole, for steps build on others."""
    try:
        steps = msgspec.convert(content.get(key, []), tuple[Step, ...])
    except msgspec.ValidationError as error:
        reason = str(error).replace("`", "'")
        return (), (f"{path}: the {key} history is forgotten: {reason}.",)
    return steps[-MAX_STEPS:], ()
