"""Pictures of what was recovered: side by side, gallery, confusion, errors, curves, animation.

Pictures are uint8 arrays [H, W, 3].
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from lerf_wild.inverse.primitive_inference import Inferred
from lerf_wild.inverse.primitive_metrics import confusion, match_scenes
from lerf_wild.inverse.primitive_setups import Setup
from lerf_wild.inverse.symmetry import rotation_error_deg
from lerf_wild.render.primitive_scenes import KINDS, SPHERE, PrimitiveScenes
from lerf_wild.render.primitives_soft import SoftView, hard_image
from lerf_wild.storage.atomic import atomic_path

MOST_IMAGES = 64
INK, FAINT, ACCENT = "#1e2022", "#9aa0a6", "#c2571a"


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Writes a picture as PNG, atomically."""
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")


def side_by_side(
    images_BHW: Tensor, scenes: PrimitiveScenes, view: SoftView, columns: int = 4, zoom: int = 2
) -> np.ndarray:
    """Input, re-rendered answer and absolute difference of the first images, in a grid."""
    images, scenes = images_BHW[:MOST_IMAGES], scenes[:MOST_IMAGES]
    again = hard_image(scenes, view)
    gap = torch.ones(len(images), images.shape[1], 2) * 0.25
    tiles = torch.cat([images, gap, again, gap, (images - again).abs(), gap, gap], 2)
    tiles = torch.nn.functional.pad(tiles, (0, 4, 0, 4), value=0.06)
    columns = min(columns, len(tiles))
    missing = -len(tiles) % columns
    tiles = torch.cat([tiles, torch.full((missing, *tiles.shape[1:]), 0.06)])
    rows = tiles.view(-1, columns, *tiles.shape[1:]).transpose(1, 2).flatten(2).flatten(0, 1)
    grey = (rows.clamp(0, 1) * 255).round().byte().numpy()
    return np.repeat(np.repeat(np.dstack([grey] * 3), zoom, 0), zoom, 1)


def write_plots(
    folder: Path, images_BHW: Tensor, inferred: Inferred, truth: PrimitiveScenes, setup: Setup
) -> None:
    """Writes gallery.png, confusion.png and errors.png."""
    save_picture(folder / "gallery.png", side_by_side(images_BHW, inferred.scenes, setup.view))
    save_picture(folder / "confusion.png", confusion_plot(inferred.scenes, truth))
    save_picture(folder / "errors.png", error_plot(inferred.scenes, truth))


def confusion_plot(predicted: PrimitiveScenes, truth: PrimitiveScenes) -> np.ndarray:
    """Counts of true against predicted kinds."""
    counts = confusion(predicted, truth)
    used = torch.nonzero(counts.sum(0) + counts.sum(1)).squeeze(-1)
    counts, names = counts[used][:, used].numpy(), [KINDS[i] for i in used]
    figure, axes = _figure(4.2, 3.8)
    axes.imshow(np.log1p(counts), cmap="Greys")
    for (row, column), count in np.ndenumerate(counts):
        dark = np.log1p(count) > 0.6 * np.log1p(counts.max(initial=1))
        axes.text(column, row, str(count), ha="center", va="center", color="w" if dark else INK)
    axes.set_xticks(range(len(names)), names, rotation=30)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("recovered")
    axes.set_ylabel("true")
    return _drawn(figure)


def error_plot(predicted: PrimitiveScenes, truth: PrimitiveScenes) -> np.ndarray:
    """Cumulative distributions of position and rotation errors."""
    scene, slot, true_slot = match_scenes(predicted, truth)
    found, real = predicted[scene, slot], truth[scene, true_slot]
    error = (found.positions_BK3 - real.positions_BK3).abs()
    angle = rotation_error_deg(real.kinds_BK, found.rotations_BK33, real.rotations_BK33)
    figure, (left, right) = _figure(8.4, 3.4, 2)
    for axis, name in enumerate("xyz"):
        _cumulative(left, error[:, axis], name)
    left.set_xlabel("absolute error, world units")
    for kind, name in enumerate(KINDS):
        chosen = angle[real.kinds_BK == kind]
        if kind != SPHERE and len(chosen) > 0:
            _cumulative(right, chosen, name)
    right.set_xlabel("rotation error, degrees (up to symmetry)")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_ylabel("share of objects")
        axes.legend(frameon=False)
        axes.grid(color="0.92")
    return _drawn(figure)


def curve_plot(records: Sequence[dict[str, float]], names: Sequence[str]) -> np.ndarray:
    """Training curves: one small plot for each name, against the step."""
    columns = 4
    rows = -(-len(names) // columns)
    figure, axes = _figure(3.0 * columns, 2.3 * rows, columns, rows)
    for axis, name in zip(np.ravel(axes), names, strict=False):
        points = [(r["step"], r[name]) for r in records if name in r]
        axis.plot(*zip(*points), color=ACCENT, linewidth=1.2)
        axis.set_title(name, fontsize=9)
        axis.grid(color="0.92")
    for axis in np.ravel(axes)[len(names) :]:
        axis.set_axis_off()
    return _drawn(figure)


def captioned(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture with a line of text in a strip above it."""
    strip = Image.new("RGB", (picture.shape[1], 16), "black")
    ImageDraw.Draw(strip).text((4, 2), text, fill="white")
    return np.concatenate([np.asarray(strip), picture])


def write_gif(path: Path, frames: Sequence[np.ndarray], seconds_a_frame: float = 0.25) -> None:
    """Writes frames as an endless GIF, the last one held for longer."""
    pictures = [Image.fromarray(frame).convert("L") for frame in frames]
    durations = [int(1000 * seconds_a_frame)] * (len(pictures) - 1) + [2000]
    with atomic_path(path) as temporary:
        pictures[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=pictures[1:],
            duration=durations,
            loop=0,
        )


def _figure(width: float, height: float, columns: int = 1, rows: int = 1):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns)


def _drawn(figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB")).copy()


def _cumulative(axes, values: Tensor, name: str) -> None:
    ordered = values.double().sort().values.clamp(min=1e-5)
    share = torch.arange(1, len(ordered) + 1) / max(len(ordered), 1)
    axes.plot(ordered.numpy(), share.numpy(), label=name, linewidth=1.4)
