"""Reads wide photos in which a detector has found the animals: they are taken from its boxes, and
cover (shrubs, rocks, trees) is looked for by the reader itself.

The reader sees squares as high as the photo. As few as are needed to show every animal are cut out;
all lie in the camera's one image plane, so that positions are exact: a square that lies to the
right of the axis shifts its rays and nothing else.

Symbols: B squares, K boxes a square, N boxes in all. Pixels are those of the photo at 256 pixels of
height.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou, nms

from lerf_wild.inverse.program_candidates import Candidates, candidates
from lerf_wild.inverse.program_detector import SIZE, seen_often
from lerf_wild.inverse.program_inference import Boxes, Reading, on_feet, read_boxes
from lerf_wild.inverse.program_reader import ProgramReader
from lerf_wild.inverse.program_templates import Templates
from lerf_wild.program.statements import ANIMAL_KINDS, KINDS
from lerf_wild.program.types import Program

OVERLAP = 0.3
"""What overlaps an animal, or what another square shows, by more than this (intersection over
union) is the same thing."""
ANIMAL_6 = torch.tensor([kind in ANIMAL_KINDS for kind in KINDS])


def square_starts(boxes_N4: Tensor, width: int) -> list[int]:
    """Left edges of the squares that show all boxes, from left to right; none without boxes."""
    starts: list[int] = []
    rows = sorted((float(box[0]), float(box[2])) for box in boxes_N4)
    while rows:
        left, right = rows[0]
        taken = [row for row in rows if max(row[1], right) - left <= SIZE]
        right = max([right, *(row[1] for row in taken)])
        middle = (left + right) / 2
        starts.append(int(np.clip(round(middle - SIZE / 2), 0, width - SIZE)))
        # What the square shows whole is done with; so is the first, which may be wider than it.
        edge = starts[-1]
        rows = [row for row in rows[1:] if row[0] < edge or row[1] > edge + SIZE]
    return starts


@torch.no_grad()
def read_given(
    model: ProgramReader,
    photo_HW3: NDArray[np.uint8],
    animals_N4: Tensor,
    confidence_N: Tensor,
    templates: Templates,
    ground_GD: Tensor,
    fov_deg: float,
    threshold: float,
) -> Reading:
    """Read a photo of 256 pixels of height and at least that width, whose animals are known.

    Args:
        model: The reader.
        photo_HW3: The photo.
        animals_N4: At least one box, in pixels.
        confidence_N: How sure the detector is of each.
        templates: What is looked up.
        ground_GD: Embeddings of the grounds.
        fov_deg: Vertical field of view.
        threshold: How sure the reader must be of cover.
    """
    starts = square_starts(animals_N4, photo_HW3.shape[1])
    squares = np.stack([photo_HW3[:, start : start + SIZE] for start in starts])
    rgb = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255.0
    found = seen_often(model.detector, rgb)
    # All squares have one camera, ground and light.
    found = found._replace(
        settings_BS=found.settings_BS.mean(dim=0, keepdim=True).expand(len(starts), -1),
        ground_BD=found.ground_BD.mean(dim=0, keepdim=True).expand(len(starts), -1),
    )
    heat = found.heat_BKhw.masked_fill(ANIMAL_6[None, :, None, None], -1e4)
    cover = candidates(found._replace(heat_BKhw=heat), model.detector.counting, threshold)
    boxes = _boxes(cover, starts, animals_N4, confidence_N, photo_HW3.shape[1])
    readings = read_boxes(model, rgb, found, boxes, templates, ground_GD, fov_deg)
    return merged(readings, starts)


def merged(readings: list[Reading], starts: list[int]) -> Reading:
    """One reading of what was read of each square, the largest objects first."""
    rows = [
        (item, box + torch.tensor([start, 0.0, start, 0.0]), names, margin)
        for reading, start in zip(readings, starts)
        for item, box, names, margin in zip(
            reading.program.objects, reading.boxes_K4, reading.candidates, reading.margins
        )
    ]
    rows.sort(key=lambda row: -row[0].pixels)
    boxes = torch.stack([row[1] for row in rows]) if rows else torch.zeros(0, 4)
    settings = readings[0].program.settings
    program = Program(on_feet(settings) if rows else settings, tuple(row[0] for row in rows))
    return replace(
        readings[0],
        program=program,
        boxes_K4=boxes,
        candidates=tuple(row[2] for row in rows),
        margins=tuple(row[3] for row in rows),
    )


def _boxes(
    cover: Candidates,
    starts: list[int],
    animals_N4: Tensor,
    confidence_N: Tensor,
    width: int,
) -> Boxes:
    """The animals, each in the square whose middle is nearest, and the cover of all squares."""
    offsets_B = torch.tensor(starts, dtype=torch.float32)
    cover_M4, score_M, square_M = _once(cover, offsets_B)
    free = (box_iou(cover_M4, animals_N4) <= OVERLAP).all(dim=1)
    middle_N = (animals_N4[:, 0] + animals_N4[:, 2]) / 2
    own_N = (middle_N[:, None] - (offsets_B + SIZE / 2)).abs().argmin(dim=1)
    boxes = torch.cat([animals_N4, cover_M4[free]])
    scores = torch.cat([confidence_N, score_M[free]])
    squares = torch.cat([own_N, square_M[free]])
    is_animal = torch.arange(len(boxes)) < len(animals_N4)
    order = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).argsort(descending=True)
    rows = [order[squares[order] == b] for b in range(len(starts))]
    most = max(1, *(len(row) for row in rows))
    shape = (len(starts), most)
    box_BK4, score_BK = torch.zeros(*shape, 4), torch.zeros(shape)
    there, allowed = torch.zeros(shape, dtype=torch.bool), torch.ones(*shape, 6, dtype=torch.bool)
    for b, row in enumerate(rows):
        shifted = boxes[row] - offsets_B[b] * torch.tensor([1.0, 0.0, 1.0, 0.0])
        box_BK4[b, : len(row)] = shifted.clamp(0, SIZE)
        score_BK[b, : len(row)] = scores[row]
        there[b, : len(row)] = True
        allowed[b, : len(row)] = torch.where(is_animal[row, None], ANIMAL_6, ~ANIMAL_6)
    shift_B = offsets_B + (SIZE - width) / 2
    return Boxes(box_BK4, score_BK, there, allowed_BK6=allowed, shift_B=shift_B)


def _once(cover: Candidates, offsets_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes (M, 4) in the photo, scores and squares of what stands still, each but once."""
    square, place = cover.there_BK.nonzero(as_tuple=True)
    boxes = cover.box_BK4[square, place]
    boxes = boxes + offsets_B[square, None] * torch.tensor([1.0, 0.0, 1.0, 0.0])
    scores = cover.score_BK[square, place]
    kept = nms(boxes, scores, OVERLAP)
    return boxes[kept], scores[kept], square[kept]
