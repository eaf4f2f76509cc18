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
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lerf_wild.inverse.ground_registration import GroundFit, registered
from lerf_wild.inverse.program_candidates import candidates
from lerf_wild.inverse.program_crops import Sides, cut_crops, seen_sides
from lerf_wild.inverse.program_decoder import Values
from lerf_wild.inverse.program_detector import (
    PITCH,
    SIZE,
    Found,
    seen_often,
)
from lerf_wild.inverse.program_horizon import edge_pitch_deg
from lerf_wild.inverse.program_matching import best_yaw, match_boxes
from lerf_wild.inverse.program_numbers import read_numbers
from lerf_wild.inverse.program_reader import ProgramReader, places
from lerf_wild.inverse.program_samples import unscaled_settings
from lerf_wild.inverse.program_sizes import USUAL_M, Stood, camera_height, sized
from lerf_wild.inverse.program_templates import Templates, clip_embeddings
from lerf_wild.program.frames import to_camera, to_level, upright_rotation
from lerf_wild.program.statements import BY_FIELD, KINDS
from lerf_wild.program.types import Embedding, Program, SceneObject, Settings
from lerf_wild.synth.grounds import GROUNDS

THRESHOLD = 0.5
"""A box counts from this chance on."""
SIDE_WEIGHT = 2.0
"""What the likeness of the crop network's features counts beside the correlation with templates
when the seen side of an asset is chosen. Templates of new assets mislead the network as pictures of
these do, so that comparing the two says more of new assets than the network alone."""
FACING_WEIGHT = 0.1
"""What the log chances of directions count there. Like all weights here it was found on validation
scenes, where the decoder's rotation adds nothing: between front and back it lies in the middle."""
FOUND_WEIGHT = 5.0
"""What the detector's log chance of a kind counts beside the decoder's: of new assets the detector
tells more kinds."""
GROUNDS_TRIED = 3
"""How many of the likeliest grounds are looked for in the picture."""
DEFAULT_FOV_DEG = 40.0
"""Vertical field of view of the training's pictures."""


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


@torch.no_grad()
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
    found = seen_often(model.detector, rgb)
    boxes = Boxes(*candidates(found, model.detector.counting, threshold))
    return read_boxes(model, rgb, found, boxes, templates, ground_GD, fov_deg)


class Boxes(NamedTuple):
    """Boxes of pictures, filled up to one number a picture."""

    box_BK4: Tensor
    score_BK: Tensor
    there_BK: Tensor
    """Which of them are real."""
    kind_BK6: Tensor | None = None
    """Log chances of the kinds by whoever has found them; none when None."""
    allowed_BK6: Tensor | None = None
    """Kinds that each may be; all when None."""
    shift_B: Tensor | None = None
    """Pixels by which each picture lies to the right of the camera's axis; none when None."""


@torch.no_grad()
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
    pictures = (255.0 * rgb_B3HW).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    settings_BS, pitch_B = levelled_settings(
        *seen_with(found.settings_BS, fov_deg), pictures, float(focal[0])
    )
    read = model.tokens(rgb_B3HW, settings_BS, boxes.box_BK4, boxes.there_BK, focal)
    values = model.decoder.decode(read.tokens_BKD, read.embedding_BKA)
    loc, height, pixels = places(values.numbers_BK5, boxes.box_BK4, read.horizon_B, focal, SIZE)
    if boxes.shift_B is not None:
        loc[..., 0] -= (boxes.shift_B / focal)[:, None] * loc[..., 2]
    kind = values.kind_BK6.log_softmax(dim=-1)
    if boxes.kind_BK6 is not None:
        kind = kind + FOUND_WEIGHT * boxes.kind_BK6
    if boxes.allowed_BK6 is not None:
        kind = kind.masked_fill(~boxes.allowed_BK6, -math.inf)
    values = values._replace(kind_BK6=kind)
    grounds = functional.normalize(found.ground_BD, dim=1) @ ground_GD.T
    readings = []
    for i in range(len(rgb_B3HW)):
        rows = boxes.there_BK[i].nonzero()[:, 0]
        shift = 0.0 if boxes.shift_B is None else float(boxes.shift_B[i])
        view = (float(focal[i]), float(pitch_B[i]))
        fit = _fit(pictures[i], boxes.box_BK4[i, rows], grounds[i], *view, shift)
        name = GROUNDS[int(grounds[i].argmax())] if fit is None else fit.ground
        settings = unscaled_settings(settings_BS[i].double().numpy(), fov_deg, name)
        ground = Embedding.of(found.ground_BD[i].numpy())
        settings = replace(settings, ground=ground, camera_pitch_deg=float(pitch_B[i]))
        objects = _Objects(values, loc, height, pixels, boxes.score_BK, boxes.box_BK4, i, rows)
        if model.decoder.digits is not None and model.names:
            choices = _numbered(model, objects)
        else:
            own, box_N4 = torch.zeros_like(rows), boxes.box_BK4[i, rows]
            picture = rgb_B3HW[i : i + 1]
            crops = cut_crops(picture, own, box_N4)
            likeness = match_boxes(templates.bank, picture, own, box_N4)
            sides = seen_sides(model.crops, crops, likeness.shape[2])
            seen = _Seen(likeness, clip_embeddings(crops), sides)
            objects, choices = _matched(objects, seen, templates, float(pitch_B[i]), fit)
        readings.append(_reading(objects, choices, settings))
    return readings


def seen_with(settings_BS: Tensor, fov_deg: float) -> tuple[Tensor, Tensor]:
    """Settings, and pitches (B,) in degrees, of pictures with a vertical field of view.

    The detector says which pitch puts the horizon where it is seen in a picture like those of the
    training. In a wider one the same row lies farther from the axis.
    """
    low, high = BY_FIELD["camera_pitch_deg"].sampled
    below = torch.deg2rad(low + (high - low) * settings_BS[:, PITCH].clamp(0.0, 1.0) - 90.0)
    ratio = math.tan(math.radians(fov_deg / 2)) / math.tan(math.radians(DEFAULT_FOV_DEG / 2))
    pitch_B = 90.0 + torch.rad2deg(torch.atan(ratio * below.tan()))
    settings_BS = settings_BS.clone()
    settings_BS[:, PITCH] = (pitch_B - low) / (high - low)
    return settings_BS, pitch_B


def levelled_settings(
    settings_BS: Tensor, pitch_B: Tensor, pictures_BHW3: NDArray[np.uint8], focal_px: float
) -> tuple[Tensor, Tensor]:
    """Settings and pitches (degrees) at which ground ends where straight edges are seen."""
    low, high = BY_FIELD["camera_pitch_deg"].sampled
    edges = [
        edge_pitch_deg(picture, focal_px, float(pitch), USUAL_M)
        for picture, pitch in zip(pictures_BHW3, pitch_B)
    ]
    true_B = torch.tensor([float(p) if e is None else e for p, e in zip(pitch_B, edges)])
    settings_BS = settings_BS.clone()
    settings_BS[:, PITCH] = (true_B - low) / (high - low)
    return settings_BS, true_B


def _fit(
    picture_HW3: NDArray[np.uint8],
    boxes_N4: Tensor,
    likeness_G: Tensor,
    focal_px: float,
    pitch_deg: float,
    shift_px: float,
) -> GroundFit | None:
    """How the ground lies, if it is one of those that it looks most like."""
    names = [GROUNDS[g] for g in likeness_G.topk(GROUNDS_TRIED).indices.tolist()]
    hidden = covered(boxes_N4)
    return registered(picture_HW3, hidden, focal_px, pitch_deg, names, shift_px)


def covered(boxes_N4: Tensor) -> NDArray[np.bool_]:
    """Pixels (H, W) of the reader's pictures that boxes hide, and one around."""
    hidden = np.zeros((SIZE, SIZE), bool)
    for left, top, right, bottom in boxes_N4.tolist():
        rows = slice(max(int(top) - 1, 0), int(bottom) + 2)
        hidden[rows, max(int(left) - 1, 0) : int(right) + 2] = True
    return hidden


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

    def moved(self, loc_N3: Tensor, height_N: Tensor) -> _Objects:
        place = (torch.tensor(self.picture), self.rows)
        return replace(
            self,
            loc=self.loc.index_put(place, loc_N3.to(self.loc)),
            height=self.height.index_put(place, height_N.to(self.height)),
        )


class _Seen(NamedTuple):
    """What the crops of a picture show."""

    correlation_NMY: Tensor
    """With all templates."""
    clip_NA: Tensor
    sides: Sides


class _Choice(NamedTuple):
    """Which asset an object is, and which side of it is seen."""

    names: tuple[str, ...]
    """The likeliest first."""
    kind: str
    seen_yaw_rad: float
    margin: float


def _matched(
    objects: _Objects,
    seen: _Seen,
    templates: Templates,
    pitch_deg: float,
    fit: GroundFit | None,
) -> tuple[_Objects, list[_Choice]]:
    """By the templates that look most like the picture, seen from the side that does; objects are
    brought to one ground, on which assets have about their natural heights."""
    if len(objects.rows) == 0:
        return objects, []
    kinds = functional.log_softmax(objects.of(objects.values.kind_BK6), dim=-1)
    look = functional.normalize(objects.of(objects.values.appearance_BKA), dim=-1)
    query = torch.cat([look, seen.clip_NA], dim=1)
    scores = templates.likeness(query, seen.correlation_NMY, kinds)
    stood = Stood.of(objects.of(objects.loc), objects.of(objects.height), pitch_deg)
    belief = camera_height(stood.unit_N, scores, templates.height_M, fit)
    scores = sized(scores, stood.unit_N, templates.height_M, belief.camera_m)
    score, order = scores.sort(dim=-1, descending=True)
    feet, height = stood.on_ground(belief, templates.height_M[order[:, 0]])
    loc = torch.from_numpy(to_camera(feet.double().numpy(), pitch_deg))
    return objects.moved(loc, height), [
        _Choice(
            tuple(templates.names[int(m)] for m in order[j, :5]),
            KINDS[int(templates.kind_M[order[j, 0]])],
            yaw,
            float(score[j, 0] - score[j, min(1, score.shape[1] - 1)]),
        )
        for j, yaw in enumerate(_seen_yaws(seen, templates, order[:, 0]))
    ]


def _seen_yaws(seen: _Seen, templates: Templates, asset_N: Tensor) -> list[float]:
    """The side of each object's asset that looks most like the picture."""
    facing_NY, features_NF, mirrored_NF = seen.sides
    score_NY = seen.correlation_NMY[torch.arange(len(asset_N)), asset_N]
    score_NY = score_NY + SIDE_WEIGHT * templates.sides(asset_N, features_NF, mirrored_NF)
    return [best_yaw(row) for row in score_NY + FACING_WEIGHT * facing_NY]


def _numbered(model: ProgramReader, objects: _Objects) -> list[_Choice]:
    """By the digits of RAW's baseline, which knows the assets of the training alone."""
    kinds = objects.of(objects.values.kind_BK6).argmax(dim=-1)
    said = read_numbers(model.decoder.digits, objects.of(objects.values.state_BKD), model.names)
    return [
        _Choice(item.names, KINDS[int(kind)], item.yaw_rad, item.margin)
        for item, kind in zip(said, kinds)
    ]


def _reading(objects: _Objects, choices: list[_Choice], settings: Settings) -> Reading:
    if not choices:
        return Reading(Program(settings), torch.zeros(0, 4), (), ())
    look = functional.normalize(objects.of(objects.values.appearance_BKA), dim=-1)
    made = []
    for j, choice in enumerate(choices):
        loc = tuple(float(x) for x in objects.of(objects.loc)[j])
        made.append(
            SceneObject(
                pixels=max(1, round(float(objects.of(objects.pixels)[j]))),
                loc_m=loc,
                height_m=float(objects.of(objects.height)[j].clamp(0.01, 900.0)),
                rotation_9=upright(choice.seen_yaw_rad, loc, settings.camera_pitch_deg),
                appearance=Embedding.of(look[j].numpy()),
                kind=choice.kind,
                asset=choice.names[0],
                confidence=float(objects.of(objects.score)[j]),
            )
        )
    order = sorted(range(len(made)), key=lambda j: -made[j].pixels)
    return Reading(
        Program(on_feet(settings), tuple(made[j] for j in order)),
        objects.of(objects.boxes)[order],
        tuple(choices[j].names for j in order),
        tuple(choices[j].margin for j in order),
    )


def on_feet(settings: Settings) -> Settings:
    """Settings whose ground is where the objects stand: their sizes tell how high the camera is,
    which nothing else in a picture does."""
    return replace(settings, camera_height_m=None)


def upright(seen_yaw_rad: float, loc_3: Sequence[float], pitch_deg: float) -> tuple[float, ...]:
    """Rotation (9,) in camera axes of an upright asset that is seen at a yaw."""
    x, y, _ = to_level(loc_3, pitch_deg)
    bearing = np.arctan2(y, x) - np.pi / 2
    return tuple(float(v) for v in np.ravel(upright_rotation(seen_yaw_rad + bearing, pitch_deg)))
