"""`lerf-wild query`: is a phrase there, where, and how large."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lerf_wild.cli.answers import Answer, answers
from lerf_wild.cli.baked import one_of, open_baked_run
from lerf_wild.cli.phrases import read_phrases
from lerf_wild.cli.progress import counting, say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.frames import Placed
from lerf_wild.language.phrases import CANONICAL_PHRASES
from lerf_wild.language.thresholds import EXISTENCE_RELEVANCY

if TYPE_CHECKING:
    from lerf_wild.cli.runs import Run

PHRASE_WIDTH = 12
"""Columns that a phrase has at least in the table of answers, which is as wide as the terminal."""


def query(
    load_config: Path | None = None,
    phrases: tuple[str, ...] = (),
    phrases_file: Path | None = None,
    phrase_set: str | None = None,
    baked: Path | None = None,
    canonical: tuple[str, ...] = CANONICAL_PHRASES,
    num_points: int = 100_000,
    seed: int = 0,
    data: Path | None = None,
    json_file: JsonFile = None,
) -> None:
    """Says of each phrase whether it is in the scene, and where, as a table.

    Args:
        load_config: The run's config.yml.
        phrases: What to look for, 1 to 200 phrases.
        phrases_file: A text with one phrase a line, or a JSON list, read after --phrases.
        phrase_set: Name of a set that was saved in the viewer's panel.
        baked: A baked scene instead of a run: answers in milliseconds.
        canonical: The phrases that a phrase has to beat.
        num_points: Surface points that are asked, spread over all training views.
        seed: What decides the points.
        data: Where the capture is now, if it has been moved.
        json_file: Where to write the answers as JSON.
    """
    source = one_of(load_config, baked)
    wanted = read_phrases(phrases, phrases_file, phrase_set, source)
    console = Console()
    if baked is not None:
        _query_baked(console, baked, wanted, canonical, json_file)
        return
    from lerf_wild.cli.runs import open_run

    run = open_run(source, data)
    found = ask(console, run, wanted, canonical, num_points, seed)
    show(console, run, found)
    write_report(json_file, query_report(run, found, canonical, num_points), seed=seed)


def _query_baked(
    console: Console,
    path: Path,
    wanted: Sequence[str],
    canonical: Sequence[str],
    json_file: JsonFile,
) -> None:
    run = open_baked_run(path)
    found = answers(run.baked, run.score(wanted, canonical))
    show(console, run.baked, found)
    about = {"baked": str(path), "encoder": run.baked.encoder}
    write_report(json_file, _report(run.baked, found, canonical, len(run.baked), about))


def ask(
    console: Console,
    run: "Run",
    phrases: Sequence[str],
    canonical: Sequence[str],
    num_points: int,
    seed: int = 0,
) -> list[Answer]:
    """Samples the scene with a progress bar and answers the phrases."""
    from lerf_wild.cli.sampling import sample_scene
    from lerf_wild.cli.second_look import second_look

    asked = run.query(phrases, canonical)
    with counting(console, "looking through views", len(run.dataset("train"))) as advance:
        scene = sample_scene(run, asked, num_points, seed, advance)
    return answers(run, scene, second_look(run, asked, scene))


def show(console: Console, place: Placed, found: Sequence[Answer]) -> None:
    """Prints the answers, and where else there is what a phrase fits about as well."""
    console.print(answer_table(place, found))
    for line in filter(None, (one.others() for one in found)):
        say(console, f"{line}.")


def answer_table(place: Placed, found: Sequence[Answer]) -> Table:
    """Returns the answers as a table, the surest first."""
    unit = place.unit if place.meters_per_unit == 1 else "scene units"
    table = Table(title=escape(f"{place.title}; places in {unit}"), title_justify="left")
    table.add_column("phrase", min_width=PHRASE_WIDTH)
    table.add_column("there", no_wrap=True)
    for name in ("score", f"scale ({place.unit})", "peak x y z", "box l w h"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in sorted(found, key=lambda answer: -answer.score):
        box = " ".join(short(value) for value in one.box.size) if one.box else "-"
        table.add_row(
            escape(one.phrase),
            "[green]yes[/green]" if one.present else "[dim]no[/dim]",
            f"{one.score:.3f}",
            short(one.scale),
            " ".join(short(value) for value in one.position),
            box,
        )
    return table


def short(value: float) -> str:
    """Writes a length with about three digits, so that a table fits a terminal."""
    return f"{value:.{2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0}f}"


def query_report(
    run: "Run", found: Sequence[Answer], canonical: Sequence[str], num_points: int
) -> dict[str, object]:
    """Returns the answers and what they were asked with, as JSON values."""
    about = {
        "config": str(run.config_path),
        "step": run.step,
        "encoder": run.config.pipeline.model.encoder_identity,
    }
    return _report(run, found, canonical, num_points, about)


def _report(
    place: Placed,
    found: Sequence[Answer],
    canonical: Sequence[str],
    num_points: int,
    about: dict[str, object],
) -> dict[str, object]:
    return {
        **about,
        "frame": "world",
        "scale_unit": "metres" if place.meters_per_unit is not None else "scene units",
        "meters_per_unit": place.meters_per_unit,
        "existence_threshold": EXISTENCE_RELEVANCY,
        "canonical": list(canonical),
        "num_points": num_points,
        "queries": [one.as_dict() for one in found],
    }
