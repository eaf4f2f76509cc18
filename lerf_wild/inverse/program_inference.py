"""From a picture to its scene program with the small reader.

Symbols: B pictures, K candidates a picture, S settings. Positions are in camera axes, metres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import batched_nms

from lerf_wild.inverse.program_decoder import Values
from lerf_wild.inverse.program_detector import SIZE, Found, boxes_from_map
from lerf_wild.inverse.program_matching import best_yaw, match_boxes
from lerf_wild.inverse.program_reader import ProgramReader, places
from lerf_wild.inverse.program_samples import unscaled_settings
from lerf_wild.inverse.program_templates import Templates
from lerf_wild.program.frames import to_level, upright_rotation
from lerf_wild.program.statements import KINDS
from lerf_wild.program.types import Embedding, Program, SceneObject, Settings
from lerf_wild.synth.grounds import GROUNDS

THRESHOLD = 0.35
"""A centre counts from this score on; chosen on validation scenes."""
MOST = 25
OVERLAP = 0.6
"""Of two boxes that overlap more than this (intersection over union) the surer one stays."""
DEFAULT_FOV_DEG = 40.0


@dataclass(frozen=True)
class Reading:
    """A program, and what it was read from."""

    program: Program
    boxes_K4: Tensor
    """In pixels of the 256-pixel picture, in the order of the program's objects."""
    candidates: tuple[tuple[str, ...], ...]
    """Five likeliest assets of each object."""
    margins: tuple[float, ...]
    """By how much the likeliest asset's score exceeds the next one's."""


@torch.inference_mode()
def read_pictures(
    model: ProgramReader,
    rgb_B3HW: Tensor,
    templates: Templates,
    ground_GD: Tensor,
    fov_deg: float = DEFAULT_FOV_DEG,
    threshold: float = THRESHOLD,
) -> list[Reading]:
    """Read uint8 pictures of 256 x 256 pixels; objects come out the largest first."""
    rgb = rgb_B3HW.float() / 255.0
    found = model.detector(rgb)
    boxes = Boxes(*detections(found, threshold))
    return read_boxes(model, rgb, found, boxes, templates, ground_GD, fov_deg)


class Boxes(NamedTuple):
    """Boxes of pictures, filled up to one number a picture."""

    box_BK4: Tensor
    score_BK: Tensor
    there_BK: Tensor
    """Which of them are real."""
    allowed_BK6: Tensor | None = None
    """Kinds that each may be; all when None."""
    shift_B: Tensor | None = None
    """Pixels by which each picture lies to the right of the camera's axis; none when None."""


@torch.inference_mode()
def read_boxes(
    model: ProgramReader,
    rgb_B3HW: Tensor,
    found: Found,
    boxes: Boxes,
    templates: Templates,
    ground_GD: Tensor,
    fov_deg: float,
) -> list[Reading]:
    """Read what stands in boxes of pictures in 0-1, whoever has found them."""
    focal = torch.full((len(rgb_B3HW),), 0.5 * SIZE / float(np.tan(np.radians(fov_deg / 2))))
    read = model.tokens(rgb_B3HW, found.settings_BS, boxes.box_BK4, boxes.there_BK, focal)
    values = model.decoder.decode(read.tokens_BKD, read.embedding_BKA)
    loc, height, pixels = places(values.numbers_BK5, boxes.box_BK4, read.horizon_B, focal, SIZE)
    if boxes.shift_B is not None:
        loc[..., 0] -= (boxes.shift_B / focal)[:, None] * loc[..., 2]
    if boxes.allowed_BK6 is not None:
        kind = values.kind_BK6.masked_fill(~boxes.allowed_BK6, -math.inf)
        values = values._replace(kind_BK6=kind)
    grounds = functional.normalize(found.ground_BD, dim=1) @ ground_GD.T
    readings = []
    for i in range(len(rgb_B3HW)):
        name = GROUNDS[int(grounds[i].argmax())]
        settings = unscaled_settings(found.settings_BS[i].double().numpy(), fov_deg, name)
        settings = replace(settings, ground=Embedding.of(found.ground_BD[i].numpy()))
        rows = boxes.there_BK[i].nonzero()[:, 0]
        objects = _Objects(values, loc, height, pixels, boxes.score_BK, boxes.box_BK4, i, rows)
        own = torch.zeros_like(rows)
        likeness = match_boxes(templates.bank, rgb_B3HW[i : i + 1], own, boxes.box_BK4[i, rows])
        readings.append(_reading(objects, likeness, settings, templates))
    return readings


def detections(found: Found, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes (B, K, 4), scores (B, K) and which of them are real (B, K), by falling box area."""
    heat = found.heat_BKhw.float().sigmoid()
    peak = functional.max_pool2d(heat, 3, 1, 1) == heat
    score, kind = (heat * peak).flatten(2).max(dim=1)
    boxes = boxes_from_map(found.box_B4hw).clamp(0, SIZE)
    kept = [_kept(b, s, k, threshold) for b, s, k in zip(boxes, score, kind)]
    most = max(1, *(len(rows) for rows in kept))
    box_BK4, score_BK = torch.zeros(len(heat), most, 4), torch.zeros(len(heat), most)
    there = torch.zeros(len(heat), most, dtype=torch.bool)
    for i, rows in enumerate(kept):
        box_BK4[i, : len(rows)], score_BK[i, : len(rows)] = boxes[i, rows], score[i, rows]
        there[i, : len(rows)] = True
    return box_BK4, score_BK, there


def _kept(boxes: Tensor, score: Tensor, kind: Tensor, threshold: float) -> Tensor:
    rows = (score > threshold).nonzero()[:, 0]
    one_kind = torch.zeros_like(kind[rows])
    rows = rows[batched_nms(boxes[rows], score[rows], one_kind, OVERLAP)][:MOST]
    size = boxes[rows, 2:] - boxes[rows, :2]
    return rows[size.prod(dim=1).argsort(descending=True)]


@dataclass(frozen=True)
class _Objects:
    """The rows of one picture."""

    values: Values
    loc: Tensor
    height: Tensor
    pixels: Tensor
    score: Tensor
    boxes: Tensor
    picture: int
    rows: Tensor

    def of(self, tensor: Tensor) -> Tensor:
        return tensor[self.picture, self.rows]


def _reading(
    objects: _Objects, likeness_NMY: Tensor, settings: Settings, templates: Templates
) -> Reading:
    values, rows = objects.values, objects.rows
    if len(rows) == 0:
        return Reading(Program(settings), torch.zeros(0, 4), (), ())
    kinds = functional.log_softmax(objects.of(values.kind_BK6), dim=-1)
    look = functional.normalize(objects.of(values.appearance_BKA), dim=-1)
    order, cosine = templates.ranked(look, likeness_NMY, kinds)
    made = []
    for j in range(len(rows)):
        loc = tuple(float(x) for x in objects.of(objects.loc)[j])
        made.append(
            SceneObject(
                pixels=max(1, round(float(objects.of(objects.pixels)[j]))),
                loc_m=loc,
                height_m=float(objects.of(objects.height)[j].clamp(0.01, 900.0)),
                rotation_9=upright(
                    best_yaw(likeness_NMY[j, order[j, 0]]), loc, settings.camera_pitch_deg
                ),
                appearance=Embedding.of(look[j].numpy()),
                kind=KINDS[int(templates.kind_M[order[j, 0]])],
                asset=templates.names[int(order[j, 0])],
                confidence=float(objects.of(objects.score)[j]),
            )
        )
    places_ = sorted(range(len(made)), key=lambda j: -made[j].pixels)
    names = [tuple(templates.names[int(m)] for m in order[j, :5]) for j in places_]
    margins = [float(cosine[j, 0] - cosine[j, min(1, cosine.shape[1] - 1)]) for j in places_]
    program = Program(settings, tuple(made[j] for j in places_))
    return Reading(program, objects.of(objects.boxes)[places_], tuple(names), tuple(margins))


def upright(seen_yaw_rad: float, loc_3: Sequence[float], pitch_deg: float) -> tuple[float, ...]:
    """Rotation (9,) in camera axes of an upright asset that is seen at a yaw."""
    x, y, _ = to_level(loc_3, pitch_deg)
    bearing = np.arctan2(y, x) - np.pi / 2
    return tuple(float(v) for v in np.ravel(upright_rotation(seen_yaw_rad + bearing, pitch_deg)))
