"""`lerf-wild synth genzoo`: pictures of animals with exact pose, shape and control signals."""

import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from lerf_wild.cli.progress import adding_up, numbered, say
from lerf_wild.cli.report import JsonFile, write_report

if TYPE_CHECKING:
    from lerf_wild.synth.genzoo import GenzooJob
    from lerf_wild.synth.shards import ShardPlan


def synth_genzoo(
    output_dir: Path,
    num: int = 1000,
    seed: int = 0,
    size: int = 256,
    split: Literal["all", "train", "val", "test"] = "all",
    camera: Literal["perspective", "weak", "both"] = "both",
    signals: bool = True,
    shapes: Literal["words", "table", "mixed"] = "words",
    engine: Literal["render", "flux"] = "render",
    flux: str = "black-forest-labs/FLUX.1-dev",
    vlm: str = "",
    llm: str = "",
    per_shard: int = 250,
    runner: Literal["local", "processes", "ray"] = "processes",
    workers: int = 0,
    json_file: JsonFile = None,
) -> None:
    """Makes pictures of animals as WebDataset shards, with all that is known of them.

    The same seed gives the same bytes for any runner and number of workers. A run that was stopped
    goes on where it was when it is repeated.

    Args:
        output_dir: Folder of the shards; one that holds other shards is refused.
        num: Number of pictures.
        seed: What decides them.
        size: Side of the square pictures in pixels.
        split: Species, grounds and plants to draw from: all, or those of one split.
        camera: Full perspective, weak perspective, or one fifth of the latter.
        signals: Whether to write normals, depth, Canny edges and masks too.
        shapes: Whether a species' shape comes through words and the flow, as in GenZoo, lies
            around the bundled body's own table of species, or takes some of its coefficients from
            another species: wider data to learn from.
        engine: Ray-cast renders, or FLUX with ControlNets (extra `flux`, wants a GPU).
        flux: Model of the engine flux: a name, or a local folder.
        vlm: Vision-language model for the prompts; templates make them when left out.
        llm: Language model for the prompts.
        per_shard: Pictures of a shard.
        runner: In this process, in several, or by Ray (extra `ray`).
        workers: How many at a time; 0 takes one for each core.
        json_file: Where to write counts and times as JSON.
    """
    from lerf_wild.synth.genzoo import GenzooJob
    from lerf_wild.synth.shards import ShardPlan

    job = GenzooJob(seed, size, split, camera, signals, shapes, engine, flux, vlm, llm)
    console = Console()
    figures = _generate(console, output_dir, job, ShardPlan(num, per_shard), runner, workers)
    say(
        console,
        f"{output_dir}: {num} pictures of {size}x{size} in {numbered(figures['shards'], 'shard')}, "
        f"{figures['seconds']:.1f} s.",
    )
    write_report(json_file, figures, seed=seed)


def _generate(
    console: Console,
    folder: Path,
    job: "GenzooJob",
    plan: "ShardPlan",
    runner: str,
    workers: int,
) -> dict[str, Any]:
    """Writes the shards behind a progress bar; returns what was made and how fast."""
    from lerf_wild.synth.genzoo import make_samples
    from lerf_wild.synth.shards import write_dataset

    start = time.perf_counter()
    with adding_up(console, "animals", plan.units) as on_units:
        make = functools.partial(make_samples, job)
        paths = write_dataset(folder, make, plan, job.about, runner, workers, on_units)
    seconds = time.perf_counter() - start
    return {"pictures": plan.units, "shards": len(paths), "seconds": seconds, **job.about}
