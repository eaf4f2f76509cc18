"""`lerf-wild animal eval`: answers about animals in pictures against the truth."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.table import Table

from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.errors import InputError

if TYPE_CHECKING:
    from lerf_wild.animals.body import BodyModel
    from lerf_wild.animals.evaluation import Animals

PUBLISHED = {"pck_head_tail_0.5": 0.970, "s_mpjpe": 160.1, "pa_mpjpe": 116.6}
"""What GenZoo's paper reports on Animal3D."""


def animal_eval(
    answers: Path,
    truth: Path,
    format: Literal["npz", "animal3d", "ap10k"] = "npz",
    body: Path | None = None,
    seed: int = 0,
    json_file: JsonFile = None,
) -> None:
    """Measures answers about animals in pictures: PCK in both conventions, S- and PA- errors.

    Args:
        answers: An .npz as `animal infer` writes it: image, keypoints_2d, betas, rotations, or
            joints and vertices.
        truth: An .npz of the same kind, or a JSON of Animal3D or AP-10K.
        format: What kind of file the truth is.
        body: The body model that betas belong to; the bundled one when left out. Errors in space
            on Animal3D need the converted SMAL model.
        seed: What decides the resampling of the intervals.
        json_file: Where to write the figures as JSON.
    """
    from lerf_wild.animals.body_files import read_body
    from lerf_wild.animals.bundled import load_quadruped
    from lerf_wild.animals.evaluation import matched, measure, read_animals

    model = load_quadruped().model if body is None else read_body(body)
    true = _truth(truth, format, model, body is not None)
    found, true = matched(read_animals(answers, model), true)
    figures = measure(found, true, seed)
    Console().print(_table(figures, len(found.image), format))
    flat = {"animals": len(found.image)}
    for name, value in figures.items():
        flat |= {name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high}
    write_report(json_file, flat, seed=seed)


def _truth(path: Path, format: str, model: "BodyModel", is_given: bool) -> "Animals":
    from lerf_wild.animals.annotations import READERS
    from lerf_wild.animals.evaluation import of_annotations, read_animals

    if format == "npz":
        if path.suffix == ".json":
            raise InputError(f"{path}: say what JSON it is, with --format animal3d or ap10k.")
        return read_animals(path, model)
    entries = READERS[format](path)
    return of_annotations(entries, model if is_given else None)


def _table(figures: dict, count: int, format: str) -> Table:
    table = Table(title=f"{count} animals")
    for heading in ("figure", "mean", "95 % interval", "GenZoo on Animal3D"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for name, value in figures.items():
        digits = 3 if name.startswith("pck") else 1
        known = PUBLISHED.get(name)
        table.add_row(
            name,
            f"{value.mean:.{digits}f}",
            f"{value.low:.{digits}f} - {value.high:.{digits}f}",
            "" if known is None else f"{known:.{digits}f}",
        )
    if format != "animal3d":
        table.caption = "Another set of pictures than the paper's: not to be compared."
    return table
