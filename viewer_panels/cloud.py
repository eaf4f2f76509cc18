"""Phrases as points in 3D, over the picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from lerf_wild.live.question import Question
from lerf_wild.viewer_panels.scene_table import TableAnswer

NODE = "/phrases"
POINT_SIZE = 0.006
"""Side of a point, as a share of how far the scene spreads."""


def show_points(
    server: Any,
    before: Any,
    scene: tuple[Question, TableAnswer] | None,
    ratio: float,
) -> Any:
    """Replaces the points by those of an answer, or removes them; returns their handle."""
    if before is not None:
        before.remove()
    if scene is None:
        return None
    question, (found, points_N3) = scene
    look = question.look
    weighted_PN = found.relevancy_PN * np.asarray(look.weights, np.float32)[:, None]
    best_N, winner_N = weighted_PN.max(axis=0), weighted_PN.argmax(axis=0)
    chosen_N = best_N > look.threshold
    if not chosen_N.any():
        return None
    spread = float(np.linalg.norm(points_N3.std(axis=0)))
    colours_N3 = np.asarray(look.colours, np.float32)[winner_N[chosen_N]]
    rise_N1 = np.clip((best_N[chosen_N] - look.threshold) / (1 - look.threshold), 0, 1)[:, None]
    return server.scene.add_point_cloud(
        NODE,
        points=(points_N3[chosen_N] * ratio).astype(np.float32),
        colors=(colours_N3 * (0.5 + 0.5 * rise_N1)).astype(np.uint8),
        point_size=POINT_SIZE * spread * ratio,
        point_shape="circle",
    )
