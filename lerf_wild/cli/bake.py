"""`lerf-wild bake`: a trained scene as one small file that is asked with numpy alone."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from lerf_wild.cli.phrases import read_phrases
from lerf_wild.cli.progress import counting, counting_to, say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.runs import Run, open_run
from lerf_wild.errors import InputError
from lerf_wild.language.phrases import CANONICAL_PHRASES

if TYPE_CHECKING:
    from lerf_wild.baked.field import BakedField
    from lerf_wild.cli.scored import MarchedPoints
    from lerf_wild.methods.lerf_wild.baking import Cloud

SH_BASE = 0.28209479
"""Value of the constant spherical harmonic: splats store (colour - 0.5) / SH_BASE."""


def bake(
    load_config: Path,
    output_path: Path = Path("scene.safetensors"),
    phrases: tuple[str, ...] = (),
    phrases_file: Path | None = None,
    phrase_set: str | None = None,
    onto: Path | None = None,
    num_points: int = 1_000_000,
    sizes: int = 15,
    voxels: int = 131_072,
    seed: int = 0,
    data: Path | None = None,
    json_file: JsonFile = None,
) -> None:
    """Bakes a run into a file that `query --baked` and `export --baked` answer from at once.

    Phrases of the bundled vocabulary and those that are given need no encoder later.

    Args:
        load_config: The run's config.yml.
        output_path: The file to write, ending in .safetensors.
        phrases: Phrases to be asked without the encoder, besides the vocabulary.
        phrases_file: A text with one phrase a line, or a JSON list, read after --phrases.
        phrase_set: Name of a set that was saved in the viewer's panel.
        onto: A splat or mesh PLY in the capture's coordinates: bake its vertices.
        num_points: Surface points of the bake, spread over all training views.
        sizes: Tile sizes that a phrase may be found at.
        voxels: Places with features of their own; points of one place share them.
        seed: What decides the points.
        data: Where the capture is now, if it has been moved.
        json_file: Where to write counts and times as JSON.
    """
    if output_path.suffix != ".safetensors":
        raise InputError(f"{output_path}: end the name in .safetensors.")
    if sizes < 1 or voxels < 1:
        raise InputError("--sizes and --voxels must be 1 or more.")
    is_asked = bool(phrases or phrases_file or phrase_set)
    wanted = read_phrases(phrases, phrases_file, phrase_set, load_config) if is_asked else ()
    console, start = Console(), time.perf_counter()
    run = open_run(load_config, data, takes_splats=True)
    baked = bake_run(console, run, wanted, onto, num_points, sizes, voxels, seed)
    from lerf_wild.baked.files import write_baked

    write_baked(output_path, baked)
    figures = {
        "file": str(output_path),
        "points": len(baked),
        "voxels": len(baked.counts_V),
        "sizes": len(baked.sizes_S),
        "dims": baked.basis_DK.shape[1],
        "texts": len(baked.texts),
        "bytes": output_path.stat().st_size,
        "seconds": time.perf_counter() - start,
    }
    say(console, _summary(figures))
    write_report(json_file, figures, seed=seed)


def _summary(figures: dict) -> str:
    return (
        f"{figures['file']}: {figures['points']} points, {figures['voxels']} places, "
        f"{figures['dims']} dimensions at {figures['sizes']} sizes, "
        f"{figures['bytes'] / 1e6:.1f} MB in {figures['seconds']:.1f} s."
    )


def bake_run(
    console: Console,
    run: Run,
    phrases: tuple[str, ...] = (),
    onto: Path | None = None,
    num_points: int = 1_000_000,
    sizes: int = 15,
    voxels: int = 131_072,
    seed: int = 0,
) -> "BakedField":
    """Bakes a run with progress bars; raises ExportError when there is no surface."""
    from lerf_wild.methods.lerf_wild.baking import BakeSpec
    from lerf_wild.methods.lerf_wild.baking import bake as bake_cloud

    cloud = _sampled(console, run, num_points, seed) if onto is None else cloud_of_ply(run, onto)
    with counting_to(console, "asking the field, %", 100) as tell:
        return bake_cloud(
            run.model,
            run,
            cloud,
            BakeSpec(sizes=sizes, max_voxels=voxels),
            texts=_texts(run, phrases),
            metadata=_metadata(run, onto),
            on_share=lambda share: tell(round(100 * share)),
        )


def cloud_of_ply(run: Run, path: Path) -> "Cloud":
    """Takes the vertices of a splat or mesh (world frame); raises ExportError for other files."""
    from lerf_wild.export.ply_onto import read_foreign
    from lerf_wild.methods.lerf_wild.baking import Cloud

    foreign = read_foreign(path)
    whole_M = np.isfinite(foreign.positions_M3).all(axis=1)
    rows_M, names = foreign.rows_M[whole_M], foreign.rows_M.dtype.names
    normals_M3 = np.zeros((len(rows_M), 3))
    if {"nx", "ny", "nz"} <= set(names):
        raw_M3 = np.nan_to_num(np.stack([rows_M[name] for name in ("nx", "ny", "nz")], axis=1))
        lengths_M1 = np.linalg.norm(raw_M3, axis=1, keepdims=True)
        normals_M3 = raw_M3 / np.maximum(lengths_M1, 1e-9) @ run.transform_34[:, :3].T
    return Cloud(run.to_nerf(foreign.positions_M3[whole_M]), normals_M3, _colours(rows_M, names))


def _colours(rows_M: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    if {"red", "green", "blue"} <= set(names):
        rgb_M3 = np.stack([rows_M[name] for name in ("red", "green", "blue")], axis=1)
        return rgb_M3.astype(np.uint8)
    if {"f_dc_0", "f_dc_1", "f_dc_2"} <= set(names):
        dc_M3 = np.stack([rows_M[f"f_dc_{index}"] for index in range(3)], axis=1)
        return (np.clip(np.nan_to_num(dc_M3) * SH_BASE + 0.5, 0, 1) * 255).astype(np.uint8)
    return np.full((len(rows_M), 3), 128, np.uint8)


def _sampled(console: Console, run: Run, num_points: int, seed: int) -> "Cloud":
    from lerf_wild.cli.sampling import sample_surface

    if hasattr(run.model, "surface"):
        return gaussian_cloud(run, num_points)
    cameras = run.dataset("train").cameras
    with counting(console, "sampling views", len(cameras)) as advance:
        points = sample_surface(run.model, cameras, num_points, seed, advance)
    return cloud_of_surface(points)


def cloud_of_surface(points: "MarchedPoints") -> "Cloud":
    """Takes sampled points with what their rays went through and the views that show them."""
    from lerf_wild.methods.lerf_wild.baking import Cloud

    return Cloud(
        points.positions_N3,
        points.normals_N3,
        points.colours_N3,
        points.samples_NK4,
        points.shown_by_N,
    )


def gaussian_cloud(run: Run, num_points: int) -> "Cloud":
    """Takes the clearest gaussians of a run of lerf-wild-splat; they have no normals."""
    from lerf_wild.methods.lerf_wild.baking import Cloud

    means_N3, colours_N3 = run.model.surface(num_points)
    positions_N3 = means_N3.double().cpu().numpy()
    return Cloud(positions_N3, np.zeros_like(positions_N3), colours_N3.cpu().numpy())


def _texts(run: Run, phrases: tuple[str, ...]) -> dict[str, np.ndarray]:
    from lerf_wild.language.wild_clip import vocabulary

    texts = [*dict.fromkeys([*CANONICAL_PHRASES, *phrases, *vocabulary()])]
    embeddings_TD = run.model.encoder().encode_text(texts).cpu().numpy()
    return dict(zip(texts, embeddings_TD))


def _metadata(run: Run, onto: Path | None) -> dict[str, object]:
    return {
        "title": run.title,
        "encoder_name": run.config.pipeline.encoder,
        "source_run": run.folder.name,
        "source_step": run.step,
        "onto": None if onto is None else onto.name,
    }
