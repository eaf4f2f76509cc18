"""`lerf-wild eval`: how good a run's pictures and answers are."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lerf_wild.cli.baked_views import BakedViews
from lerf_wild.cli.measuring import Measurement, measure
from lerf_wild.cli.progress import open_counting, say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.runs import Run, open_run
from lerf_wild.language import thresholds

SHOWN = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "localisation_accuracy": "localisation accuracy",
    "miou": "mIoU",
    "baked_localisation_accuracy": "localisation accuracy, baked",
    "baked_miou": "mIoU, baked",
    "existence_ap": "existence AP",
    "existence_accuracy": "existence accuracy",
}


def evaluate(
    load_config: Path,
    labels: Path | None = None,
    baked: Path | None = None,
    seed: int = 0,
    data: Path | None = None,
    json_file: JsonFile = None,
) -> None:
    """Measures pictures of held-out views, and answers against labels where there are some.

    Labels are those of a habitat, LERF's labelme files or LERF-OVS files. No threshold is fitted.

    Args:
        load_config: The run's config.yml.
        labels: Folder of label files; the scene's own folder labels/ when left out.
        baked: A baked scene of the run, to be measured beside it in the same views.
        seed: What decides the points that are asked whether a phrase is in the scene.
        data: Where the capture is now, if it has been moved.
        json_file: Where to write the figures as JSON.
    """
    console = Console()
    run = open_run(load_config, data)
    views = None if baked is None else BakedViews(baked)
    with open_counting(console, "measuring views") as on_start:
        result = measure(run, labels, seed, on_start, views)
    console.print(figures_table(run, result))
    say(console, _what_is_missing(result))
    write_report(json_file, eval_report(run, result), seed=seed)


def figures_table(run: Run, result: Measurement) -> Table:
    """Returns the figures as a table."""
    figures = result.figures()
    views, pairs = figures["held_out_views"], figures.get("labelled_pairs", 0)
    table = Table(
        title=escape(f"{run.config.experiment_name}, step {run.step}"), title_justify="left"
    )
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("over")
    over = {"localisation_accuracy": f"{pairs} phrases in views", "miou": f"{pairs} masks"}
    phrases = figures.get("present_phrases", 0) + figures.get("absent_phrases", 0)
    over |= {f"baked_{name}": text for name, text in over.items()}
    over |= dict.fromkeys(("existence_ap", "existence_accuracy"), f"{phrases} phrases")
    for name, title in SHOWN.items():
        if name in figures:
            table.add_row(title, f"{figures[name]:.3f}", over.get(name, f"{views} views"))
    return table


def eval_report(run: Run, result: Measurement) -> dict[str, object]:
    """Returns the figures under flat keys, and below them those of each phrase."""
    return {
        **result.figures(),
        "config": str(run.config_path),
        "step": run.step,
        "encoder": run.config.pipeline.model.encoder_identity,
        "mask_threshold": thresholds.FITTED_MASK,
        "existence_threshold": thresholds.EXISTENCE_RELEVANCY,
        "by_phrase": result.labels.by_phrase(),
        "scene_scores": {
            phrase: {"score": score, "present": result.truths[phrase]}
            for phrase, score in result.scores.items()
        },
    }


def _what_is_missing(result: Measurement) -> str:
    lines = [f"Measured in {result.seconds:.1f} s."]
    if not result.images["lpips"]:
        lines.append("LPIPS is skipped: its network (AlexNet) can't be had on this machine.")
    if not result.labels.hits:
        lines.append("No labels: localisation and mIoU need a folder of them, --labels.")
    if not result.scores:
        lines.append("No scene.json: existence needs its lists of present and absent phrases.")
    return "\n".join(lines)
