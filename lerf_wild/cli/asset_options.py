"""What the `assets` commands share: their flags, the open library, and how answers are shown."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from lerf_wild.cli.progress import counting, say
from lerf_wild.errors import AssetError

Folder = Annotated[
    Path | None,
    tyro.conf.arg(
        name="library-dir",
        metavar="DIR",
        help="Folder of the assets that were added; yours (or LERF_WILD_ASSETS) when left out.",
    ),
]
Files = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE...")]
Queries = Annotated[
    tuple[str, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="WORDS|PHOTO...", help='Words such as "striped cat", or image files.'),
]


def opened(console: Console, folder: Path | None) -> Any:
    """The library; a line for each file of the folder that can't be read."""
    from lerf_wild.assets.library import open_library

    library = open_library(folder)
    for line in library.damaged:
        say(console, f"left out: {line}")
    return library


def indexed(console: Console, library: Any, encoder: Any) -> tuple[Any, int]:
    """The template index, with a progress bar, and how many assets had to be rendered."""
    from lerf_wild.assets.template_index import build_index

    new = 0
    with counting(console, "rendering and embedding templates", len(library)) as advance:

        def on_asset(_: Any, is_new: bool) -> None:
            nonlocal new
            new += is_new
            advance()

        index = build_index(library, encoder, on_asset=on_asset)
    return index, new


def drawn(console: Console, library: Any) -> None:
    """Draws the views of what was added that `raw reconstruct` compares photos with."""
    from lerf_wild.inverse.program_library import draw_added

    added = library.added()
    with counting(console, "drawing views for the reader", len(added)) as advance:
        draw_added(added, lambda _: advance())


def checked_kinds(kinds: Sequence[str]) -> tuple[str, ...] | None:
    """The class gate; None when no kind was named.

    Raises:
        AssetError: for a kind that there isn't.
    """
    from lerf_wild.assets.asset_files import checked_kind

    return tuple(checked_kind(kind) for kind in kinds) or None


def entry_row(entry: Any) -> dict[str, object]:
    """An entry as plain data."""
    return {
        "name": entry.name,
        "kind": entry.kind,
        "species": entry.species,
        "height_m": entry.height_m,
        "licence": entry.licence,
        "phrases": list(entry.phrases),
        "provenance": dict(entry.provenance),
        "added": entry.path is not None,
    }


def answer_row(query: str, answer: Any, library: Any) -> dict[str, object]:
    """An answer as plain data."""
    return {
        "query": query,
        "known": answer.is_known,
        "margin": answer.margin,
        "matches": [
            {
                "name": match.name,
                "kind": match.kind,
                "species": library.entry(match.name).species,
                "score": match.score,
                "yaw_deg": match.yaw_deg,
                "height_m": library.entry(match.name).height_m,
                "licence": library.entry(match.name).licence,
            }
            for match in answer.matches
        ],
    }


def show_answer(console: Console, query: str, answer: Any, library: Any) -> None:
    """Print the matches of one query as a table."""
    state = "" if answer.is_known else " - unknown: nothing in the library is like it"
    table = Table(title=f"{query}{state}", title_justify="left")
    for column in ("asset", "kind", "species", "score", "yaw", "height", "licence"):
        table.add_column(
            column, justify="right" if column in ("score", "yaw", "height") else "left"
        )
    for match in answer.matches:
        entry = library.entry(match.name)
        table.add_row(
            match.name, match.kind, entry.species, f"{match.score:.3f}", f"{match.yaw_deg:.0f}°",
            f"{entry.height_m:.2f} m", entry.licence,
        )  # fmt: skip
    console.print(table)
    say(console, f"margin to the second: {answer.margin:.3f}")


def box_of(numbers: Sequence[float]) -> tuple[float, float, float, float] | None:
    """A box in pixels (x0, y0, x1, y1), or None for no numbers.

    Raises:
        AssetError: for anything but four numbers that enclose an area.
    """
    if len(numbers) == 0:
        return None
    if len(numbers) != 4 or numbers[2] <= numbers[0] or numbers[3] <= numbers[1]:
        raise AssetError(f"--box takes x0 y0 x1 y1 in pixels, not {list(numbers)}.")
    x0, y0, x1, y1 = numbers
    return x0, y0, x1, y1
