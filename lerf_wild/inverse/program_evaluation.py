"""How well programs agree with the truth.

Objects are matched by the smallest sum of distances in space (as IG-LLM does), then compared.
Errors of position are shares of the true distance from the camera; lateral is across the line of
sight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from lerf_wild.errors import SceneProgramError
from lerf_wild.inverse.program_inference import (
    DEFAULT_FOV_DEG,
    THRESHOLD,
    Reading,
    read_pictures,
)
from lerf_wild.inverse.program_reader import ProgramReader
from lerf_wild.inverse.program_samples import Sample
from lerf_wild.inverse.program_templates import Templates
from lerf_wild.program.frames import to_level, yaw_of
from lerf_wild.program.parser import parse
from lerf_wild.program.printer import print_program
from lerf_wild.program.statements import ANIMAL_KINDS
from lerf_wild.program.types import Program, SceneObject

EVAL_BATCH = 16


@dataclass(frozen=True)
class Pair:
    """The errors of one matched object."""

    same_kind: bool
    lateral: float
    distance: float
    height: float
    yaw_deg: float
    """NaN for objects that face nowhere."""
    rank: int
    """Place of the true asset among the candidates, from 0; -1 when it isn't among them."""


def matched(truth: Sequence[SceneObject], guess: Sequence[SceneObject]) -> list[tuple[int, int]]:
    """Pairs of places of true and guessed objects with the smallest sum of distances."""
    if not truth or not guess:
        return []
    a, b = (np.array([item.loc_m for item in items]) for items in (truth, guess))
    cost = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return list(zip(*(side.tolist() for side in linear_sum_assignment(cost)), strict=True))


def compared(
    truth: Program, guess: Program, candidates: Sequence[Sequence[str]] = ()
) -> list[Pair]:
    """The errors of all matched objects; ``candidates`` are assets, the likeliest first."""
    pairs = []
    for i, j in matched(truth.objects, guess.objects):
        names = list(candidates[j]) if candidates else []
        asset = truth.objects[i].asset
        rank = names.index(asset) if asset in names else -1
        pairs.append(_pair(truth, guess, i, j, rank))
    return pairs


@dataclass(frozen=True)
class Record:
    """What was measured on one picture."""

    objects: int
    """In truth."""
    guessed: int | None
    """None for a program that did not parse."""
    pairs: tuple[Pair, ...]
    likeness: Mapping[str, float] = field(default_factory=dict)
    """How much the program, drawn, is like the picture, by each measure."""


def record(
    truth: Program, guess: Program | None, candidates: Sequence[Sequence[str]] = ()
) -> Record:
    """The record of a picture; a guess that is None did not parse."""
    if guess is None:
        return Record(len(truth.objects), None, ())
    pairs = tuple(compared(truth, guess, candidates))
    return Record(len(truth.objects), len(guess.objects), pairs)


def figures(
    truths: Sequence[Program],
    guesses: Sequence[Program | None],
    candidates: Sequence[Sequence[Sequence[str]]],
) -> dict[str, float]:
    """The flat figures of a table; a guess that is None did not parse."""
    rows = [record(*row) for row in zip(truths, guesses, candidates, strict=True)]
    return figures_of(rows)


def figures_of(records: Sequence[Record]) -> dict[str, float]:
    """The flat figures of a table, from the records of its pictures."""
    pairs = [pair for row in records for pair in row.pairs]
    count = sum(row.objects for row in records)
    yaws = [p.yaw_deg for p in pairs if np.isfinite(p.yaw_deg)]
    measures = records[0].likeness if records else {}
    return {
        "scenes": float(len(records)),
        "objects": float(count),
        "matched": len(pairs) / max(count, 1),
        "parse_rate": _mean([row.guessed is not None for row in records]),
        "count_exact": _mean([row.guessed == row.objects for row in records]),
        "class_accuracy": _mean([p.same_kind for p in pairs]),
        "lateral_error": _median([p.lateral for p in pairs]),
        "distance_error": _median([p.distance for p in pairs]),
        "height_error": _median([p.height for p in pairs]),
        "yaw_error_deg": _median(yaws, 180.0),
        "recall_at_1": _mean([p.rank == 0 for p in pairs]),
        "recall_at_5": _mean([0 <= p.rank < 5 for p in pairs]),
        **{name: _mean([row.likeness[name] for row in records]) for name in measures},
    }


def measure_reader(
    model: ProgramReader,
    samples: Sequence[Sample],
    templates: Templates,
    ground_GD: Tensor,
    threshold: float = THRESHOLD,
) -> dict[str, float]:
    """The figures of a reader on samples; what it reads is printed and parsed as text would be."""
    readings = read_samples(model, samples, templates, ground_GD, threshold)
    return figures_of(records_of(samples, readings))


def read_samples(
    model: ProgramReader,
    samples: Sequence[Sample],
    templates: Templates,
    ground_GD: Tensor,
    threshold: float = THRESHOLD,
) -> list[Reading]:
    """What a reader says of samples of one field of view."""
    readings = []
    for start in range(0, len(samples), EVAL_BATCH):
        part = samples[start : start + EVAL_BATCH]
        rgb = torch.from_numpy(np.stack([np.moveaxis(s.rgb, 2, 0) for s in part]))
        fov = part[0].program.settings.camera_fov_deg or DEFAULT_FOV_DEG
        readings += read_pictures(model, rgb, templates, ground_GD, fov, threshold)
    return readings


def records_of(samples: Sequence[Sample], readings: Sequence[Reading | None]) -> list[Record]:
    """Records of samples and what was read of them; None stands for a text that doesn't parse."""
    return [
        record(sample.program, None)
        if reading is None
        else record(sample.program, reparsed(reading.program), reading.candidates)
        for sample, reading in zip(samples, readings, strict=True)
    ]


def reparsed(program: Program) -> Program | None:
    """The program after it was written as text and read again; None where that fails."""
    try:
        return parse(print_program(program))
    except SceneProgramError:
        return None


def _pair(truth: Program, guess: Program, i: int, j: int, rank: int) -> Pair:
    true, said = truth.objects[i], guess.objects[j]
    a = to_level(true.loc_m, truth.settings.camera_pitch_deg)
    b = to_level(said.loc_m, guess.settings.camera_pitch_deg)
    reach, ray = float(np.hypot(*a[:2])), a[:2] / np.hypot(*a[:2])
    along, across = float(b[:2] @ ray), float(b[:2] @ [-ray[1], ray[0]])
    return Pair(
        same_kind=true.kind == said.kind,
        lateral=abs(across) / reach,
        distance=abs(along - reach) / reach,
        height=abs(said.height_m - true.height_m) / true.height_m,
        yaw_deg=_yaw_error_deg(truth, guess, i, j),
        rank=rank,
    )


def _yaw_error_deg(truth: Program, guess: Program, i: int, j: int) -> float:
    true, said = truth.objects[i], guess.objects[j]
    if true.kind not in ANIMAL_KINDS or true.rotation_33 is None or said.rotation_33 is None:
        return float("nan")
    first = yaw_of(true.rotation_33, truth.settings.camera_pitch_deg)
    second = yaw_of(said.rotation_33, guess.settings.camera_pitch_deg)
    return float(np.degrees(abs((second - first + np.pi) % (2 * np.pi) - np.pi)))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _median(values: Sequence[float], worst: float = 1.0) -> float:
    return float(np.median(values)) if len(values) else worst
