"""Renders a video of the held-out views with a phrase laid over.

python examples/06_render_a_video.py --load-config RUN/config.yml --phrases "pine tree"
"""

from pathlib import Path

import tyro
from rich.console import Console

from lerf_wild.cli.render import cameras_to_render, write_frames
from lerf_wild.cli.runs import open_run

RUN = Path("outputs/examples/training/habitat/lerf-wild-tiny/run/config.yml")


def main(
    load_config: Path = RUN,
    phrases: tuple[str, ...] = ("animal", "tree"),
    output_path: Path = Path("outputs/examples/relevancy.mp4"),
) -> None:
    """Writes the video.

    Args:
        load_config: The run's config.yml; that of example 03 by default.
        phrases: What to look for, a panel each.
        output_path: A video, or a folder for pictures.
    """
    run = open_run(load_config)
    cameras = cameras_to_render(run, "held-out", camera_path=None)
    made = write_frames(
        Console(), run, cameras, phrases, output_path, style="side-by-side", fps=2.0
    )
    print(f"{made['file']}: {made['frames']} frames of {made['width']}x{made['height']}")


if __name__ == "__main__":
    tyro.cli(main)
