"""Assets by name, ready to be placed: what a scene program means by `asset="tiger"`.

A name is looked for among the starters, then among what the user has added, then among the grown
individuals ("mallard.1") of which training scenes are made.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from lerf_wild.assets.asset_files import read_asset
from lerf_wild.assets.library import Entry, Library, added_entry, open_library
from lerf_wild.assets.names import unknown_asset
from lerf_wild.assets.recipes import STARTERS
from lerf_wild.assets.scene_assets import SceneAsset, kind_of, load_individual, scene_asset

KEPT = 64
"""Added assets whose meshes are kept in memory."""


def find_asset(name: str, library: Library | None = None) -> SceneAsset:
    """The asset of a name.

    Args:
        name: What a program or a reader calls it.
        library: Where added assets are; the user's library when None.

    Raises:
        AssetError: for a name that nothing has, which names the nearest, and for a damaged file.
    """
    if name in STARTERS:
        return load_individual(name)
    entry = added_entry(name) if library is None else library.entries.get(name)
    if entry is not None:
        return entry_asset(entry)
    if kind_of(name.partition(".")[0]) is not None:
        return load_individual(name)
    raise unknown_asset(name, (open_library() if library is None else library).names)


def entry_asset(entry: Entry) -> SceneAsset:
    """The asset of an entry; raises as `find_asset` does."""
    if entry.path is None:
        return load_individual(entry.name)
    return _added(entry.path, entry.key, entry.kind)


@lru_cache(maxsize=KEPT)
def _added(path: Path, key: str, kind: str) -> SceneAsset:
    # The key is the mesh's hash, so that a file that was replaced is read again.
    return scene_asset(read_asset(path), kind)
