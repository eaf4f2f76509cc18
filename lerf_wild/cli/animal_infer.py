"""`lerf-wild animal infer`: shape, pose and camera of the animals in photos."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro
from rich.console import Console

from lerf_wild.cli.progress import counting, numbered, say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.errors import ExportError, InputError
from lerf_wild.storage.atomic import writing

if TYPE_CHECKING:
    from lerf_wild.inverse.animal_inference import Recovered, Regressor
    from lerf_wild.inverse.animal_photos import Photo

Photos = Annotated[
    tuple[Path, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="PHOTO...", help="Pictures, or folders of them."),
]
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif")
UNSURE_SPREAD = 30.0
"""One in sixteen animals of the validation split is over it, and twice as far off as the others;
most photos that show no animal at all are."""
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Options:
    """What is the same for all photos."""

    output_dir: Path
    detections: Path | None
    threshold: float
    box: Box | None
    fov_deg: float | None
    height_m: float | None


def animal_infer(
    photos: Photos,
    output_dir: Path,
    weights: Path | None = None,
    detections: Path | None = None,
    threshold: float = 0.2,
    box: Box | None = None,
    fov_deg: float | None = None,
    height_m: float | None = None,
    json_file: JsonFile = None,
) -> None:
    """Recovers the animals in photos: a picture with each laid over, a GLB, and a JSON.

    Args:
        photos: Where to look.
        output_dir: Folder for the results; also `answers.npz`, for `animal eval`.
        weights: Weights of `ns-train genzoo`; the bundled ones when left out.
        detections: JSON of MegaDetector; each of its animals is looked at, people and vehicles
            aren't. Without it the largest animal is found.
        threshold: Least confidence of a detection.
        box: Left, top, right, bottom in pixels of the one photo, in place of detections.
        fov_deg: Field of view of the photo's longer side, where it is known.
        height_m: Height at the withers, which makes the GLB metric.
        json_file: Where to write counts and times as JSON.
    """
    import time

    from lerf_wild.inverse.animal_answers import write_answers
    from lerf_wild.inverse.animal_inference import load_regressor

    files = _files(photos)
    options = Options(output_dir, detections, threshold, box, fov_deg, height_m)
    check_options(options, files)
    regressor, console = load_regressor(weights), Console()
    start = time.perf_counter()
    found, failed = _all_photos(regressor, files, options, console)
    if found:
        names, keypoints, parameters = zip(*found)
        _written(
            output_dir / "answers.npz",
            lambda path: write_answers(path, regressor.model, names, keypoints, parameters),
        )
    seconds = time.perf_counter() - start
    told = f"{numbered(len(found), 'animal')} in {numbered(len(files), 'photo')}"
    say(console, f"{output_dir}: {told}, {seconds:.1f} s.")
    figures = {"photos": len(files), "failed": failed, "animals": len(found), "seconds": seconds}
    write_report(json_file, figures)


def _all_photos(
    regressor: "Regressor", files: list[Path], options: Options, console: Console
) -> tuple[list[tuple[str, Any, Any]], int]:
    """What `_one_photo` returns of all photos, and how many of them had to be left out."""
    found, failed = [], 0
    with counting(console, "animals", len(files)) as advance:
        for file in files:
            try:
                found += _one_photo(regressor, file, options, console)
            except ExportError:
                raise
            except InputError as error:
                if len(files) == 1:
                    raise
                # One photo that is broken or shows no animal must not stop a folder.
                say(console, f"Left out: {error}")
                failed += 1
            advance()
    if failed == len(files):
        raise InputError(f"None of {failed} photos could be read and shows an animal.")
    return found, failed


def _one_photo(
    regressor: "Regressor", file: Path, options: Options, console: Console
) -> list[tuple[str, Any, Any]]:
    """Looks at one photo and writes what is found; names, keypoints and parameters for answers."""
    from lerf_wild.inverse.animal_inference import recover
    from lerf_wild.inverse.animal_photos import read_photo

    photo = read_photo(file)
    boxes = boxes_of(photo, file, options)
    fov = None if options.fov_deg is None else float(np.radians(options.fov_deg))
    rows = []
    for number, box in enumerate(boxes):
        try:
            animal = recover(regressor, photo, box, fov)
        except InputError as error:
            if options.detections is None:
                raise
            # A detector is wrong at times, and one wrong box must not stop a folder.
            say(console, f"Left out: {error}")
            continue
        stem = file.stem if len(boxes) == 1 else f"{file.stem}_{number + 1}"
        if animal.spread is not None and animal.spread > UNSURE_SPREAD:
            picture = options.output_dir / f"{stem}.png"
            say(console, f"{photo.name}: unsure (spread {animal.spread:.0f}); look at {picture}.")
        rows.append(write_animal(regressor, photo, animal, options, stem))
    return rows


def write_animal(
    regressor: "Regressor", photo: "Photo", animal: "Recovered", options: Options, stem: str
) -> tuple[str, Any, Any]:
    """Writes picture, JSON and GLB; returns name, keypoints in pixels, and parameters."""
    from lerf_wild.inverse import animal_answers as answers
    from lerf_wild.storage.atomic import write_bytes, write_json

    model, parameters = regressor.model, animal.parameters
    entry = answers.describe(photo, model, parameters, animal.presence, animal.spread)
    picture = answers.encoded_png(answers.overlay(photo, model, parameters))
    folder = options.output_dir
    _written(folder / f"{stem}.png", lambda path: write_bytes(path, picture))
    _written(folder / f"{stem}.json", lambda path: write_json(path, entry))
    _written(
        folder / f"{stem}.glb",
        lambda path: answers.write_glb(path, model, parameters, options.height_m),
    )
    return photo.name, np.array(list(entry["keypoints_px"].values())), parameters


def _written(path: Path, write: Any) -> None:
    with writing(path):
        write(path)


def boxes_of(photo: "Photo", file: Path, options: Options) -> list[Any]:
    """Boxes to look at, -1 to 1; one None where the network has to find the animal."""
    from lerf_wild.inverse.animal_photos import read_detections

    height, width = photo.rgb_HW3.shape[:2]
    if options.box is not None:
        corners = np.array(options.box).reshape(2, 2)
    elif options.detections is not None:
        found = read_detections(options.detections, file, options.threshold)
        return [photo.from_pixels(box.reshape(2, 2) * [width, height]).reshape(4) for box in found]
    else:
        return [None]
    low, high = corners
    if not (np.isfinite(corners).all() and (low < high).all() and (high > 0).all()):
        raise InputError(f"--box {options.box}: give left, top, right, bottom in pixels.")
    if low[0] >= width or low[1] >= height:
        raise InputError(f"--box {options.box} lies outside of {file} ({width}x{height}).")
    return [photo.from_pixels(corners).reshape(4)]


def _files(photos: tuple[Path, ...]) -> list[Path]:
    found: list[Path] = []
    for path in photos:
        if path.is_dir():
            inside = [p for p in sorted(path.iterdir()) if p.suffix.lower() in SUFFIXES]
            if not inside:
                raise InputError(f"{path}: no picture in this folder.")
            found += inside
        else:
            found.append(path)
    if not found:
        raise InputError("Give one photo or more.")
    return found


def check_options(options: Options, files: list[Path]) -> None:
    """Raises InputError for options that don't go together or photos of one name."""
    if options.box is not None and (options.detections is not None or len(files) > 1):
        raise InputError("--box is for one photo, and in place of --detections.")
    if options.fov_deg is not None and not 1.0 <= options.fov_deg <= 150.0:
        raise InputError(f"--fov-deg {options.fov_deg}: give degrees from 1 to 150.")
    stems = [file.stem for file in files]
    twice = {stem for stem in stems if stems.count(stem) > 1}
    if twice:
        raise InputError(f"Several photos are called {min(twice)}; look at them in separate runs.")
