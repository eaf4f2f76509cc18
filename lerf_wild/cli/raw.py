"""`lerf-wild raw render / eval`: scene programs to pictures, and figures of the reader."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from lerf_wild.cli.asset_options import Folder, opened
from lerf_wild.cli.progress import counting_to, say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.errors import InputError
from lerf_wild.storage.atomic import writing

USUAL_SEED, USUAL_SCENES = 10_000, 40
"""Scenes that say what is usual in one; none of them is measured."""
MOST_SAMPLES = 65_536
TABLE_WIDTH = 140
"""Characters of the table of figures, also where a pipe or a narrow window would cut its words."""
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
    from lerf_wild.program.files import read_with_notes
    from lerf_wild.render.program_export import write_glb, write_usd
    from lerf_wild.render.scene_program import finder

    console = Console()
    find = finder(opened(console, library_dir))
    parsed, suffix = read_with_notes(program), output_path.suffix.lower()
    for note in parsed.notes:
        say(console, f"{program}: {note}")
    scene = parsed.program
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
    baselines: tuple[str, ...] = (),
    output_dir: Path | None = None,
    encoder: str = "auto",
    dino: str = "auto",
    likeness: bool = True,
    json_file: JsonFile = None,
) -> None:
    """Measures a reader on scenes that training never drew, with assets it knows and has not seen.

    One table has the reader, each figure's interval of 95 % (bootstrap over scenes), and baselines:
    one template an asset, the reader's boxes with medians for all else, the same program for every
    picture, and readers that were trained as baselines.

    Args:
        scenes: Scenes of each sort, one picture each.
        seed: Which scenes.
        weights: Folder of a `raw` run; the bundled reader when left out.
        data: Folder that `synth raw` wrote, to measure on that instead.
        assets: Scenes of assets of the training, of held out ones, or both.
        yaws: Templates an asset that the reader looks up.
        refine: First scenes of each sort on which rendering and comparing is measured too, of
            the reader and of the trained baselines.
        baselines: What was trained to compare with, such as permuted_ids=FOLDER: runs of `ns-train
            raw`, or folders with a writer.safetensors of RAW's own decoder.
        output_dir: Where to keep what has been measured; a run that was stopped goes on there.
        encoder: What compares drawn programs with pictures: wild-clip, auto, or any open_clip
            model.
        dino: The same for patch features: embedded, auto, or a model of transformers.
        likeness: Whether programs are drawn and compared with the pictures at all.
        json_file: Where to write the figures as JSON.
    """
    from lerf_wild.cli.raw_figures import figures_table, flat_figures
    from lerf_wild.inverse.program_measuring import measure_series

    console = Console()
    _check_eval(scenes, seed, yaws, refine)
    chosen = _series(scenes, seed, data, assets)
    contest = _contest(console, weights, yaws, refine, baselines, (encoder, dino) * likeness)
    results = {}
    for name, series, draw, count in chosen:
        with counting_to(console, f"pictures, {name}", count) as at:
            results[name] = measure_series(contest, series, draw, count, output_dir, at)
    Console(width=max(console.width, TABLE_WIDTH)).print(figures_table(results))
    figures = flat_figures(results, seed)
    names = {} if contest.likeness is None else contest.likeness.names()
    about = {f"{what}_network": name for what, name in names.items()}
    about |= {"yaws": yaws, "weights": str(weights or "bundled")}
    write_report(json_file, {**figures, **about}, seed=seed)


def _check_eval(scenes: int, seed: int, yaws: int, refine: int) -> None:
    if scenes < 1 or seed < 0:
        raise InputError(f"Give at least one scene and a seed of 0 or more, not {scenes}, {seed}.")
    if not 1 <= yaws <= 24 or 24 % yaws:
        raise InputError(f"--yaws {yaws}: give a divisor of 24, of which there are templates.")
    if refine < 0:
        raise InputError(f"--refine {refine}: give a number of scenes, 0 or more.")


def _contest(
    console: Console, weights: Path | None, yaws: int, refine: int, baselines: tuple[str, ...],
    networks: tuple[str, ...],
) -> Any:  # fmt: skip
    from lerf_wild.assets.library import starter_library
    from lerf_wild.inverse.program_baselines import usual_of
    from lerf_wild.inverse.program_data import drawn_samples
    from lerf_wild.inverse.program_likeness import load_likeness
    from lerf_wild.inverse.program_measuring import Contest
    from lerf_wild.inverse.program_use import open_reader

    # Figures are of the starters, whoever measures them.
    library = starter_library()
    reader = open_reader(weights, library)
    others = {name: _baseline(folder, reader) for name, folder in _named(baselines).items()}
    likeness = None
    if networks:
        likeness, missing = load_likeness(*networks)
        say(console, ", ".join(f"{what}: {who}" for what, who in likeness.names().items()))
        if missing:
            say(console, f"LPIPS is left out: its network can't be had ({missing[:100]}).")
    usual = usual_of([sample.program for sample in drawn_samples(USUAL_SCENES, 1, USUAL_SEED)])
    return Contest(reader, others, usual, likeness, yaws, refine)


def _baseline(folder: Path, reader: Any) -> Any:
    """A trained baseline: RAW's own decoder where the folder has one, else a reader."""
    from lerf_wild.inverse.program_llama_files import WRITER
    from lerf_wild.inverse.program_llama_use import open_writer
    from lerf_wild.inverse.program_use import open_reader

    if (folder / WRITER).is_file():
        return open_writer(folder, reader.library, reader.templates)
    return open_reader(folder, reader.library)


def _named(baselines: tuple[str, ...]) -> dict[str, Path]:
    from lerf_wild.inverse.program_measuring import OWN, REFINED

    named: dict[str, Path] = {}
    for text in baselines:
        name, _, folder = text.partition("=")
        is_free = name not in (*OWN, *named) and not name.startswith(REFINED)
        if not folder or not name.replace("_", "").isalnum() or not is_free:
            raise InputError(
                f"--baselines {text[:80]!r}: write name=FOLDER, each name once and none that the "
                "table has already."
            )
        named[name] = Path(folder)
    return named


def _series(scenes: int, seed: int, data: Path | None, assets: str) -> list[tuple[Any, ...]]:
    """Name, description, samples and number of each series."""
    from lerf_wild.inverse.program_data import load_samples
    from lerf_wild.inverse.program_measuring import SERIES, draw_series

    if data is not None:
        samples = load_samples([data])
        about = {"name": "data", "data": str(data.resolve()), "pictures": len(samples)}
        return [("data", about, lambda start, size: samples[start : start + size], len(samples))]
    return [
        (
            name,
            {"name": name, "seed": first + seed, "pool": pool},
            partial(draw_series, name, seed),
            scenes,
        )
        for name, (first, pool) in SERIES.items()
        if assets in ("both", name)
    ]


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
    if not 1 <= samples <= MOST_SAMPLES:
        raise InputError(f"--samples {samples}: give rays a pixel, 1 to {MOST_SAMPLES}.")
    render_in_blender(scene, path, size, size, samples, blend_path, find)
