"""The figures of `raw eval`: one table for people, flat keys for machines."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE
from rich.table import Table

from lerf_wild.inverse.program_evaluation import Record, figures_of
from lerf_wild.inverse.program_intervals import Drawn, interval, redrawn
from lerf_wild.inverse.program_measuring import OURS, REFINED, Records

BARS = {
    "parse_rate": 1.0,
    "count_exact": 0.8,
    "class_accuracy": 0.95,
    "lateral_error": 0.05,
    "distance_error": 0.10,
    "height_error": 0.10,
    "yaw_error_deg": 12.0,
    "recall_at_1": 0.6,
    "recall_at_5": 0.9,
}
"""Targets of the bundled reader on scenes that it has not seen: errors at most, rates at least
that."""
FIGURES = (*BARS, "clip_similarity", "dino_similarity", "lpips")
UNSEEN_BARS = {**BARS, "class_accuracy": 0.90}
LESS_IS_BETTER = ("lateral_error", "distance_error", "height_error", "yaw_error_deg", "lpips")
UNREFINED = "same, unrefined"
REFINEMENT = ("lateral_error", "distance_error", "height_error", "yaw_error_deg")


def figures_table(results: Mapping[str, Records]) -> Table:
    """One table: for each series of pictures the reader, its intervals, targets and baselines."""
    others = [name for name in next(iter(results.values())) if name != OURS]
    table = Table(title="scene programs of held-out scenes", box=SIMPLE, pad_edge=False)
    table.add_column("figure", no_wrap=True)
    for title in (OURS, "95 %", "target", *_titles(others)):
        table.add_column(title.replace("_", " "), justify="right")
    for series, records in results.items():
        found = figures_of(records[OURS])
        spans = {name: interval(values) for name, values in redrawn(records[OURS]).items()}
        theirs = [figures_of(rows) for name in others for rows in _columns(records, name)]
        bars = UNSEEN_BARS if series == "unseen" else BARS
        table.add_row(f"{series}: {found['scenes']:.0f} scenes", style="bold")
        for name in [name for name in FIGURES if name in found]:
            bar = f"{_mark(name)} {_short(bars[name])}" if name in bars else ""
            span = "-".join(map(_short, spans[name]))
            rest = [_short(column[name]) for column in theirs]
            table.add_row(name, _short(found[name]), span, bar, *rest)
        table.add_section()
    return table


def _titles(others: Sequence[str]) -> list[str]:
    """Refinement takes a series' first pictures alone; what the reader says of just these stands
    beside it."""
    return [title for n in others for title in ([UNREFINED, n] if n == REFINED else [n])]


def _columns(records: Records, name: str) -> list[list[Record]]:
    rows = records[name]
    return [records[OURS][: len(rows)], rows] if name == REFINED else [rows]


def _ours_beside(name: str) -> str:
    """What a baseline is compared with, on the same pictures: ours, refined where it is."""
    return REFINED if name.startswith(f"{REFINED}_") else OURS


def flat_figures(results: Mapping[str, Records], seed: int = 0) -> dict[str, float]:
    """The figures under flat keys.

    Those of the reader have their own names (``unseen_`` before those of held out assets), with
    ``_low`` and ``_high`` for the ends of the interval; baselines put their name before. ``over_``
    and a baseline's name say by how much the reader is better, refined where the baseline is.
    """
    flat: dict[str, float] = {}
    for series, records in results.items():
        prefix = "unseen_" if series == "unseen" else ""
        drawn = {name: redrawn(rows, seed=seed) for name, rows in records.items()}
        flat |= {prefix + name: value for name, value in figures_of(records[OURS]).items()}
        flat |= _ends(prefix, drawn[OURS])
        for name, rows in records.items():
            if name == REFINED:
                flat |= _refinement(prefix, records[OURS][: len(rows)], rows)
            elif name != OURS:
                flat |= {f"{prefix}{name}_{k}": v for k, v in figures_of(rows).items()}
                ours = _ours_beside(name)
                both = (records[ours], rows), (drawn[ours], drawn[name])
                flat |= _lead(f"{prefix}over_{name}_", *both)
    return flat


def _ends(prefix: str, drawn: Drawn) -> dict[str, float]:
    named = [(name, interval(values)) for name, values in drawn.items() if name in FIGURES]
    lows = {f"{prefix}{name}_low": low for name, (low, _) in named}
    return lows | {f"{prefix}{name}_high": high for name, (_, high) in named}


def _lead(
    prefix: str, rows: tuple[list[Record], list[Record]], drawn: tuple[Drawn, Drawn]
) -> dict[str, float]:
    """By how much the first reader is better than the second, on the same pictures; negative where
    it is worse."""
    first, second = (figures_of(one) for one in rows)
    signs = {name: -1.0 if name in LESS_IS_BETTER else 1.0 for name in first if name in FIGURES}
    flat = {prefix + name: sign * (first[name] - second[name]) for name, sign in signs.items()}
    return flat | _ends(prefix, {n: s * (drawn[0][n] - drawn[1][n]) for n, s in signs.items()})


def _refinement(prefix: str, before: list[Record], after: list[Record]) -> dict[str, float]:
    first, second = figures_of(before), figures_of(after)
    flat = {f"{prefix}before_{name}": first[name] for name in REFINEMENT}
    flat |= {f"{prefix}refined_{name}": second[name] for name in REFINEMENT}
    flat |= {f"{prefix}before_count_exact": first["count_exact"]}
    flat |= {f"{prefix}refined_count_exact": second["count_exact"]}
    return flat | {
        f"{prefix}refined_gain_{name}": 1.0 - second[name] / first[name]
        for name in REFINEMENT
        if first[name] > 0
    }


def _mark(name: str) -> str:
    return "≤" if name in LESS_IS_BETTER else "≥"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2f}".removeprefix("0")
