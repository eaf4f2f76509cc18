"""`lerf-wild synth habitat`: make a habitat and write it as a nerfstudio scene."""

import os
import time
from pathlib import Path

from rich.console import Console

from lerf_wild.cli.progress import counting, say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.errors import DatasetError


def synth_habitat(
    output_dir: Path,
    seed: int = 0,
    views: int = 60,
    width: int = 320,
    height: int = 216,
    workers: int = 0,
    biome: str | None = None,
    json_file: JsonFile = None,
) -> None:
    """Makes a habitat: pictures, exact depth, instance masks, labels, sparse points and cameras.

    The same seed gives the same files, whatever the number of workers.

    Args:
        output_dir: Folder of the new scene; it must not hold one yet.
        seed: What decides the place, its light and everything that stands in it.
        views: Number of pictures, 8 or more; every eighth is held out for measuring.
        width: Width of a picture in pixels.
        height: Height of a picture in pixels.
        workers: Processes that render; 0 takes one for each core.
        biome: Kind of ground, drawn from the seed when left out.
        json_file: Where to write counts and times as JSON.
    """
    console = Console()
    figures = make_scene(console, output_dir, seed, views, (width, height), workers, biome)
    rate = figures["seconds"] / figures["views"]
    say(
        console,
        f"{output_dir}: {figures['views']} views of {width}x{height}, {figures['assets']} assets, "
        f"{figures['present']} phrases that hold, in {figures['seconds']:.1f} s "
        f"({rate:.2f} s a view).",
    )
    say(console, f"Next: ns-train lerf-wild-tiny --data {output_dir}")
    write_report(json_file, figures, seed=seed)


def make_scene(
    console: Console,
    output_dir: Path,
    seed: int,
    views: int,
    size: tuple[int, int],
    workers: int = 0,
    biome: str | None = None,
) -> dict[str, object]:
    """Makes and writes a habitat with a progress bar; returns what was made and how fast.

    Raises DatasetError for a biome that there is none of and as `write_habitat` does.
    """
    from lerf_wild.synth.habitat import make_habitat
    from lerf_wild.synth.habitat_files import write_habitat

    _check(seed, biome)
    count = workers if workers > 0 else os.cpu_count() or 1
    start = time.perf_counter()
    with counting(console, f"habitat {seed}", views) as advance:
        habitat = make_habitat(seed, biome)
        grown = time.perf_counter()
        scene = write_habitat(habitat, output_dir, views, size, workers=count, on_view=advance)
    end = time.perf_counter()
    return {
        "scene": str(output_dir),
        "biome": scene["biome"],
        "views": views,
        "width": size[0],
        "height": size[1],
        "assets": len(scene["instances"]),
        "present": len(scene["present"]),
        "absent": len(scene["absent"]),
        "workers": count,
        "seconds": end - start,
        "render_seconds": end - grown,
    }


def _check(seed: int, biome: str | None) -> None:
    from lerf_wild.synth.terrain import BIOMES

    if seed < 0:
        raise DatasetError(f"--seed must be 0 or more, got {seed}.")
    if biome is not None and biome not in BIOMES:
        raise DatasetError(f"There is no biome {biome[:40]!r}; use one of {', '.join(BIOMES)}.")
