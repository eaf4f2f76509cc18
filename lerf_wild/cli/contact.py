"""The contact sheet of a run: each phrase in the held-out view that shows it best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lerf_wild.cli.answers import Answer
from lerf_wild.cli.pictures import SheetRow, contact_sheet, heat, overlay
from lerf_wild.cli.runs import Run, ViewAnswer
from lerf_wild.cli.sampling import scene_sizes
from lerf_wild.language.edges import fit_to_edges
from lerf_wild.language.thresholds import FITTED_MASK, MASK_RELEVANCY
from lerf_wild.storage.atomic import atomic_path

COLUMNS = ("picture", "overlay", "relevancy")


def draw_contact_sheet(
    run: Run, answered: Sequence[Answer], absent: Sequence[str], title: str, path: Path
) -> None:
    """Renders the held-out views and writes the sheet, a PNG, atomically.

    `absent` are those phrases that are known not to hold of the scene.
    """
    query = run.query([one.phrase for one in answered])
    sizes_P = scene_sizes(run, query)
    cameras = run.dataset("held-out").cameras
    views = [run.answer(cameras, index, query, sizes_P) for index in range(len(cameras))]
    rows = [
        _row(one, _clearest(views, index), index, one.phrase in absent, run.unit)
        for index, one in enumerate(answered)
    ]
    with atomic_path(path) as temporary:
        contact_sheet(title, COLUMNS, rows).save(temporary, format="PNG")


def _row(answer: Answer, view: ViewAnswer, index: int, is_absent: bool, unit: str) -> SheetRow:
    map_HW = view.relevancy_HWP[..., index]
    truth = "not there" if is_absent else "there"
    found = "found" if answer.present else "not found"
    link = "and" if answer.present != is_absent else "yet"
    details = (
        f"{truth} {link} {found}",
        f"score {answer.score:.2f}",
        f"scale {answer.scale:.2f} {unit}",
    )
    fitted_HW = fit_to_edges(map_HW[..., None], view.rgb_HW3)[..., 0]
    pictures = (view.rgb_HW3, overlay(view.rgb_HW3, fitted_HW, FITTED_MASK), heat(map_HW))
    return SheetRow(answer.phrase, details, pictures)


def _clearest(views: Sequence[ViewAnswer], index: int) -> ViewAnswer:
    # By area and strength together: the highest peak alone may be the rim of something cut off.
    def strength(view: ViewAnswer) -> float:
        map_HW = np.nan_to_num(view.relevancy_HWP[..., index])
        return float(np.maximum(map_HW - MASK_RELEVANCY, 0).sum() + 1e-6 * map_HW.max())

    return max(views, key=strength)
