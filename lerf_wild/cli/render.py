"""`lerf-wild render`: pictures or a video with the relevancy laid over."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from rich.console import Console

from lerf_wild.cli.phrases import read_phrases
from lerf_wild.cli.progress import counting, say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.runs import Run, ViewAnswer, open_run
from lerf_wild.errors import InputError
from lerf_wild.language.phrases import CANONICAL_PHRASES
from lerf_wild.live.state import PanelState, with_phrases

if TYPE_CHECKING:
    from nerfstudio.cameras.cameras import Cameras

Style = Literal["overlay", "heat", "side-by-side"]
Layout = Literal["panels", "together"]
Views = Literal["held-out", "train", "spiral"]

MAX_COLUMNS = 4


def render(
    load_config: Path,
    phrases: tuple[str, ...] = (),
    phrases_file: Path | None = None,
    phrase_set: str | None = None,
    output_path: Path = Path("renders/relevancy.mp4"),
    views: Views = "held-out",
    camera_path: Path | None = None,
    style: Style = "overlay",
    layout: Layout = "panels",
    frames: int = 60,
    radius: float = 0.1,
    downscale: float = 1.0,
    fps: float = 12.0,
    canonical: tuple[str, ...] = CANONICAL_PHRASES,
    data: Path | None = None,
    json_file: JsonFile = None,
) -> None:
    """Renders views with what the phrases are in coloured.

    The size of each phrase is chosen once for the whole scene, so that videos don't flicker.

    Args:
        load_config: The run's config.yml.
        phrases: What to look for.
        phrases_file: A text with one phrase a line, or a JSON list, read after --phrases.
        phrase_set: Name of a set that was saved in the viewer's panel, with its colours.
        output_path: A video (.mp4, .mkv, .webm), or a folder for pictures.
        views: Views of the capture, or a spiral about the first of them.
        camera_path: A camera path of nerfstudio's viewer instead.
        style: Overlay on the picture, the bare heat map, or the picture beside the overlay.
        layout: A panel a phrase, or all phrases in one picture, in their colours, with a legend.
        frames: Number of frames of a spiral.
        radius: Radius of a spiral in nerf units.
        downscale: Divides the height and width of the views.
        fps: Frames a second of a video.
        canonical: The phrases that a phrase has to beat.
        data: Where the capture is now, if it has been moved.
        json_file: Where to write counts and times as JSON.
    """
    from lerf_wild.cli.video import check_output

    wanted = read_phrases(phrases, phrases_file, phrase_set, load_config)
    state = _looks(wanted, phrase_set, load_config)
    _check_numbers(downscale, fps)
    check_output(output_path)
    console = Console()
    run = open_run(load_config, data)
    cameras = cameras_to_render(run, views, camera_path, frames, radius, downscale)
    together = state if layout == "together" else None
    figures = write_frames(
        console, run, cameras, wanted, output_path, style, fps, canonical, together
    )
    say(
        console,
        f"{output_path}: {figures['frames']} frames of {figures['width']}x{figures['height']} "
        f"in {figures['seconds']:.1f} s.",
    )
    write_report(json_file, figures)


def cameras_to_render(
    run: Run,
    views: Views,
    camera_path: Path | None,
    frames: int = 60,
    radius: float = 0.1,
    downscale: float = 1.0,
) -> "Cameras":
    """Returns the cameras that the flags name; raises DatasetError or InputError."""
    from lerf_wild.cli.camera_paths import read_camera_path, spiral

    if camera_path is not None:
        cameras = read_camera_path(camera_path)
    elif views == "spiral":
        cameras = spiral(run.dataset("held-out").cameras, frames, radius)
    else:
        cameras = run.dataset(views).cameras[:]
    if downscale != 1:
        cameras.rescale_output_resolution(1 / downscale)
    return cameras


def write_frames(
    console: Console,
    run: Run,
    cameras: "Cameras",
    phrases: Sequence[str],
    output_path: Path,
    style: Style = "overlay",
    fps: float = 12.0,
    canonical: Sequence[str] = CANONICAL_PHRASES,
    together: PanelState | None = None,
) -> dict[str, object]:
    """Renders and writes all frames with a progress bar; returns counts and times.

    With `together`, all phrases go into one picture in its colours.
    """
    from lerf_wild.cli.sampling import scene_sizes
    from lerf_wild.cli.video import open_frames

    start = time.perf_counter()
    query = run.query(phrases, canonical)
    sizes_P = scene_sizes(run, query)
    with (
        counting(console, "rendering", len(cameras)) as advance,
        open_frames(output_path, fps) as write,
    ):
        for index in range(len(cameras)):
            answer = run.answer(cameras, index, query, sizes_P)
            if together is None:
                frame_HW3 = compose(answer, query.phrases, style)
            else:
                frame_HW3 = compose_together(answer, together, style)
            write(frame_HW3)
            advance()
    return {
        "file": str(output_path),
        "frames": len(cameras),
        "height": frame_HW3.shape[0],
        "width": frame_HW3.shape[1],
        "phrases": list(phrases),
        "seconds": time.perf_counter() - start,
    }


def compose(answer: ViewAnswer, phrases: Sequence[str], style: Style) -> np.ndarray:
    """Returns one frame: a captioned panel a phrase, in rows of at most four panels."""
    from lerf_wild.cli.pictures import captioned, heat, overlay

    rgb_HW3 = answer.rgb_HW3
    panels = [captioned(rgb_HW3, "picture")] if style == "side-by-side" else []
    for phrase, map_HW in zip(phrases, np.moveaxis(answer.relevancy_HWP, -1, 0), strict=True):
        picture = heat(map_HW) if style == "heat" else overlay(rgb_HW3, map_HW)
        panels.append(captioned(picture, phrase, figure=f"{map_HW.max():.2f}"))
    return tiled(panels)


def compose_together(answer: ViewAnswer, state: PanelState, style: Style) -> np.ndarray:
    """Returns one frame with all phrases in it, each in its colour, and a legend below."""
    import torch

    from lerf_wild.cli.pictures import with_legend
    from lerf_wild.live.painting import look_of, paint

    mode = "heat map" if style == "heat" else "overlay"
    rgb_HW3 = answer.rgb_HW3
    relevancy = torch.from_numpy(answer.relevancy_HWP)
    painted = paint(torch.from_numpy(rgb_HW3) / 255, relevancy, look_of(replace(state, mode=mode)))
    frame_HW3 = (painted.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    if style == "side-by-side":
        frame_HW3 = np.concatenate([rgb_HW3, frame_HW3], axis=1)
    return with_legend(frame_HW3, [(phrase.text, phrase.colour) for phrase in state.phrases])


def _looks(wanted: Sequence[str], phrase_set: str | None, folder: Path) -> PanelState:
    """Colours of a saved set where a phrase is of one, else the next that is free."""
    from lerf_wild.live.phrase_sets import read_set, with_set

    state = PanelState()
    if phrase_set is not None:
        beside = folder if folder.is_dir() else folder.parent
        state = with_set(state, read_set(beside, phrase_set))
    state = with_phrases(state, wanted)
    by_text = {phrase.text: phrase for phrase in state.phrases}
    return replace(state, phrases=tuple(by_text[text] for text in wanted))


def tiled(panels: Sequence[np.ndarray]) -> np.ndarray:
    """Returns panels of one size in rows of about equal length, the last one filled with black."""
    rows = math.ceil(len(panels) / MAX_COLUMNS)
    columns = math.ceil(len(panels) / rows)
    blank = np.zeros_like(panels[0])
    filled = [*panels, *[blank] * (rows * columns - len(panels))]
    return np.concatenate(
        [np.concatenate(filled[row * columns : (row + 1) * columns], axis=1) for row in range(rows)]
    )


def _check_numbers(downscale: float, fps: float) -> None:
    if not 0 < downscale < math.inf:
        raise InputError(f"--downscale must be positive, got {downscale}.")
    if not 0 < fps <= 240:
        raise InputError(f"--fps must be above 0 and at most 240, got {fps}.")
