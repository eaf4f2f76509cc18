"""`lerf-wild raw render / eval`: scene programs to pictures, and figures of the reader."""

from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from lerf_wild.cli.asset_options import Folder, opened
from lerf_wild.cli.progress import say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.errors import InputError
from lerf_wild.storage.atomic import writing

BARS = {
    "parse_rate": (1.0, "at least"),
    "count_exact": (0.8, "at least"),
    "class_accuracy": (0.95, "at least"),
    "lateral_error": (0.05, "at most"),
    "distance_error": (0.10, "at most"),
    "height_error": (0.10, "at most"),
    "yaw_error_deg": (12.0, "at most"),
    "recall_at_1": (0.6, "at least"),
    "recall_at_5": (0.9, "at least"),
}
"""What the bundled reader is held to on scenes that it has not seen."""
EVAL_SEED, HELD_OUT_SEED = 20_000, 30_000
ProgramFile = Annotated[
    Path, tyro.conf.Positional, tyro.conf.arg(metavar="PROGRAM", help="A .scene, .txt or .json.")
]


def raw_render(
    program: ProgramFile,
    output_path: Path,
    size: int = 512,
    renderer: Literal["rays", "blender"] = "rays",
    samples: int = 64,
    blend_path: Path | None = None,
    library_dir: Folder = None,
) -> None:
    """Draws a scene program, or exports it: the output's suffix says what is written.

    Args:
        program: Scene program as text or JSON.
        output_path: .png or .jpg for a picture, .glb, .usda or .usdc for a scene.
        size: Pixels along a side of the picture.
        renderer: The ray-caster, or Cycles (needs bpy).
        samples: Rays a pixel in Cycles.
        blend_path: Where to keep Blender's scene.
        library_dir: Folder of added assets that the program may name.
    """
    from lerf_wild.program.files import read_program
    from lerf_wild.render.program_export import write_glb, write_usd
    from lerf_wild.render.scene_program import finder

    console = Console()
    find = finder(opened(console, library_dir))
    scene, suffix = read_program(program), output_path.suffix.lower()
    if suffix == ".glb":
        write_glb(output_path, scene, find)
    elif suffix in (".usda", ".usdc"):
        write_usd(output_path, scene, find)
    elif suffix not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"{output_path}: give a .png, .jpg, .glb, .usda or .usdc.")
    elif renderer == "blender":
        _render_blender(scene, output_path, size, samples, blend_path, find)
    else:
        _render_rays(scene, output_path, size, find)
    say(console, str(output_path))


def raw_eval(
    scenes: int = 200,
    seed: int = 0,
    weights: Path | None = None,
    data: Path | None = None,
    assets: Literal["both", "seen", "unseen"] = "both",
    yaws: int = 24,
    refine: int = 0,
    json_file: JsonFile = None,
) -> None:
    """Measures a reader on scenes that training never drew, with assets it knows and has not seen.

    Args:
        scenes: Scenes of each sort, one picture each.
        seed: Which scenes.
        weights: Folder of a `raw` run; the bundled reader when left out.
        data: Folder that `synth raw` wrote, to measure on that instead.
        assets: Scenes of assets of the training, of held out ones, or both.
        yaws: Templates an asset that are looked up; 1 is the baseline.
        refine: Scenes on which rendering and comparing is measured too.
        json_file: Where to write the figures as JSON.
    """
    from lerf_wild.assets.library import starter_library
    from lerf_wild.inverse.program_use import measure_on, open_reader, refined_on

    # Figures are of the starters, whoever measures them.
    console, reader = Console(), open_reader(weights, starter_library())
    sets = _sets(scenes, seed, data, assets)
    figures: dict[str, Any] = {}
    columns = {}
    for name, samples in sets.items():
        columns[name] = measure_on(reader, samples, yaws)
        prefix = "" if name in ("seen", "data") else f"{name}_"
        figures |= {f"{prefix}{key}": value for key, value in columns[name].items()}
        if refine:
            figures |= {f"{prefix}{k}": v for k, v in refined_on(reader, samples[:refine]).items()}
    console.print(_table(columns))
    write_report(json_file, {**figures, "yaws": yaws, "weights": str(weights or "bundled")})


def _sets(scenes: int, seed: int, data: Path | None, assets: str) -> dict[str, list[Any]]:
    from lerf_wild.inverse.program_data import drawn_samples, load_samples

    if scenes < 1 or seed < 0:
        raise InputError(f"Give at least one scene and a seed of 0 or more, not {scenes}, {seed}.")
    if data is not None:
        return {"data": load_samples([data])}
    sets = {}
    if assets != "unseen":
        sets["seen"] = drawn_samples(scenes, 1, EVAL_SEED + seed, "starter")
    if assets != "seen":
        sets["unseen"] = drawn_samples(scenes, 1, HELD_OUT_SEED + seed, "held-out")
    return sets


def _render_rays(scene: Any, path: Path, size: int, find: Any) -> None:
    from PIL import Image

    from lerf_wild.render.scene_program import render_program
    from lerf_wild.storage.atomic import atomic_path

    picture = Image.fromarray(render_program(scene, size, size, find).picture.rgb)
    with writing(path):
        with atomic_path(path) as file:
            picture.save(file, format="PNG" if path.suffix.lower() == ".png" else "JPEG")


def _render_blender(
    scene: Any, path: Path, size: int, samples: int, blend_path: Path | None, find: Any
) -> None:
    from lerf_wild.render.blender import render_in_blender

    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: Cycles writes .png.")
    render_in_blender(scene, path, size, size, samples, blend_path, find)


def _table(columns: dict[str, dict[str, float]]) -> Table:
    table = Table(title="scene programs of held-out scenes")
    table.add_column("figure")
    for name in [*columns, "bar"]:
        table.add_column(name, justify="right")
    for key in next(iter(columns.values())):
        limit, sense = BARS.get(key, (None, ""))
        bar = "" if limit is None else f"{sense} {limit:g}"
        table.add_row(key, *(f"{values[key]:.4g}" for values in columns.values()), bar)
    return table
