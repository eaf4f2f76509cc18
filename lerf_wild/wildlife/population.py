"""All items of a place with the history of their changes, as a value.

A `Step` holds the items that one change touched, as they were before and after it, so that undoing
costs nothing and can't fail.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from lerf_wild.errors import WildlifeError
from lerf_wild.wildlife.items import Item, Words, checked

MAX_ITEMS = 2000
MAX_STEPS = 200
"""Changes that can be taken back."""


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One change: what it touched, as it was and as it became; None where there was nothing."""

    label: Words
    before: dict[str, Item | None]
    after: dict[str, Item | None]


class Population(Struct, frozen=True):
    """The items of a place, in the order in which they were placed."""

    items: Annotated[tuple[Item, ...], Meta(max_length=MAX_ITEMS)] = ()
    undo: tuple[Step, ...] = ()
    redo: tuple[Step, ...] = ()
    unread: tuple[Any, ...] = ()
    """Entries of the file that can't be used; they are written back as they were."""
    troubles: tuple[str, ...] = ()
    """One line for each of them."""

    def item(self, name: str) -> Item:
        """The item of an id.

        Raises:
            WildlifeError: listing the ids when there is none of that id.
        """
        for item in self.items:
            if item.id == name:
                return item
        known = ", ".join(item.id for item in self.items[:12]) or "nothing is placed yet"
        raise WildlifeError(f"There is no item {name[:60]!r}; there are: {known}.")

    @property
    def visible(self) -> tuple[Item, ...]:
        """The items that are shown."""
        return tuple(item for item in self.items if item.visible)


def free_id(population: Population, words: str) -> str:
    """An id that is not taken, made of a few words."""
    stem = re.sub(r"[^a-z0-9]+", "_", words.casefold()).strip("_")[:48] or "item"
    taken = {item.id for item in population.items}
    taken |= {str(entry.get("id")) for entry in population.unread if isinstance(entry, dict)}
    number = 1
    while f"{stem}_{number}" in taken:
        number += 1
    return f"{stem}_{number}"


def with_item(population: Population, item: Item, label: str | None = None) -> Population:
    """The population with one more item.

    Raises:
        WildlifeError: when its id is taken or there are too many.
    """
    if any(other.id == item.id for other in population.items):
        raise WildlifeError(f"There is an item {item.id!r} already; choose another id.")
    if len(population.items) >= MAX_ITEMS:
        raise WildlifeError(f"There are {MAX_ITEMS} items already, the most a place may hold.")
    return _stepped(population, label or f"place {item.id}", {item.id: item})


def with_change(population: Population, name: str, label: str, **changes: Any) -> Population:
    """The population with one item changed.

    Raises:
        WildlifeError: for an unknown id or a value that can't be.
    """
    item = checked(population.item(name), **changes)
    if item.id != name:
        raise WildlifeError("The id of an item stays as it is.")
    return _stepped(population, label, {name: item})


def with_swap(population: Population, item: Item) -> Population:
    """The population with an item that became something else under its id.

    Raises:
        WildlifeError: for an unknown id.
    """
    population.item(item.id)
    return _stepped(population, f"swap {item.id}", {item.id: item})


def without(population: Population, name: str) -> Population:
    """The population without one item.

    Raises:
        WildlifeError: for an unknown id.
    """
    population.item(name)
    return _stepped(population, f"remove {name}", {name: None})


def undone(population: Population) -> Population:
    """The population before its latest change.

    Raises:
        WildlifeError: when there is nothing to take back.
    """
    if not population.undo:
        raise WildlifeError("There is nothing to undo.")
    *rest, step = population.undo
    items = _applied(population.items, step.before)
    redo = (*population.redo, step)
    return msgspec.structs.replace(population, items=items, undo=tuple(rest), redo=redo)


def redone(population: Population) -> Population:
    """The population with the change that was taken back last.

    Raises:
        WildlifeError: when none was.
    """
    if not population.redo:
        raise WildlifeError("There is nothing to redo.")
    *rest, step = population.redo
    items = _applied(population.items, step.after)
    undo = (*population.undo, step)
    return msgspec.structs.replace(population, items=items, undo=undo, redo=tuple(rest))


def _stepped(population: Population, label: str, after: Mapping[str, Item | None]) -> Population:
    old = {item.id: item for item in population.items}
    step = Step(label, {name: old.get(name) for name in after}, dict(after))
    undo = (*population.undo, step)[-MAX_STEPS:]
    items = _applied(population.items, after)
    return msgspec.structs.replace(population, items=items, undo=undo, redo=())


def _applied(items: tuple[Item, ...], changes: Mapping[str, Item | None]) -> tuple[Item, ...]:
    """The items with some replaced, taken out (None) or added at the end."""
    kept = {item.id: item for item in items}
    for name, item in changes.items():
        if item is None:
            kept.pop(name, None)
        else:
            kept[name] = item
    return tuple(kept.values())
