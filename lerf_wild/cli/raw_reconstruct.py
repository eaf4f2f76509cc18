"""`lerf-wild raw reconstruct`: photos, and folders of camera trap photos, as scene programs."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from lerf_wild.cli.asset_options import Folder, opened
from lerf_wild.cli.camtrap_options import NOWHERE, Survey, write_observations
from lerf_wild.cli.progress import counting_to, say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.scale_options import AS_READ, Scale
from lerf_wild.errors import ExportError, InputError

SHOWN = 20
"""Photos whose objects are told on the screen."""
Photos = Annotated[
    tuple[Path, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="PHOTO...", help="Pictures, or folders of them."),
]


def raw_reconstruct(
    photos: Photos,
    output_dir: Path,
    detections: Path | None = None,
    detection_threshold: float = 0.2,
    scale: Annotated[Scale, tyro.conf.arg(name="")] = AS_READ,
    fov_deg: float | None = None,
    weights: Path | None = None,
    threshold: float | None = None,
    refine: bool = False,
    camtrap_dp: Path | None = None,
    survey: Annotated[Survey, tyro.conf.arg(name="")] = NOWHERE,
    library_dir: Folder = None,
    json_file: JsonFile = None,
) -> None:
    """Reads photos as scene programs: what stands where, how tall, which way it faces.

    Each photo gets a folder with `scene.txt` (the program), `scene.json` (positions in metres,
    headings, distances), `side_by_side.jpg` and `scene.glb`. A run that was stopped goes on.

    Args:
        photos: What to look at; folders with all that is below them. Without detections a photo is
            cut to a square around its middle.
        output_dir: Where the folders go.
        detections: JSON of MegaDetector; the animals are those it has found. People and vehicles
            are painted over, photos without animals left out.
        detection_threshold: Least confidence of an animal in it.
        scale: What sets the scale.
        fov_deg: Vertical field of view of the whole photo; when left out, 40 of what is read.
        weights: Folder of a `raw` run; the bundled reader when left out.
        threshold: How sure an object must be, 0-1; the reader's own when left out.
        refine: Whether to make positions and yaws agree with the picture by rendering and
            comparing.
        camtrap_dp: Folder for a Camtrap DP package of the animals.
        survey: Where and when, for that package.
        library_dir: Folder of added assets, which are looked up like the bundled ones.
        json_file: Where to write one entry a photo.
    """
    from lerf_wild.inverse.detections import read_detections
    from lerf_wild.inverse.program_folder import Task
    from lerf_wild.inverse.program_images import find_photos
    from lerf_wild.inverse.program_use import open_reader

    console = Console()
    reference = scale.reference()
    _check_ranges(detection_threshold, threshold, fov_deg)
    deployment = None if camtrap_dp is None else survey.deployment(scale.camera_height_m)
    places = find_photos(list(photos), output_dir)
    found = None if detections is None else read_detections(detections)
    height_m = scale.camera_height_m
    task = Task(fov_deg, threshold, refine, height_m, reference, found, detection_threshold)
    reader = open_reader(weights, opened(console, library_dir))
    outcomes = _each(console, reader, places, output_dir, task)
    if deployment is not None and camtrap_dp is not None:
        write_observations(console, camtrap_dp, deployment, survey.zone(), outcomes)
    _report(console, outcomes, output_dir, json_file)


def _report(
    console: Console, outcomes: list[Any], output_dir: Path, json_file: Path | None
) -> None:
    _tell(console, outcomes)
    counts = Counter(outcome.state for outcome in outcomes)
    states = ("read", "kept", "no animal", "failed")
    figures = {state.replace(" ", "_"): counts[state] for state in states}
    rows = [_entry(outcome, output_dir) for outcome in outcomes]
    write_report(json_file, {"count": len(outcomes), **figures, "photos": rows})
    if counts["failed"] == len(outcomes):
        raise InputError(f"None of {len(outcomes)} photos could be read.")


def _each(console: Console, reader: Any, places: Any, output_dir: Path, task: Any) -> list[Any]:
    """Reads all photos; one that can't be read is told in a line, unless it is the only one."""
    from lerf_wild.inverse.program_folder import Outcome, reconstruct

    outcomes = []
    with counting_to(console, "photos", len(places)) as at:
        for index, place in enumerate(places):
            try:
                outcome = reconstruct(reader, place, output_dir, task)
            except ExportError:
                raise
            except InputError as error:
                if len(places) == 1:
                    raise
                line = " ".join(str(error).split())
                outcome = Outcome(place, "failed", {"error": line})
                say(console, f"Left out: {line}")
            outcomes.append(outcome)
            at(index + 1)
    return outcomes


def _check_ranges(least: float, threshold: float | None, fov_deg: float | None) -> None:
    for name, value in (("detection-threshold", least), ("threshold", threshold)):
        if value is not None and not 0.0 <= value <= 1.0:
            raise InputError(f"--{name} {value}: give a number from 0 to 1.")
    if fov_deg is not None and not 1.0 <= fov_deg <= 150.0:
        raise InputError(f"--fov-deg {fov_deg}: give degrees from 1 to 150.")


def _tell(console: Console, outcomes: list[Any]) -> None:
    for outcome in [one for one in outcomes if one.state != "failed"][:SHOWN]:
        objects = outcome.scene.get("objects", ())
        said = ", ".join(f"{item['asset']} at {item['distance_m']:.1f} m" for item in objects)
        nothing = "no animal" if outcome.state == "no animal" else "nothing found"
        again = " (done before)" if outcome.state == "kept" else ""
        outside = outcome.scene.get("animals_outside", 0)
        more = f"; {outside} of the detector's animals lie outside of what is read" * bool(outside)
        say(console, f"{outcome.place.path}: {said or nothing}{more}{again}")
    if len(outcomes) > SHOWN:
        counts = Counter(outcome.state for outcome in outcomes)
        said = ", ".join(f"{count} {state}" for state, count in counts.items())
        say(console, f"{len(outcomes)} photos: {said}.")


def _entry(outcome: Any, output_dir: Path) -> dict[str, Any]:
    place = outcome.place
    where = {"photo": str(place.path), "folder": str(output_dir / place.folder)}
    return {**outcome.scene, **where, "name": place.name, "state": outcome.state}
