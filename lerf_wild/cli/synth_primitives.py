"""`lerf-wild synth primitives`: write scenes of primitives as shards."""

import time
from pathlib import Path

from rich.console import Console

from lerf_wild.cli.progress import counting, numbered, say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.errors import DatasetError


def synth_primitives(
    output_dir: Path,
    scenes: int = 10_000,
    seed: int = 0,
    setup: str = "reference",
    max_objects: int = 3,
    shard_size: int = 1_000,
    json_file: JsonFile = None,
) -> None:
    """Writes images of primitives and their objects as safetensors shards.

    The same seed gives the same files.

    Args:
        output_dir: Folder of the dataset; it must not hold one yet.
        scenes: Number of scenes.
        seed: What decides every scene.
        setup: reference, perspective or free-camera.
        max_objects: Most objects in a scene.
        shard_size: Scenes in a file.
        json_file: Where to write counts and times as JSON.
    """
    from dataclasses import replace

    from lerf_wild.inverse.primitive_setups import find_setup
    from lerf_wild.synth.primitives import write_shards

    if (output_dir / "index.json").exists():
        raise DatasetError(f"{output_dir}: already holds a dataset. Give another folder.")
    chosen = find_setup(setup)
    chosen = replace(chosen, sampler=replace(chosen.sampler, max_objects=max_objects))
    console, start = Console(), time.perf_counter()
    total = -(-max(scenes, 0) // max(shard_size, 1))
    with counting(console, "shards", total) as advance:
        for _ in write_shards(output_dir, scenes, seed, chosen, shard_size):
            advance()
    seconds = time.perf_counter() - start
    say(
        console,
        f"{output_dir}: {scenes} scenes in {numbered(total, 'shard')}, "
        f"{scenes / seconds:.0f} a second.",
    )
    figures = {"scenes": scenes, "shards": total, "setup": setup, "seconds": seconds}
    write_report(json_file, {**figures, "scenes_per_s": scenes / seconds}, seed=seed)
