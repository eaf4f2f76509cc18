"""Pairing of predicted and true objects: sets have no order, so losses and metrics match first.

Symbols: B scenes, Q predictions per scene, K true slots per scene.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

FORBIDDEN = 1e6
"""Cost that stands for "never pair these"; finite, so that an assignment always exists."""


def match_sets(
    cost_BQK: Tensor, present_BK: Tensor, allowed_BQ: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Finds the one-to-one pairing of least total cost in each scene (Hungarian algorithm).

    As many pairs are made as the smaller side allows. Costs must lie below FORBIDDEN; NaN
    counts as that, so that the caller meets it in the loss.

    Args:
        cost_BQK: cost of pairing prediction q with true object k.
        present_BK: which true slots hold an object.
        allowed_BQ: which predictions may be paired; all where None.

    Returns:
        int64 indices (scene, prediction, true slot) of the pairs, three tensors of equal length on
        the device of `cost_BQK`.
    """
    costs = cost_BQK.detach().double().nan_to_num(FORBIDDEN).cpu().numpy()
    present = present_BK.cpu().numpy()
    allowed = np.ones(costs.shape[:2], bool) if allowed_BQ is None else allowed_BQ.cpu().numpy()
    scenes, rows, columns = [], [], []
    for scene, cost in enumerate(costs):
        slots, queries = np.flatnonzero(present[scene]), np.flatnonzero(allowed[scene])
        pair_rows, pair_columns = linear_sum_assignment(
            np.clip(cost[np.ix_(queries, slots)], -FORBIDDEN, FORBIDDEN)
        )
        scenes.append(np.full(pair_rows.shape, scene))
        rows.append(queries[pair_rows])
        columns.append(slots[pair_columns])
    return tuple(_joined(part).to(cost_BQK.device) for part in (scenes, rows, columns))  # type: ignore[return-value]


def _joined(parts: list[np.ndarray]) -> Tensor:
    empty = np.zeros(0, np.int64)
    return torch.from_numpy(np.concatenate([empty, *parts]).astype(np.int64))
