"""All items and clearings of a place with the history of their changes, as a value.

A `Step` holds the items and clearings that one change touched, as they were before and after it,
so that undoing costs nothing and can't fail.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from lerf_wild.errors import WildlifeError
from lerf_wild.wildlife.items import Clearing, Item, Words, checked

MAX_ITEMS, MAX_CLEARINGS = 2000, 64
MAX_STEPS = 200
"""Changes that can be taken back."""


Named = TypeVar("Named", Item, Clearing)


class Step(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One change: what it touched, as it was and as it became; None where there was nothing."""

    label: Words
    before: dict[str, Item | None]
    after: dict[str, Item | None]
    uncleared: dict[str, Clearing | None] = {}
    cleared: dict[str, Clearing | None] = {}


class Population(Struct, frozen=True):
    """The items of a place, in the order in which they were placed."""

    items: Annotated[tuple[Item, ...], Meta(max_length=MAX_ITEMS)] = ()
    undo: tuple[Step, ...] = ()
    redo: tuple[Step, ...] = ()
    clearings: Annotated[tuple[Clearing, ...], Meta(max_length=MAX_CLEARINGS)] = ()
    """Places that are emptied of what the photos show there."""
    unread: tuple[Any, ...] = ()
    """Entries of the file that can't be used; they are written back as they were."""
    unread_clearings: tuple[Any, ...] = ()
    """The same of clearings."""
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
    taken = _ids(population)
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
    _check_is_free(population, item.id)
    if len(population.items) + len(population.unread) >= MAX_ITEMS:
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


def with_clearing(population: Population, clearing: Clearing) -> Population:
    """The population with one more place that is emptied.

    Raises:
        WildlifeError: when its id is taken or there are too many.
    """
    _check_is_free(population, clearing.id)
    if len(population.clearings) + len(population.unread_clearings) >= MAX_CLEARINGS:
        raise WildlifeError(f"{MAX_CLEARINGS} places are cleared already, the most there may be.")
    return _stepped(population, f"clear {clearing.id}", {}, {clearing.id: clearing})


def without(population: Population, name: str) -> Population:
    """The population without one item, or with what a clearing had taken out.

    Raises:
        WildlifeError: for an unknown id.
    """
    if any(one.id == name for one in population.clearings):
        return _stepped(population, f"remove {name}", {}, {name: None})
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
    changed = {
        "items": _applied(population.items, step.before),
        "clearings": _applied(population.clearings, step.uncleared),
    }
    redo = (*population.redo, step)
    return msgspec.structs.replace(population, undo=tuple(rest), redo=redo, **changed)


def redone(population: Population) -> Population:
    """The population with the change that was taken back last.

    Raises:
        WildlifeError: when none was.
    """
    if not population.redo:
        raise WildlifeError("There is nothing to redo.")
    *rest, step = population.redo
    changed = {
        "items": _applied(population.items, step.after),
        "clearings": _applied(population.clearings, step.cleared),
    }
    undo = (*population.undo, step)
    return msgspec.structs.replace(population, undo=undo, redo=tuple(rest), **changed)


def _check_is_free(population: Population, name: str) -> None:
    if name in _ids(population):
        raise WildlifeError(f"There is an item {name!r} already; choose another id.")


def _ids(population: Population) -> set[str]:
    return {one.id for one in (*population.items, *population.clearings)}


def _stepped(
    population: Population,
    label: str,
    after: Mapping[str, Item | None],
    cleared: Mapping[str, Clearing | None] = MappingProxyType({}),
) -> Population:
    before = dict.fromkeys(after) | {one.id: one for one in population.items if one.id in after}
    uncleared = dict.fromkeys(cleared) | {
        one.id: one for one in population.clearings if one.id in cleared
    }
    step = Step(label, before, dict(after), uncleared, dict(cleared))
    return msgspec.structs.replace(
        population,
        items=_applied(population.items, after),
        clearings=_applied(population.clearings, cleared),
        undo=(*population.undo, step)[-MAX_STEPS:],
        redo=(),
    )


def _applied(items: tuple[Named, ...], changes: Mapping[str, Named | None]) -> tuple[Named, ...]:
    """The items with some replaced, taken out (None) or added at the end."""
    kept = {item.id: item for item in items}
    for name, item in changes.items():
        if item is None:
            kept.pop(name, None)
        else:
            kept[name] = item
    return tuple(kept.values())
