"""`lerf-wild demo`: from nothing to phrases found in a place, with every figure in a report."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from shlex import join
from typing import Any

import numpy as np
from rich.console import Console

from lerf_wild.cli.progress import counting_to, open_counting, say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.errors import InputError, WildlifeError
from lerf_wild.storage.atomic import write_bytes

METHOD = "lerf-wild-tiny"
PRESENT_PHRASES, ABSENT_PHRASES = 6, 2
SENTENCES = (
    ("deer", "a red deer grazing by the {}"),
    ("zebra", "a zebra walking near the {}"),
    ("tiger", "a tiger lying by the {}"),
    ("leopard", "a leopard sitting next to the {}"),
    ("bear", "a brown bear walking near the {}"),
    ("boar", "a wild boar by the {}"),
)
"""Animals and how they are put into the place, each by another thing that was found there."""
MOST_PLACED, POPULATED_WIDTH = 2, 400
FIGURES = (
    "psnr",
    "ssim",
    "localisation_accuracy",
    "miou",
    "existence_ap",
    "existence_accuracy",
)
"""What is reported over several habitats: the mean, and the worst under the name with _min."""


@dataclass(frozen=True)
class Settings:
    """What all habitats of a demo have in common."""

    views: int
    size: tuple[int, int]
    steps: int | None
    encoder: str
    num_points: int
    workers: int


@dataclass
class Stages:
    """Says what is being done, and remembers how long each stage took."""

    console: Console
    total: int
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, name: str, work: Callable[[], tuple[Any, str]]) -> Any:
        """Does one stage and prints its line; `work` returns a result and what to say of it."""
        start = time.perf_counter()
        result, said = work()
        self.seconds[name] = time.perf_counter() - start
        number = f"[{len(self.seconds)}/{self.total}]"
        line = f"{number} {name:9} {self.seconds[name]:7.1f} s   {said}"
        say(self.console, line)
        return result


def demo(
    output_dir: Path = Path("outputs/demo"),
    seed: int = 7,
    seeds: tuple[int, ...] = (),
    views: int = 60,
    width: int = 320,
    height: int = 216,
    steps: int | None = None,
    encoder: str = "wild-clip",
    num_points: int = 200_000,
    workers: int = 0,
    json_file: JsonFile = None,
) -> None:
    """Makes a habitat, trains lerf-wild-tiny, finds eight phrases, exports, measures and populates.

    Each run gets a new folder in the output folder, named by time and seed; report.json and
    contact_sheet.png beside those folders are of the latest run. Needs no network and no GPU.

    Args:
        output_dir: Folder of the results.
        seed: Seed of the habitat.
        seeds: Several seeds, one habitat each, instead of --seed; all are reported.
        views: Number of pictures of a habitat.
        width: Width of a picture in pixels.
        height: Height of a picture in pixels.
        steps: Training steps; those of lerf-wild-tiny when left out.
        encoder: Image and text encoder, as for ns-train.
        num_points: Points of the exported cloud.
        workers: Processes that render the habitat; 0 takes one for each core.
        json_file: Another place for the report.
    """
    from lerf_wild.cli.export import check_folder

    wanted = tuple(dict.fromkeys(seeds or (seed,)))
    if steps is not None and steps < 1:
        raise InputError(f"--steps must be 1 or more, got {steps}.")
    check_folder(output_dir)
    console = Console()
    settings = Settings(views, (width, height), steps, encoder, num_points, workers)
    stamp = datetime.now().strftime("%Y-%m-%d_%H%M%S")
    start = time.perf_counter()
    habitats = []
    for one in wanted:
        folder = output_dir / f"{stamp}_seed{one}"
        say(console, f"Habitat {one} -> {folder}")
        habitats.append(run_habitat(console, one, folder, settings))
    report = joint_report(habitats, time.perf_counter() - start)
    first = output_dir / f"{stamp}_seed{wanted[0]}" / "contact_sheet.png"
    write_bytes(output_dir / "contact_sheet.png", first.read_bytes())
    for path in (output_dir / "report.json", json_file):
        write_report(path, report, seed=wanted[0])
    say(
        console,
        f"Report: {output_dir / 'report.json'}\nPicture: {output_dir / 'contact_sheet.png'}\n"
        f"Look around: lerf-wild view --load-config {habitats[0]['config']}",
    )


def run_habitat(console: Console, seed: int, folder: Path, settings: Settings) -> dict[str, Any]:
    """Does all stages for one habitat and writes its report; returns the report's content."""
    from lerf_wild.cli.runs import open_run
    from lerf_wild.language.labels import read_scene_truth
    from lerf_wild.storage.json_files import read_json

    stages = Stages(console, 7)
    scene = folder / "scene"
    stages.run("habitat", lambda: _habitat(console, scene, seed, settings))
    command, config = stages.run("training", lambda: _training(console, folder, scene, settings))
    run = open_run(config)
    measured = stages.run("measuring", lambda: _measuring(console, run, seed))
    content = read_json(scene / "scene.json")
    truth = read_scene_truth(scene / "scene.json")
    phrases, absent = choose_phrases(content["instances"], truth.present, truth.absent, seed)
    asked = (*phrases, *absent)
    answered = stages.run("asking", lambda: _asking(console, run, asked, settings, seed))
    exported = stages.run(
        "exporting", lambda: _exporting(console, run, asked, folder, settings, seed)
    )
    sheet = folder / "contact_sheet.png"
    title = f"Habitat {seed}: eight phrases in held-out views"
    stages.run("drawing", lambda: _drawing(run, answered, absent, title, sheet))
    wanted = sentences_about(phrases, truth.present)
    placed = stages.run("wildlife", lambda: _populating(console, config, wanted, folder))
    content = {
        **measured.figures(),
        **{f"{name}_seconds": seconds for name, seconds in stages.seconds.items()},
        "total_seconds": sum(stages.seconds.values()),
        "habitat_seed": seed,
        "views": settings.views,
        "steps": run.step + 1,
        "encoder": run.config.pipeline.model.encoder_identity,
        "train_command": command,
        "config": str(config),
        "cloud": exported["file"],
        "cloud_points": exported["points"],
        "contact_sheet": str(sheet),
        **placed,
        "phrases_present": list(phrases),
        "phrases_absent": list(absent),
        "queries": [one.as_dict() for one in answered],
        "by_phrase": measured.labels.by_phrase(),
        "scene_scores": measured.scores,
    }
    write_report(folder / "report.json", content, seed=seed)
    return content


def choose_phrases(
    instances: Sequence[Mapping[str, Any]],
    present: Sequence[str],
    absent: Sequence[str],
    seed: int,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns six phrases of things of different kinds that are there, and two that are not.

    Of each kind the thing that most views show comes first; phrases are the most specific ones.
    """
    by_kind: dict[str, list[str]] = {}
    for item in sorted(instances, key=lambda item: -item.get("views", 0)):
        phrase = next((name for name in item["phrases"] if name in present), None)
        if phrase is not None:
            by_kind.setdefault(item.get("kind", ""), []).append(phrase)
    turns = [
        names[i] for i in range(len(instances)) for names in by_kind.values() if i < len(names)
    ]
    chosen = tuple(dict.fromkeys(turns))[:PRESENT_PHRASES]
    # Two words say more surely what is not there: "red fox" rather than "fox".
    pool = [phrase for phrase in absent if " " in phrase] or list(absent)
    count = min(ABSENT_PHRASES, len(pool))
    missing = np.random.default_rng(seed).choice(pool, count, replace=False) if pool else []
    return chosen, tuple(map(str, missing))


def joint_report(habitats: Sequence[Mapping[str, Any]], seconds: float) -> dict[str, Any]:
    """Returns the figures over all habitats, means and worst, and each habitat's own."""
    report: dict[str, Any] = {}
    for name in FIGURES:
        values = [one[name] for one in habitats if one.get(name) is not None]
        if values:
            report |= {name: float(np.mean(values)), f"{name}_min": float(np.min(values))}
    single = dict(habitats[0]) if len(habitats) == 1 else {}
    summary = {
        "total_seconds": seconds,
        "seeds": [one["habitat_seed"] for one in habitats],
        "habitats": [dict(one) for one in habitats],
    }
    return {**single, **report, **summary}


def _habitat(
    console: Console, scene: Path, seed: int, settings: Settings
) -> tuple[dict[str, Any], str]:
    from lerf_wild.cli.synth_habitat import make_scene

    made = make_scene(console, scene, seed, settings.views, settings.size, settings.workers)
    return made, f"{made['biome']}, {made['assets']} assets, {made['views']} views"


def _training(
    console: Console, folder: Path, scene: Path, settings: Settings
) -> tuple[tuple[str, Path], str]:
    from lerf_wild.cli.training import config_path, run_training, train_words

    flags = ("--pipeline.encoder", settings.encoder)
    words = train_words(METHOD, scene, folder / "training", settings.steps, flags)
    with counting_to(console, "training", settings.steps) as go_to:
        run_training(words, folder / "train.log", go_to)
    config = config_path(METHOD, folder / "training")
    return (join(["ns-train", *words]), config), f"{METHOD}, {config}"


def _measuring(console: Console, run: Any, seed: int) -> tuple[Any, str]:
    from lerf_wild.cli.measuring import measure

    with open_counting(console, "measuring views") as on_start:
        result = measure(run, None, seed, on_start)
    figures = result.figures()
    said = [f"{name} {figures[name]:.3f}" for name in FIGURES[:5] if name in figures]
    return result, ", ".join(said)


def _asking(
    console: Console, run: Any, phrases: Sequence[str], settings: Settings, seed: int
) -> tuple[list[Any], str]:
    from lerf_wild.cli.query import ask
    from lerf_wild.language.relevancy import CANONICAL_PHRASES

    found = ask(console, run, phrases, CANONICAL_PHRASES, min(settings.num_points, 100_000), seed)
    there = [one.phrase for one in found if one.present]
    return found, f"found {', '.join(there) or 'nothing'}"


def _exporting(
    console: Console,
    run: Any,
    phrases: Sequence[str],
    folder: Path,
    settings: Settings,
    seed: int,
) -> tuple[dict[str, Any], str]:
    from lerf_wild.cli.export import write_export

    made = write_export(
        console, run, phrases, folder / "cloud", num_points=settings.num_points, seed=seed
    )
    return made, f"{made['points']} points, {made['file']}"


def _drawing(
    run: Any, answered: Sequence[Any], absent: Sequence[str], title: str, path: Path
) -> tuple[None, str]:
    from lerf_wild.cli.contact import draw_contact_sheet

    draw_contact_sheet(run, answered, absent, title, path)
    return None, str(path)


def sentences_about(phrases: Sequence[str], present: Sequence[str]) -> list[str]:
    """What to put by the things that phrases name: animals that are not there, one a phrase."""
    there = " ".join(present)
    new = [text for animal, text in SENTENCES if animal not in there]
    return [text.format(phrase) for text, phrase in zip(new, phrases)][:MOST_PLACED]


def _surest(run: Any, population: Any) -> str:
    """What that item is called of which the encoder is surest: it hardly knows some animals."""
    standing = run.model.items.show(population).scene.standing
    names = [one.item.phrases[0] for one in standing]
    if not names:
        return ""
    found_IP = run.model.items.likeness(run.model.encoder).relevancy(run.query(names))
    return names[int(found_IP.diagonal().argmax())]


def _populating(
    console: Console, config: Path, sentences: Sequence[str], folder: Path
) -> tuple[dict[str, Any], str]:
    from PIL import Image

    from lerf_wild.cli.populated import populated, row_of
    from lerf_wild.cli.wildlife import open_populated
    from lerf_wild.cli.wildlife_export import write_scene
    from lerf_wild.storage.atomic import atomic_path
    from lerf_wild.wildlife.population_files import edit_population

    run = open_populated(config)
    try:
        placed = populated(run, sentences)
    except WildlifeError as error:
        # A field of a few steps has no ground yet; all else of the demo stands.
        return {"placed": []}, f"nothing was placed: {error}"
    for line in placed.refused:
        say(console, f"not placed: {line}")
    edit_population(run.model.items.path, lambda _: placed.population)
    items = placed.population.items
    picture = folder / "populated.png"
    with atomic_path(picture) as temporary:
        row = Image.fromarray(
            row_of(run, placed.population, None, _surest(run, placed.population), POPULATED_WIDTH)
        )
        row.save(temporary, format="PNG")
    write_scene(console, run, folder / "populated", ("glb",), points=True)
    placed_words = ", ".join(item.what for item in items) or "nothing"
    figures = {"placed": [item.id for item in items], "populated": str(picture)}
    return figures, f"placed {placed_words}, {picture}"
