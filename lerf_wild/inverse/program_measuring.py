"""A reader and its baselines on one series of pictures, piece by piece: a run that was stopped goes
on with the piece that it was at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lerf_wild.errors import InputError
from lerf_wild.inverse.program_baselines import Usual, constant, medians
from lerf_wild.inverse.program_data import drawn_samples
from lerf_wild.inverse.program_detector import SIZE
from lerf_wild.inverse.program_evaluation import Pair, Record, records_of
from lerf_wild.inverse.program_inference import Reading
from lerf_wild.inverse.program_likeness import Likeness
from lerf_wild.inverse.program_samples import Sample
from lerf_wild.inverse.program_templates import YAWS
from lerf_wild.inverse.program_use import OpenReader
from lerf_wild.program.printer import print_program
from lerf_wild.program.types import Program
from lerf_wild.render.scene_program import finder, render_program
from lerf_wild.storage.atomic import write_json, writing
from lerf_wild.storage.cache import content_key
from lerf_wild.storage.json_files import read_json

PIECE = 10
"""Pictures that are measured before they are kept."""
VERSION = 6
"""Raise it when the same pictures give other records."""
SERIES = {"seen": (20_000, "starter"), "unseen": (30_000, "held-out")}
"""First seed and assets of the scenes that figures are of; training draws others."""
OURS, ONE, MEDIANS, CONSTANT, REFINED = "reader", "one_template", "medians", "constant", "refined"
OWN = (OURS, ONE, MEDIANS, CONSTANT, REFINED)
"""Names of what is measured without training; a trained baseline that is refined is called
"refined_" and its name."""
Records = dict[str, list[Record]]
"""By the name of a reader or baseline."""
Readings = Sequence[Reading | None]
"""Of samples; None for a text that doesn't parse."""


class Reads(Protocol):
    """Whoever reads pictures as programs."""

    key: str
    """Hash of the weights."""

    def readings(self, samples: Sequence[Sample], yaws: int) -> Sequence[Reading | None]:
        """What is read of samples with some templates an asset; None where it doesn't parse."""

    def refined(self, reading: Reading, photo: NDArray[np.uint8]) -> Reading:
        """The reading made to agree with its picture."""


@dataclass(frozen=True)
class Contest:
    """Who is measured, and how."""

    reader: OpenReader
    others: Mapping[str, Reads]
    """What was trained as a baseline."""
    usual: Usual
    likeness: Likeness | None = None
    yaws: int = YAWS
    refine: int = 0
    """First pictures of a series on which refinement is measured too, also of what trained
    baselines say."""

    @cached_property
    def described(self) -> dict[str, Any]:
        """All that the records depend on besides the pictures."""
        return {
            "version": VERSION,
            "reader": self.reader.key,
            "others": {name: other.key for name, other in self.others.items()},
            "usual": print_program(self.usual.program),
            "likeness": None if self.likeness is None else self.likeness.names(),
            "yaws": self.yaws,
        }

    def readings(self, samples: Sequence[Sample], refine: int) -> dict[str, Readings]:
        """What everyone says of samples; refinement takes the first ones alone."""
        ours = self.reader.readings(samples, self.yaws)
        said: dict[str, Readings] = {OURS: ours, ONE: self.reader.readings(samples, 1)}
        said[MEDIANS] = [medians(reading, self.usual) for reading in ours]
        said[CONSTANT] = [constant(self.usual)] * len(samples)
        said |= {name: other.readings(samples, YAWS) for name, other in self.others.items()}
        if refine > 0:
            said[REFINED] = _refined(self.reader, ours[:refine], samples)
            for name, other in self.others.items():
                said[f"{REFINED}_{name}"] = _refined(other, said[name][:refine], samples)
        return said

    def records(self, samples: Sequence[Sample], refine: int) -> Records:
        """The records of samples."""
        said = self.readings(samples, refine)
        return {name: self._measured(samples[: len(row)], row) for name, row in said.items()}

    def _measured(self, samples: Sequence[Sample], readings: Readings) -> list[Record]:
        rows = records_of(samples, readings)
        if self.likeness is None:
            return rows
        find = finder(self.reader.library)
        drawn = {
            key: render_program(program, SIZE, SIZE, find).picture.rgb
            for key, program in {id(r): r.program if r else Program() for r in readings}.items()
        }
        shown = [drawn[id(reading)] for reading in readings]
        alike = self.likeness.between([sample.rgb for sample in samples], shown)
        return [replace(row, likeness=measured) for row, measured in zip(rows, alike)]


def draw_series(name: str, seed: int, start: int, count: int) -> list[Sample]:
    """Pictures of a series, one a scene, from a first one on."""
    first, pool = SERIES[name]
    return drawn_samples(count, 1, first + seed, pool, start)


def measure_series(
    contest: Contest,
    series: Mapping[str, Any],
    draw: Callable[[int, int], Sequence[Sample]],
    count: int,
    folder: Path | None = None,
    on_pictures: Callable[[int], None] = lambda done: None,
) -> Records:
    """Records of all pictures of a series.

    Args:
        contest: Who is measured.
        series: What tells the series from others; its "name" names the files.
        draw: Gives some of its samples, from a first one on.
        count: Its pictures.
        folder: Where pieces are kept; nowhere when None.
        on_pictures: Told how many pictures are done.

    Raises:
        ExportError: when a piece can't be written.
    """
    whole: Records = {}
    for start in range(0, count, PIECE):
        size = min(PIECE, count - start)
        refine = min(max(contest.refine - start, 0), size)
        place = {"start": start, "count": size, "refine": refine}
        key = content_key({**contest.described, **series, **place})
        path = None if folder is None else folder / f"{series['name']}_{start:05d}.json"
        piece = None if path is None else kept_piece(path, key)
        if piece is None:
            piece = contest.records(draw(start, size), refine)
            if path is not None:
                with writing(path):
                    write_json(path, {"key": key, "records": _plain(piece)})
        for name, rows in piece.items():
            whole.setdefault(name, []).extend(rows)
        on_pictures(start + size)
    return whole


def kept_piece(path: Path, key: str) -> Records | None:
    """What was kept under the same key; None for other files."""
    try:
        content = read_json(path) if path.is_file() else None
        if not isinstance(content, dict) or content.get("key") != key:
            return None
        return {name: [_record(row) for row in rows] for name, rows in content["records"].items()}
    except (InputError, KeyError, TypeError, ValueError):
        return None


def _refined(reader: Reads, readings: Readings, samples: Sequence[Sample]) -> Readings:
    return [
        None if reading is None else reader.refined(reading, sample.rgb)
        for reading, sample in zip(readings, samples)
    ]


def _plain(piece: Records) -> dict[str, Any]:
    return {name: [_plain_record(row) for row in rows] for name, rows in piece.items()}


def _plain_record(row: Record) -> dict[str, Any]:
    # JSON has no NaN, which is the yaw of what faces nowhere.
    pairs = [
        {**asdict(pair), "yaw_deg": None if np.isnan(pair.yaw_deg) else pair.yaw_deg}
        for pair in row.pairs
    ]
    likeness = dict(row.likeness)
    return {"objects": row.objects, "guessed": row.guessed, "pairs": pairs, "likeness": likeness}


def _record(row: dict[str, Any]) -> Record:
    pairs = [
        Pair(**{**pair, "yaw_deg": np.nan if pair["yaw_deg"] is None else pair["yaw_deg"]})
        for pair in row["pairs"]
    ]
    return Record(row["objects"], row["guessed"], tuple(pairs), row["likeness"])
