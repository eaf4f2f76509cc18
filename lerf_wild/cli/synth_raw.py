"""`lerf-wild synth raw`: pictures of drawn scenes with their programs, as shards."""

import time
from pathlib import Path
from typing import Literal

from rich.console import Console

from lerf_wild.cli.progress import adding_up, numbered, say
from lerf_wild.cli.report import JsonFile, write_report


def synth_raw(
    output_dir: Path,
    scenes: int = 100,
    views: int = 8,
    size: int = 256,
    seed: int = 0,
    assets: Literal["starter", "held-out", "grown", "varied", "fresh", "all"] = "starter",
    extras: bool = False,
    scenes_per_shard: int = 25,
    runner: Literal["local", "processes", "ray"] = "local",
    workers: int = 0,
    json_file: JsonFile = None,
) -> None:
    """Writes pictures of scenes, each with the scene program that draws it, as WebDataset shards.

    The same seed gives the same files, whatever the runner. A run that was stopped goes on where it
    was when the command is repeated.

    Args:
        output_dir: Folder of the dataset.
        scenes: Number of scenes.
        views: Pictures of each scene; one that shows nothing clearly is left out.
        size: Pixels along a side.
        seed: What decides every scene.
        assets: starter: the library but for what is held out; held-out; grown: individuals of the
            procedural species; varied: those in drawn coats and proportions; fresh: such ones that
            the bundled reader has not seen; all: all but the varied and fresh.
        extras: Whether instance and depth maps are written too.
        scenes_per_shard: Scenes in a file.
        runner: In this process, in several on this machine, or by Ray.
        workers: How many at a time; 0 takes one for each core.
        json_file: Where to write counts and times as JSON.
    """
    from lerf_wild.synth.raw_data import RawJob
    from lerf_wild.synth.raw_scenes import SceneSpec
    from lerf_wild.synth.shards import ShardPlan, read_dataset, write_dataset

    job = RawJob(seed, views, assets, SceneSpec(size=size), extras)
    plan = ShardPlan(scenes, scenes_per_shard)
    console, start = Console(), time.perf_counter()
    with adding_up(console, "scenes", scenes) as on_units:
        shards = write_dataset(output_dir, job, plan, job.described(), runner, workers, on_units)
    seconds = time.perf_counter() - start
    pictures = sum(1 for _ in read_dataset(output_dir))
    megabytes = sum(path.stat().st_size for path in shards) / 1e6
    say(
        console,
        f"{output_dir}: {pictures} pictures in {numbered(len(shards), 'shard')}, "
        f"{megabytes:.1f} MB, {pictures / seconds:.1f} pictures a second.",
    )
    figures = {"images": pictures, "scenes": scenes, "shards": len(shards), "seconds": seconds}
    figures |= {"images_per_s": pictures / seconds, "megabytes": megabytes}
    write_report(json_file, figures, seed=seed)
