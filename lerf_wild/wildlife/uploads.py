"""Files that were handed over as their content: meshes for the library, photos as programs."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path, PurePath

from lerf_wild.assets.asset_files import Description
from lerf_wild.assets.importing import ImportSpec, import_mesh
from lerf_wild.assets.library import Library
from lerf_wild.errors import AssetError
from lerf_wild.program.types import Program
from lerf_wild.wildlife.choosing import Choice, choose_asset

FALLBACK = "upload"
USUAL_KIND = "rock"
UNKNOWN = "unknown"


def add_upload(
    library: Library,
    file_name: str,
    content: bytes,
    words: str = "",
    kind: str = USUAL_KIND,
    licence: str = "",
) -> tuple[Library, Choice]:
    """The library with one more asset, and that asset as a choice.

    Args:
        library: A library that has a folder of its own.
        file_name: Name of the file, whose ending (.glb, .obj or .ply) says how to read it.
        content: The file.
        words: What it may be called; the file's name when empty.
        kind: One of the library's kinds.
        licence: Its licence; "unknown" when empty.

    Raises:
        AssetError: when it is no mesh that can be read, or can't be kept.
    """
    plain = PurePath(file_name.replace("\\", "/")).name
    if not plain:
        raise AssetError("The file came without a name. Choose it again.")
    called = words.strip() or PurePath(plain).stem.replace("_", " ")
    name = _free_name(library, called)
    with tempfile.TemporaryDirectory() as folder:
        # Only the ending of a name that comes from outside goes into a path.
        path = Path(folder) / f"{FALLBACK}{PurePath(plain).suffix.lower()[:8]}"
        path.write_bytes(content)
        try:
            asset = import_mesh(path, name, kind, (called[:80],), ImportSpec())
        except AssetError as error:
            raise AssetError(str(error).replace(str(path), plain[:60])) from None
    about = Description(kind, called[:80], (called[:80],), licence.strip()[:80] or UNKNOWN, {})
    library = library.add(asset, about)
    return library, choose_asset(name, library)


def program_of_photo(file_name: str, content: bytes) -> Program:
    """What a photo shows, as a scene program.

    Raises:
        LerfWildError: when it is no photo, or nothing can be read from it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{FALLBACK}{PurePath(file_name).suffix.lower()[:8]}"
        path.write_bytes(content)
        return read_photo(path)


def read_photo(photo: Path) -> Program:
    """What the photo in a file shows.

    Raises:
        LerfWildError: when it is no photo, or nothing can be read from it.
    """
    from lerf_wild.inverse.program_images import load_photo
    from lerf_wild.inverse.program_inference import DEFAULT_FOV_DEG
    from lerf_wild.inverse.program_use import open_reader

    return open_reader().read(load_photo(photo), DEFAULT_FOV_DEG).program


def _free_name(library: Library, words: str) -> str:
    stem = re.sub(r"[^a-z0-9]+", "_", words.casefold()).strip("_")[:48] or FALLBACK
    if not library.is_taken(stem):
        return stem
    number = 2
    while library.is_taken(f"{stem}_{number}"):
        number += 1
    return f"{stem}_{number}"
