"""Which of a detector's boxes count as objects.

The score of a centre alone says little of parts of objects and of boxes around two of them. A
logistic regression weighs it with what the box is like and how it lies to surer boxes.

Symbols: N boxes of a picture, S signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import box_iou

SIGNS = 7
SURE = 0.1
"""A box is compared with those that have a higher score, and at least this one."""
EDGE = 2.0
"""Pixels within which a box touches the border of its picture."""
SAME_BOX = 0.3
"""Least intersection over union of a box with the object that it is taken for."""
PULL = 1.0
"""Weight of half the squared weights beside the summed cross entropy."""
USUAL_SCORE = 0.35
"""Score from which boxes count before anything was fitted."""


class Counting(nn.Module):
    """The chance that a box is one whole object, and no other box's."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Linear(SIGNS, 1)
        nn.init.zeros_(self.weigh.weight)
        with torch.no_grad():
            self.weigh.weight[0, 0] = 1.0
        nn.init.constant_(self.weigh.bias, -float(torch.logit(torch.tensor(USUAL_SCORE))))

    def forward(
        self, boxes_N4: Float[Tensor, "N 4"], score_N: Float[Tensor, "N"], side: int
    ) -> Float[Tensor, "N"]:
        """Chances of boxes in pixels of a picture of ``side`` pixels, with scores in 0-1."""
        return self.weigh(signs(boxes_N4, score_N, side))[:, 0].sigmoid()


def signs(boxes_N4: Tensor, score_N: Tensor, side: int) -> Float[Tensor, "N 7"]:
    """What tells whether a box counts: logit of its score, log of its size and of its width over
    its height, how many borders it touches; of the surer boxes, the largest intersection over
    union, the largest share of it that one hides, and of one that it hides."""
    if len(score_N) == 0:
        return torch.zeros(0, SIGNS)
    size = (boxes_N4[:, 2:] - boxes_N4[:, :2]).clamp(min=1.0)
    low, high = boxes_N4[:, :2] / side, boxes_N4[:, 2:] / side
    edge = EDGE / side
    touched = (low < edge).sum(dim=1) + (high > 1.0 - edge).sum(dim=1)
    own = [
        torch.logit(score_N, eps=1e-6),
        (size / side).log().sum(dim=1) / 2,
        (size[:, 0] / size[:, 1]).log(),
        touched.to(score_N),
    ]
    surer = (score_N[None] > score_N[:, None]) & (score_N[None] > SURE)
    union, inside = box_iou(boxes_N4, boxes_N4), shares(boxes_N4)
    others = [(part * surer).amax(dim=1) for part in (union, inside, inside.T)]
    return torch.stack(own + others, dim=1)


def shares(boxes_N4: Float[Tensor, "N 4"]) -> Float[Tensor, "N N"]:
    """Share of each box (row) that lies in each (column)."""
    low = torch.maximum(boxes_N4[:, None, :2], boxes_N4[None, :, :2])
    high = torch.minimum(boxes_N4[:, None, 2:], boxes_N4[None, :, 2:])
    area = (boxes_N4[:, 2:] - boxes_N4[:, :2]).clamp(min=1.0).prod(dim=1)
    return (high - low).clamp(min=0.0).prod(dim=2) / area[:, None]


def counted(boxes_N4: Tensor, score_N: Tensor, true_M4: Tensor) -> Float[Tensor, "N"]:
    """1 for each box that is taken for an object, 0 for others: the surest box first, each takes
    the free object that it overlaps most."""
    labels = torch.zeros(len(score_N))
    if len(score_N) == 0 or len(true_M4) == 0:
        return labels
    union = box_iou(boxes_N4, true_M4)
    for row in score_N.argsort(descending=True).tolist():
        best, place = union[row].max(dim=0)
        if best > SAME_BOX:
            labels[row] = 1.0
            union[:, place] = 0.0
    return labels


class Seen(NamedTuple):
    """What a detector says of a picture, and the truth."""

    boxes_N4: Tensor
    score_N: Tensor
    true_M4: Tensor


def fit_counting(counting: Counting, pictures: Sequence[Seen], side: int) -> None:
    """Finds the weights by pictures of ``side`` pixels; changes ``counting``, unless all boxes are
    objects, or none is."""
    x = torch.cat([signs(seen.boxes_N4, seen.score_N, side) for seen in pictures]).double()
    goal = torch.cat([counted(*seen) for seen in pictures]).double()
    if len(goal.unique()) < 2:
        return
    middle, spread = x.mean(dim=0), x.std(dim=0).clamp(min=1e-6)
    x = (x - middle) / spread
    weight = torch.zeros(SIGNS, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        error = functional.binary_cross_entropy_with_logits(
            x @ weight + bias, goal, reduction="sum"
        )
        loss = error + PULL / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        counting.weigh.weight.copy_((weight / spread)[None])
        counting.weigh.bias.copy_((bias - (weight * middle / spread).sum())[None])
