"""What changed between two programs: settings, and objects that came, went or changed.

Objects are paired by their identity where both programs give one, else so that the sum of their
distances in metres is least; a pair that is further apart than `reach_m`, or of different kinds,
is one object gone and another come.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from lerf_wild.program.types import OBJECT_FIELDS, SETTING_FIELDS, Program, SceneObject

_FAR = 1e9


@dataclass(frozen=True)
class Change:
    """One pair of objects and the fields in which they differ."""

    before: int
    after: int
    fields: tuple[str, ...]
    moved_m: float


@dataclass(frozen=True)
class Difference:
    """Everything in which two programs differ; numbers are places in their lists of objects."""

    settings: tuple[str, ...]
    gone: tuple[int, ...]
    come: tuple[int, ...]
    changed: tuple[Change, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the programs draw the same scene."""
        return not (self.settings or self.gone or self.come or self.changed)


def diff(before: Program, after: Program, reach_m: float = 2.0) -> Difference:
    """The difference of two programs; the order of objects doesn't count."""
    pairs = _pairs(before.objects, after.objects, reach_m)
    firsts, seconds = {a for a, _ in pairs}, {b for _, b in pairs}
    changes = [_change(before.objects, after.objects, a, b) for a, b in pairs]
    return Difference(
        tuple(
            name
            for name in SETTING_FIELDS
            if getattr(before.settings, name) != getattr(after.settings, name)
        ),
        tuple(i for i in range(len(before.objects)) if i not in firsts),
        tuple(i for i in range(len(after.objects)) if i not in seconds),
        tuple(change for change in changes if change.fields),
    )


def describe_diff(before: Program, after: Program, difference: Difference) -> list[str]:
    """The difference as lines that a person reads."""
    lines = [
        f"{name}: {_short(getattr(before.settings, name))} -> "
        f"{_short(getattr(after.settings, name))}"
        for name in difference.settings
    ]
    lines += [f"- object {i}: {_name(before.objects[i])}" for i in difference.gone]
    lines += [f"+ object {i}: {_name(after.objects[i])}" for i in difference.come]
    for change in difference.changed:
        what = ", ".join(change.fields)
        lines.append(
            f"~ object {change.before} -> {change.after}: {_name(after.objects[change.after])}: "
            f"{what} (moved {change.moved_m:.3f} m)"
        )
    return lines


def _pairs(
    before: tuple[SceneObject, ...], after: tuple[SceneObject, ...], reach_m: float
) -> list[tuple[int, int]]:
    if not before or not after:
        return []
    cost = _distances(before, after)
    for row, first in enumerate(before):
        for column, second in enumerate(after):
            cost[row, column] = _priced(cost[row, column], first, second, reach_m)
    rows, columns = linear_sum_assignment(cost)
    return [(int(a), int(b)) for a, b in zip(rows, columns) if cost[a, b] < _FAR]


def _distances(
    before: tuple[SceneObject, ...], after: tuple[SceneObject, ...]
) -> NDArray[np.float64]:
    first = np.array([item.loc_m for item in before])
    second = np.array([item.loc_m for item in after])
    return np.linalg.norm(first[:, None] - second[None], axis=-1)


def _priced(distance: float, first: SceneObject, second: SceneObject, reach_m: float) -> float:
    if first.identity is not None and second.identity is not None:
        return -_FAR if first.identity == second.identity else _FAR
    differ = None not in (first.kind, second.kind) and first.kind != second.kind
    return _FAR if differ or distance > reach_m else distance


def _change(
    before: tuple[SceneObject, ...], after: tuple[SceneObject, ...], a: int, b: int
) -> Change:
    first, second = before[a], after[b]
    names = tuple(n for n in OBJECT_FIELDS if getattr(first, n) != getattr(second, n))
    moved = float(np.linalg.norm(np.subtract(first.loc_m, second.loc_m)))
    return Change(a, b, names, moved)


def _name(item: SceneObject) -> str:
    return item.species or item.asset or item.kind or "object"


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)[:40]
