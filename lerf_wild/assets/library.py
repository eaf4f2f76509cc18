"""The asset library: the bundled starters and what the user has added, one entry each.

An entry is a few words; its mesh is grown or read when it is asked for. Starters are grown once and
then kept in the cache folder, so that the next process reads them in milliseconds.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path

import platformdirs
import torch

from lerf_wild.assets.asset_files import (
    SUFFIX,
    Description,
    checked_name,
    read_asset,
    read_description,
    write_asset,
)
from lerf_wild.assets.mesh import Asset
from lerf_wild.assets.names import unknown_asset
from lerf_wild.assets.recipes import STARTERS, grow_recipe
from lerf_wild.errors import AssetError, CacheError
from lerf_wild.storage.cache import FeatureCache, content_key, default_cache_root
from lerf_wild.storage.json_files import read_json

STARTER_TABLE = Path(__file__).with_name("starters.json")
_MESH = {
    "vertices": ((None, 3), torch.float32),
    "faces": ((None, 3), torch.int32),
    "colours": ((None, 3), torch.uint8),
}


@dataclass(frozen=True)
class Entry:
    """What the library knows of one asset without loading its mesh."""

    name: str
    kind: str
    """One of `program.statements.KINDS`."""
    species: str
    phrases: tuple[str, ...]
    """What it may be called, most specific first."""
    height_m: float
    licence: str
    provenance: Mapping[str, object]
    key: str
    """Hash of what the mesh is made from; equal keys, equal meshes."""
    path: Path | None = None
    """File of an asset that the user added; None for a starter."""


@dataclass(frozen=True)
class Library:
    """Entries by name, in a fixed order: the starters, then the user's by name."""

    entries: Mapping[str, Entry]
    folder: Path | None = None
    """Where assets are added; None for a library that can't grow."""
    damaged: tuple[str, ...] = field(default=(), compare=False)
    """One line for each file of the folder that could not be read."""

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in order."""
        return tuple(self.entries)

    def entry(self, name: str) -> Entry:
        """The entry of a name.

        Raises:
            AssetError: when there is none; it names the nearest.
        """
        if name not in self.entries:
            raise unknown_asset(name, self.entries)
        return self.entries[name]

    def mesh(self, name: str) -> Asset:
        """The mesh of an asset, grown, read from the cache, or read from its file.

        Raises:
            AssetError: for an unknown name or a damaged file.
        """
        return load_mesh(self.entry(name))

    def added(self) -> Library:
        """The part of the library that the user has added."""
        return self.only(entry.name for entry in self if entry.path is not None)

    def of_kind(self, *kinds: str) -> Library:
        """The part of the library that has one of the kinds."""
        return self.only(entry.name for entry in self if entry.kind in kinds)

    def only(self, names: Iterator[str] | Sequence[str]) -> Library:
        """The part of the library with the names, in the order of the library."""
        chosen = set(names)
        kept = {name: entry for name, entry in self.entries.items() if name in chosen}
        return replace(self, entries=kept)

    def is_taken(self, name: str) -> bool:
        """Whether there is an asset of a name, in the library or by now in its folder."""
        is_there = self.folder is not None and (self.folder / f"{name}{SUFFIX}").exists()
        return name in self.entries or is_there

    def add(self, asset: Asset, description: Description, overwrite: bool = False) -> Library:
        """Write an asset into the folder and return the library with it.

        Raises:
            AssetError: when the name is taken or can't be used, or the folder can't be written.
        """
        if self.folder is None:
            raise AssetError("This library has no folder of its own; name one.")
        name = checked_name(asset.name)
        taken = self.entries.get(name)
        is_bundled = taken is not None and taken.path is None
        # Another process may have added one of that name since the folder was read.
        if is_bundled or (not overwrite and self.is_taken(name)):
            raise AssetError(
                f"The library already has an asset {name!r}; choose another name"
                + ("." if is_bundled else " or pass --overwrite True.")
            )
        path = write_asset(self.folder, asset, description)
        return replace(self, entries={**self.entries, name: _entry_of_file(path)})


def default_library_folder() -> Path:
    """The folder that LERF_WILD_ASSETS names, else one in the user's data folder."""
    chosen = os.environ.get("LERF_WILD_ASSETS")
    if chosen:
        return Path(chosen).expanduser()
    return Path(platformdirs.user_data_dir("lerf-wild")) / "assets"


@cache
def starter_library() -> Library:
    """The bundled assets alone.

    Raises:
        AssetError: when the table beside this module is missing or does not fit the recipes.
    """
    table = read_json(STARTER_TABLE)
    if not isinstance(table, dict) or set(table) != set(STARTERS):
        raise AssetError(
            f"{STARTER_TABLE} does not fit the recipes; run `python -m "
            "lerf_wild.assets.make_starter`, or install lerf-wild again."
        )
    return Library({name: _starter_entry(name, float(table[name])) for name in STARTERS})


def open_library(folder: Path | str | None = None, starters: bool = True) -> Library:
    """The starters and the assets in a folder (by default the user's); damaged files are listed.

    Args:
        folder: Where added assets are; it need not exist.
        starters: Whether the bundled assets are part of it.

    Raises:
        AssetError: when the folder is a file.
    """
    folder = default_library_folder() if folder is None else Path(folder).expanduser()
    if folder.is_file():
        raise AssetError(f"{folder}: is a file; name the folder of your assets.")
    entries = dict(starter_library().entries) if starters else {}
    damaged = []
    for path in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else ():
        try:
            entry = _entry_of_file(path)
            entries.setdefault(entry.name, entry)
        except AssetError as error:
            damaged.append(str(error))
    return Library(entries, folder, tuple(damaged))


def added_entry(name: str, folder: Path | None = None) -> Entry | None:
    """The entry of one asset of a folder (the user's when None), without reading the others.

    Raises:
        AssetError: when its file is damaged.
    """
    folder = default_library_folder() if folder is None else folder
    try:
        path = folder / f"{checked_name(name)}{SUFFIX}"
    except AssetError:
        return None
    return _entry_of_file(path) if path.is_file() else None


@lru_cache(maxsize=256)
def _grown(name: str, key: str) -> Asset:
    """A starter's mesh, from the cache folder when it is there."""
    entry = starter_library().entry(name)
    kept = FeatureCache(default_cache_root())
    found = kept.get(key, _MESH)
    if found is None:
        asset = grow_recipe(STARTERS[name])
        asset = replace(asset, kind=entry.kind, provenance=entry.provenance)
        arrays = (asset.vertices_V3, asset.faces_F3, asset.colours_V3)
        tensors = {part: torch.from_numpy(array) for part, array in zip(_MESH, arrays)}
        # A home folder that can't be written must not keep anyone from growing an asset.
        with contextlib.suppress(CacheError):
            kept.put(key, tensors, {"starter": name})
        return asset
    vertices, faces, colours = (found[part].numpy().copy() for part in _MESH)
    height_m = float(vertices[:, 2].max())
    return Asset(
        name, entry.kind, entry.phrases, vertices, faces, colours, height_m, entry.provenance
    )


def load_mesh(entry: Entry) -> Asset:
    """The mesh of an entry; raises as `Library.mesh` does."""
    return _grown(entry.name, entry.key) if entry.path is None else read_asset(entry.path)


def _starter_entry(name: str, height_m: float) -> Entry:
    recipe = STARTERS[name]
    described = recipe.described()
    key = content_key({"asset": "starter", **described})
    provenance = {"source": recipe.source, "seed": recipe.seed, "licence": recipe.licence}
    return Entry(
        name, recipe.kind, recipe.species, recipe.phrases, height_m, recipe.licence, provenance, key
    )


def _entry_of_file(path: Path) -> Entry:
    description, height_m, key = read_description(path)
    name = checked_name(path.name.removesuffix(SUFFIX))
    return Entry(
        name, description.kind, description.species, description.phrases, height_m,
        description.licence, description.provenance, key, path,
    )  # fmt: skip
