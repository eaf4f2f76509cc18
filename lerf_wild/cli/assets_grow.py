"""`lerf-wild assets grow`: new individuals for the library, found at once."""

import time
from pathlib import Path
from typing import Any

from rich.console import Console

from lerf_wild.cli.asset_options import (
    Folder,
    checked_kinds,
    drawn,
    entry_row,
    indexed,
    opened,
)
from lerf_wild.cli.progress import say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.errors import AssetError

GROWERS = ("auto", "own", "infinigen")


def assets_grow(
    kinds: tuple[str, ...] = (),
    count: int = 1,
    seed: int = 1,
    grower: str = "auto",
    encoder: str = "wild-clip",
    environment_dir: Path | None = None,
    library_dir: Folder = None,
    json_file: JsonFile = None,
) -> None:
    """Grows new assets, adds them to the library and looks each one up by a picture of it.

    Args:
        kinds: bird, carnivore, herbivore, shrub, rock, tree; all six when left out.
        count: How many of each kind.
        seed: Seed of the first; the following ones take the next.
        grower: own: the project's growers, seconds each. infinigen: makes Infinigen's environment
            (a network, 4 GB, minutes) and grows animals and rocks with it; own where it can't.
            auto: infinigen if its environment is there, else own.
        encoder: What sees the templates: wild-clip, auto, or any open_clip model.
        environment_dir: Folder of Infinigen's environment.
        library_dir: Folder of the library.
        json_file: Where to write the entries and what finding them gave as JSON.
    """
    from lerf_wild.language.registry import resolve_encoder
    from lerf_wild.program.statements import KINDS

    if grower not in GROWERS or not 1 <= count <= 10_000 or seed < 1:
        raise AssetError(f"--grower is one of {', '.join(GROWERS)}; --count and --seed start at 1.")
    console, start = Console(), time.perf_counter()
    chosen = checked_kinds(kinds) or KINDS
    library = opened(console, library_dir)
    environment = _environment(console, grower, environment_dir)
    names = []
    for kind in chosen:
        for number in range(seed, seed + count):
            asset, description = _grow(console, kind, number, environment)
            library = library.add(asset, description, overwrite=True)
            names.append(asset.name)
    grow_s = time.perf_counter() - start
    seeing = resolve_encoder(encoder)
    index, _ = indexed(console, library, seeing)
    drawn(console, library.only(names))
    ranks = [_rank(index, library, name, seeing) for name in names]
    for name, rank in zip(names, ranks):
        entry = library.entry(name)
        say(console, f"{name}: {entry.kind}, {entry.height_m:.2f} m, found in place {rank}")
    figures = {
        "count": len(names),
        "grow_s": grow_s,
        "found_first": sum(rank == 1 for rank in ranks) / len(ranks),
        "grower": "own" if environment is None else "infinigen",
    }
    rows = [{**entry_row(library.entry(n)), "rank": r} for n, r in zip(names, ranks)]
    write_report(json_file, {**figures, "assets": rows}, seed=seed)


def _environment(console: Console, grower: str, folder: Path | None) -> Path | None:
    """Infinigen's environment, made if it was asked for; None to grow with the own growers."""
    from lerf_wild.assets.infinigen_grower import environment_folder, is_ready, make_environment

    folder = folder or environment_folder()
    if grower == "own" or (grower == "auto" and not is_ready(folder)):
        if grower == "auto":
            say(console, "growing with the own growers; `--grower infinigen` sets Infinigen up.")
        return None
    try:
        if not is_ready(folder):
            say(console, f"making Infinigen's environment in {folder}; this takes minutes.")
        make_environment(folder)
    except AssetError as error:
        say(console, f"{error}\nGrowing with the own growers instead.")
        return None
    return folder


def _grow(console: Console, kind: str, seed: int, environment: Path | None) -> tuple[Any, Any]:
    from lerf_wild.assets.growing import grow_own
    from lerf_wild.assets.infinigen_grower import FACTORIES, grow_infinigen

    if environment is None or kind not in FACTORIES:
        return grow_own(kind, seed)
    try:
        return grow_infinigen(kind, seed, environment)
    except AssetError as error:
        say(console, f"{error} Growing it with the own grower instead.")
        return grow_own(kind, seed)


def _rank(index: Any, library: Any, name: str, encoder: Any) -> int:
    """Place of an asset, from 1, in the answer to a picture of it: on another ground, from higher
    up, at a yaw between two templates."""
    from dataclasses import replace

    import numpy as np

    from lerf_wild.assets.calibration import GROUNDS
    from lerf_wild.assets.photos import embed_photo
    from lerf_wild.assets.templates import STANDARD, render_template

    spec = replace(STANDARD, ground=GROUNDS[len(name) % len(GROUNDS)], elevation_deg=12.0)
    yaw_rad = float(np.radians(322.5))
    picture = render_template(library.mesh(name), yaw_rad, encoder.image_size, spec)
    answer = index.search(embed_photo(picture, encoder)[None], k=len(library))[0]
    return 1 + [match.name for match in answer.matches].index(name)
