"""`lerf-wild export`: a point cloud with a relevancy for each phrase."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console

from lerf_wild.cli.baked import BakedRun, one_of, open_baked_run
from lerf_wild.cli.phrases import read_phrases
from lerf_wild.cli.progress import counting, say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.scored import Frame, ScoredScene, cloud_of
from lerf_wild.errors import ExportError, InputError
from lerf_wild.frames import Placed
from lerf_wild.language import thresholds
from lerf_wild.language.phrases import CANONICAL_PHRASES

if TYPE_CHECKING:
    from lerf_wild.cli.runs import Run
    from lerf_wild.export.point_cloud import RelevancyCloud

Format = Literal["ply", "las", "csv"]

CLOUD_NAME = "relevancy"

THRESHOLDS = {
    "mask": thresholds.MASK_RELEVANCY,
    "existence": thresholds.EXISTENCE_RELEVANCY,
}


def export(
    load_config: Path | None = None,
    phrases: tuple[str, ...] = (),
    phrases_file: Path | None = None,
    phrase_set: str | None = None,
    baked: Path | None = None,
    onto: Path | None = None,
    output_dir: Path = Path("exports"),
    format: Format = "ply",
    num_points: int = 1_000_000,
    frame: Frame = "world",
    canonical: tuple[str, ...] = CANONICAL_PHRASES,
    seed: int = 0,
    data: Path | None = None,
    json_file: JsonFile = None,
) -> None:
    """Writes a point cloud of the scene with one relevancy a phrase, and a side file about it.

    The PLY opens in CloudCompare, MeshLab, Open3D and trimesh; LAS in GIS tools.

    Args:
        load_config: The run's config.yml.
        phrases: What to look for, 1 to 200 phrases.
        phrases_file: A text with one phrase a line, or a JSON list, read after --phrases.
        phrase_set: Name of a set that was saved in the viewer's panel.
        baked: A baked scene instead of a run; all of its points are written.
        onto: A splat or mesh PLY of the same place: with --baked, a copy of it gets the scores.
        output_dir: Folder of relevancy.ply (or .las, .csv) and relevancy.json.
        format: File format of the cloud.
        num_points: Number of points, spread over all training views.
        frame: Coordinates of the capture (world) or of the training (nerf).
        canonical: The phrases that a phrase has to beat.
        seed: What decides the points.
        data: Where the capture is now, if it has been moved.
        json_file: Where to write counts and times as JSON.
    """
    source = one_of(load_config, baked)
    if onto is not None and baked is None:
        raise InputError("--onto needs --baked: run `lerf-wild bake` on the run first.")
    wanted = read_phrases(phrases, phrases_file, phrase_set, source)
    check_folder(output_dir)
    console = Console()
    if baked is not None:
        figures = _export_baked(
            open_baked_run(baked), wanted, onto, output_dir, format, frame, canonical
        )
    else:
        from lerf_wild.cli.runs import open_run

        run = open_run(source, data)
        figures = write_export(
            console, run, wanted, output_dir, format, num_points, frame, canonical, seed
        )
    say(
        console,
        f"{figures['file']}: {figures['points']} points, {len(wanted)} phrases, {frame} frame; "
        f"sampled in {figures['sample_seconds']:.1f} s, written in "
        f"{figures['write_seconds']:.2f} s.",
    )
    write_report(json_file, figures, seed=seed)


def _export_baked(
    run: BakedRun,
    wanted: Sequence[str],
    onto: Path | None,
    output_dir: Path,
    format: Format,
    frame: Frame,
    canonical: Sequence[str],
) -> dict[str, object]:
    start = time.perf_counter()
    found = run.score(wanted, canonical)
    seconds = {"sample_seconds": time.perf_counter() - start}
    if onto is not None:
        from lerf_wild.export.ply_onto import write_onto

        path = output_dir / f"{onto.stem}_{CLOUD_NAME}.ply"
        start = time.perf_counter()
        count = write_onto(
            onto, path, run.baked.positions_N3, found.points.relevancy_NP, found.phrases
        )
        written = time.perf_counter() - start
        return {"file": str(path), "points": count, "write_seconds": written, **seconds}
    cloud = cloud_of(run.baked, found, run.baked.encoder, frame)
    source = {"source_baked": run.path.name, "source": dict(run.baked.metadata)}
    return write_found(run.baked, found, cloud, output_dir, format, source) | seconds


def check_folder(folder: Path) -> None:
    """Raises ExportError when a folder can't be made or written there; makes nothing."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ExportError(
            f"{folder}: {existing} is no folder that can be written. Pass another --output-dir."
        )


def write_export(
    console: Console,
    run: "Run",
    phrases: Sequence[str],
    output_dir: Path,
    format: Format = "ply",
    num_points: int = 1_000_000,
    frame: Frame = "world",
    canonical: Sequence[str] = CANONICAL_PHRASES,
    seed: int = 0,
) -> dict[str, object]:
    """Samples and writes a cloud and its side file; returns counts and times.

    Raises QueryError, EncoderError and ExportError.
    """
    from lerf_wild.cli.sampling import as_cloud, sample_scene

    start = time.perf_counter()
    query = run.query(phrases, canonical)
    with counting(console, "sampling views", len(run.dataset("train"))) as advance:
        found = sample_scene(run, query, num_points, seed, advance)
    sampled = time.perf_counter()
    cloud = as_cloud(run, found, frame)
    figures = write_found(run, found, cloud, output_dir, format, source_of(run))
    return {**figures, "sample_seconds": sampled - start}


def write_found(
    place: Placed,
    found: ScoredScene,
    cloud: "RelevancyCloud",
    output_dir: Path,
    format: Format,
    source: Mapping[str, object],
) -> dict[str, object]:
    """Writes a scored scene as a cloud with its side file; returns counts and times.

    Raises ExportError.
    """
    from lerf_wild.export.manifest import write_manifest
    from lerf_wild.export.point_cloud import without_non_finite

    start = time.perf_counter()
    length = place.length_per_nerf if cloud.metadata["frame"] == "world" else 1.0
    cloud, dropped = without_non_finite(cloud)
    path = output_dir / f"{CLOUD_NAME}.{format}"
    cloud_writer(format)(path, cloud)
    written = time.perf_counter()
    extra = {
        "scales": dict(zip(found.phrases, (found.size_P * length).tolist(), strict=True)),
        "thresholds": THRESHOLDS,
        "dataparser_transform": place.transform_34.tolist(),
        "dataparser_scale": place.scale,
        **source,
    }
    write_manifest(output_dir / f"{CLOUD_NAME}.json", cloud, [path], extra)
    return {
        "file": str(path),
        "points": len(cloud),
        "dropped": dropped,
        "phrases": list(found.phrases),
        "write_seconds": written - start,
    }


def cloud_writer(format: Format) -> Callable[[Path, "RelevancyCloud"], None]:
    """Returns the function that writes a cloud in a format."""
    if format == "las":
        from lerf_wild.export.las import write_cloud_las

        return write_cloud_las
    if format == "csv":
        from lerf_wild.export.csv_files import write_cloud_csv

        return write_cloud_csv
    from lerf_wild.export.ply import write_cloud

    return write_cloud


def source_of(run: "Run") -> dict[str, object]:
    """Returns what the side file says of the run that a cloud comes from."""
    from lerf_wild.storage.hashes import file_sha256

    return {
        "source_config": run.config_path.name,
        "source_run": run.folder.name,
        "source_sha256": file_sha256(run.config_path),
        "source_step": run.step,
    }
