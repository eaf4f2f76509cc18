"""`lerf-wild export`: a point cloud with a relevancy for each phrase."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from lerf_wild.cli.progress import counting
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.runs import Run, open_run, read_phrases
from lerf_wild.errors import ExportError
from lerf_wild.language import thresholds
from lerf_wild.language.relevancy import CANONICAL_PHRASES

Format = Literal["ply", "las", "csv"]
Frame = Literal["world", "nerf"]

CLOUD_NAME = "relevancy"


def export(
    load_config: Path,
    phrases: tuple[str, ...] = (),
    phrases_file: Path | None = None,
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
        output_dir: Folder of relevancy.ply (or .las, .csv) and relevancy.json.
        format: File format of the cloud.
        num_points: Number of points, spread over all training views.
        frame: Coordinates of the capture (world) or of the training (nerf).
        canonical: The phrases that a phrase has to beat.
        seed: What decides the points.
        data: Where the capture is now, if it has been moved.
        json_file: Where to write counts and times as JSON.
    """
    wanted = read_phrases(phrases, phrases_file)
    check_folder(output_dir)
    console = Console()
    run = open_run(load_config, data)
    figures = write_export(
        console, run, wanted, output_dir, format, num_points, frame, canonical, seed
    )
    console.print(
        f"{figures['file']}: {figures['points']} points, {len(wanted)} phrases, {frame} frame; "
        f"sampled in {figures['sample_seconds']:.1f} s, written in "
        f"{figures['write_seconds']:.2f} s.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    write_report(json_file, figures, seed=seed)


def check_folder(folder: Path) -> None:
    """Raises ExportError when a folder can't be made or written there; makes nothing."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ExportError(
            f"{folder}: {existing} is no folder that can be written. Pass another --output-dir."
        )


def write_export(
    console: Console,
    run: Run,
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
    from lerf_wild.export.manifest import write_manifest
    from lerf_wild.export.point_cloud import without_non_finite

    start = time.perf_counter()
    query = run.query(phrases, canonical)
    with counting(console, "sampling views", len(run.dataset("train"))) as advance:
        found = sample_scene(run, query, num_points, seed, advance)
    cloud, dropped = without_non_finite(as_cloud(run, found, frame))
    sampled = time.perf_counter()
    path = output_dir / f"{CLOUD_NAME}.{format}"
    _writer(format)(path, cloud)
    written = time.perf_counter()
    length = run.length_per_nerf if frame == "world" else 1.0
    extra = {
        "scales": dict(zip(found.phrases, (found.size_P * length).tolist(), strict=True)),
        "thresholds": {
            "mask": thresholds.MASK_RELEVANCY,
            "existence": thresholds.EXISTENCE_RELEVANCY,
        },
        "dataparser_transform": run.transform_34.tolist(),
        "dataparser_scale": run.scale,
        **_source(run),
    }
    write_manifest(output_dir / f"{CLOUD_NAME}.json", cloud, [path], extra)
    return {
        "file": str(path),
        "points": len(cloud),
        "dropped": dropped,
        "phrases": list(phrases),
        "sample_seconds": sampled - start,
        "write_seconds": written - sampled,
    }


def _writer(format: Format):
    if format == "las":
        from lerf_wild.export.las import write_cloud_las

        return write_cloud_las
    if format == "csv":
        from lerf_wild.export.csv_files import write_cloud_csv

        return write_cloud_csv
    from lerf_wild.export.ply import write_cloud

    return write_cloud


def _source(run: Run) -> dict[str, object]:
    from lerf_wild.storage.cache import file_sha256

    return {
        "source_config": run.config_path.name,
        "source_run": run.folder.name,
        "source_sha256": file_sha256(run.config_path),
        "source_step": run.step,
    }
