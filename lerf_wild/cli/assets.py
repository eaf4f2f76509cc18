"""`lerf-wild assets add / index / search`: the asset library."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lerf_wild.cli.asset_options import (
    Files,
    Folder,
    Queries,
    answer_row,
    box_of,
    checked_kinds,
    drawn,
    entry_row,
    indexed,
    opened,
    show_answer,
)
from lerf_wild.cli.progress import say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.errors import AssetError


def assets_add(
    files: Files,
    kind: str,
    name: str | None = None,
    species: str | None = None,
    phrases: tuple[str, ...] = (),
    height_m: float | None = None,
    up: str | None = None,
    front: str = "x",
    colour: tuple[int, int, int] | None = None,
    licence: str = "unknown",
    source: str | None = None,
    overwrite: bool = False,
    encoder: str = "wild-clip",
    library_dir: Folder = None,
    json_file: JsonFile = None,
) -> None:
    """Adds meshes to the library: GLB, OBJ or PLY. They are found at once; nothing is retrained.

    Args:
        files: The meshes, each one asset.
        kind: bird, carnivore, herbivore, shrub, rock or tree.
        name: Name in the library; the file's name when left out (one file only).
        species: What it is; the name when left out.
        phrases: Words by which it may be looked for, most specific first.
        height_m: Height to scale it to; the file's numbers are metres when left out.
        up: Axis of the file that points up (x, y, z, -x ...); y for GLB and OBJ, z for PLY.
        front: Axis of the file along which the nose points.
        colour: Red, green, blue (0-255) for a mesh without colours.
        licence: Its licence, such as CC-BY-4.0; it goes wherever the asset goes.
        source: Where it is from, such as an address.
        overwrite: Whether an added asset of the same name is replaced.
        encoder: What sees the templates: wild-clip, auto, or any open_clip model.
        library_dir: Folder of the library.
        json_file: Where to write the entries as JSON.
    """
    from lerf_wild.assets.importing import ImportSpec
    from lerf_wild.language.registry import resolve_encoder

    if not files or (name is not None and len(files) > 1):
        raise AssetError("Name one mesh file, or several without --name.")
    if colour is not None and not all(0 <= value <= 255 for value in colour):
        raise AssetError(f"--colour takes three numbers from 0 to 255, not {colour}.")
    console = Console()
    library = opened(console, library_dir)
    spec = ImportSpec(up, front, height_m, colour)
    words = (species, phrases, licence, source)
    # Whatever is wrong with the encoder is said before anything is added.
    seeing = resolve_encoder(encoder)
    added = []
    for file in files:
        called = _name_of(file) if name is None else name
        library = _added(library, file, called, kind, words, spec, overwrite)
        added.append(called)
    indexed(console, library.only(added), seeing)
    drawn(console, library.only(added))
    for item in added:
        entry = library.entry(item)
        say(console, f"{item}: {entry.kind}, {entry.height_m:.2f} m, {entry.path}")
    write_report(json_file, {"assets": [entry_row(library.entry(item)) for item in added]})


def assets_index(
    kinds: tuple[str, ...] = (),
    encoder: str = "wild-clip",
    library_dir: Folder = None,
    json_file: JsonFile = None,
) -> None:
    """Lists the library, and renders and embeds the templates of what is new in it.

    Args:
        kinds: Only these kinds; all when left out.
        encoder: What sees the templates: wild-clip, auto, or any open_clip model.
        library_dir: Folder of the library.
        json_file: Where to write the entries as JSON.
    """
    from lerf_wild.language.registry import resolve_encoder

    console = Console()
    library = opened(console, library_dir)
    gate = checked_kinds(kinds)
    library = library if gate is None else library.of_kind(*gate)
    index, new = indexed(console, library, resolve_encoder(encoder))
    drawn(console, library)
    table = Table()
    for column in ("asset", "kind", "species", "height", "licence", "from"):
        table.add_column(column)
    for entry in library:
        table.add_row(
            entry.name, entry.kind, entry.species, f"{entry.height_m:.2f} m", entry.licence,
            str(entry.provenance.get("source", "")) if entry.path is None else str(entry.path),
        )  # fmt: skip
    console.print(table)
    rows = index.templates_ATD.shape[0] * index.templates_ATD.shape[1]
    say(console, f"{len(library)} assets, {rows} templates, {new} assets newly rendered.")
    figures = {"count": len(library), "templates": rows, "rendered": new, "encoder": index.encoder}
    write_report(json_file, {**figures, "assets": [entry_row(entry) for entry in library]})


def assets_search(
    queries: Queries,
    k: int = 5,
    kinds: tuple[str, ...] = (),
    box: tuple[float, ...] = (),
    threshold: float | None = None,
    encoder: str = "wild-clip",
    library_dir: Folder = None,
    json_file: JsonFile = None,
) -> None:
    """Finds assets by words or by a photo: the best matches, the yaw, and whether it is known.

    Args:
        queries: Words, or image files.
        k: How many matches each.
        kinds: The class gate: only these kinds are looked at.
        box: For photos: x0 y0 x1 y1 in pixels, around the object; the whole photo when left out.
        threshold: Score below which nothing is known; the encoder's own when left out.
        encoder: wild-clip, auto, or any open_clip model.
        library_dir: Folder of the library.
        json_file: Where to write the matches as JSON.
    """
    from lerf_wild.assets.photos import embed_photo
    from lerf_wild.assets.words import find_by_words
    from lerf_wild.language.registry import resolve_encoder
    from lerf_wild.storage.image_files import SUFFIXES, read_image

    if not queries or k < 1:
        raise AssetError("Give words or a photo to look for, and --k of at least 1.")
    console = Console()
    gate, around = checked_kinds(kinds), box_of(box)
    files = [query for query in queries if query.lower().endswith(SUFFIXES)]
    photos = {file: read_image(file, upright=True) for file in files}
    library = opened(console, library_dir)
    seeing = resolve_encoder(encoder)
    index, _ = indexed(console, library, seeing)
    rows = []
    for query in queries:
        if query in photos:
            vector = embed_photo(photos[query], seeing, around)
            found = index.search(vector[None], k, gate, threshold)[0]
        else:
            found = find_by_words(index, library, [query], seeing, k, gate, threshold)[0]
        show_answer(console, query, found, library)
        rows.append(answer_row(query, found, library))
    write_report(json_file, {"encoder": index.encoder, "answers": rows})


def _name_of(file: Path) -> str:
    import re

    return re.sub(r"[^a-z0-9_.-]+", "_", file.stem.casefold()).strip("._-")[:64]


def _added(
    library: Any, file: Path, name: str, kind: str, words: tuple[Any, ...], spec: Any,
    overwrite: bool,
) -> Any:  # fmt: skip
    from lerf_wild.assets.asset_files import Description, checked_kind, checked_name
    from lerf_wild.assets.importing import import_mesh
    from lerf_wild.language.phrases import clean_phrases

    species, phrases, licence, source = words
    species = species or name.replace("_", " ")
    given = clean_phrases(phrases) if phrases else ()
    said = tuple(dict.fromkeys([*given, species, checked_kind(kind)]))
    asset = import_mesh(file, checked_name(name), kind, said, spec)
    provenance = {"source": source or file.name}
    return library.add(asset, Description(kind, species, said, licence, provenance), overwrite)
