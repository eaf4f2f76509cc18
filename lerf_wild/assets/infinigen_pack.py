"""The starter pack of assets that were grown with Infinigen (see ``infinigen/README.md``)."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import trimesh

from lerf_wild.assets.mesh import Asset, Piece, finish, scaled
from lerf_wild.errors import AssetError

FOLDER = Path(__file__).parent / "infinigen"
MAX_BYTES = 4 << 20
MAX_FACES = 20_000
# The bakes are dark, so that plain shading looks wet; this power of the 0-1 sRGB value brings
# outdoor brightness.
LIFT = 0.8


@dataclass(frozen=True)
class Entry:
    """What is known of one file: its kind, its natural height and what a person calls it."""

    kind: str
    height_m: float
    phrases: tuple[str, ...]


def _carnivore(coat: str, height_m: float) -> Entry:
    return Entry("animal", height_m, (f"{coat} carnivore", "carnivore", "animal"))


def _herbivore(look: str, height_m: float) -> Entry:
    return Entry("animal", height_m, (f"{look} herbivore", "herbivore", "animal"))


def _bird(colour: str, height_m: float) -> Entry:
    return Entry("bird", height_m, (f"{colour} bird", "bird", "animal"))


def _boulder(colour: str, height_m: float) -> Entry:
    return Entry("rock", height_m, (f"{colour} boulder", "boulder", "rock"))


ENTRIES: dict[str, Entry] = {
    "agave_1": Entry("plant", 0.6, ("agave", "plant")),
    "bird_1": _bird("spotted brown", 0.45),
    "bird_2": _bird("spotted brown", 0.4),
    "bird_5": _bird("dark brown", 0.4),
    "bird_6": _bird("purple", 0.5),
    "bird_7": _bird("dark grey", 0.4),
    "bird_8": _bird("blue", 0.35),
    "bird_9": _bird("light brown", 0.45),
    "bird_10": _bird("purple", 0.5),
    "boulder_1": _boulder("orange", 1.1),
    "boulder_2": _boulder("orange", 1.4),
    "boulder_5": _boulder("orange", 0.4),
    "boulder_6": _boulder("grey", 1.0),
    "boulder_7": _boulder("orange", 0.9),
    "boulder_8": _boulder("grey", 0.4),
    "boulder_9": _boulder("orange", 1.2),
    "boulder_10": _boulder("orange", 0.9),
    "carnivore_1": _carnivore("orange", 1.1),
    "carnivore_2": _carnivore("reddish brown", 1.1),
    "carnivore_5": _carnivore("spotted", 0.8),
    "carnivore_6": _carnivore("brown", 0.8),
    "carnivore_7": _carnivore("spotted", 0.85),
    "carnivore_8": _carnivore("dark brown", 0.9),
    "carnivore_9": _carnivore("spotted", 1.1),
    "carnivore_10": _carnivore("reddish brown", 1.0),
    "herbivore_1": _herbivore("dark brown", 1.5),
    "herbivore_2": _herbivore("horned", 1.5),
    "herbivore_5": _herbivore("horned", 1.7),
    "herbivore_6": _herbivore("long-necked", 1.8),
    "herbivore_7": _herbivore("mottled", 1.1),
    "herbivore_8": _herbivore("horned", 1.4),
    "herbivore_9": _herbivore("mottled", 1.3),
    "veratrum_1": Entry("plant", 0.9, ("veratrum", "plant")),
}


def infinigen_names() -> tuple[str, ...]:
    """Names of all assets of the pack."""
    return tuple(ENTRIES)


@cache
def load_infinigen(name: str) -> Asset:
    """Read one asset of the pack into the asset frame at its natural height.

    Raises:
        AssetError: for an unknown name, or a file that is missing, too big or damaged.
    """
    if name not in ENTRIES:
        raise AssetError(
            f"There is no Infinigen asset {name!r}; the pack holds {', '.join(ENTRIES)}."
        )
    entry = ENTRIES[name]
    piece = read_coloured_glb(FOLDER / f"{name}.glb")
    colours = 255.0 * (piece.colours_V3 / 255.0) ** LIFT
    provenance = {
        "source": "Infinigen 1.15.5",
        "licence": "BSD-3-Clause",
        "seed": int(name.split("_")[1]),
    }
    lifted = Piece(piece.vertices_V3, piece.faces_F3, colours)
    return scaled(finish([lifted], name, entry.kind, entry.phrases, provenance), entry.height_m)


def read_coloured_glb(path: Path) -> Piece:
    """Read a GLB of one vertex-coloured mesh (y up) and turn it z up; sizes and values are checked.

    Raises:
        AssetError: when the file can't be read, exceeds 4 MB or 20,000 faces, or holds bad values.
    """
    data = _read_capped(path)
    try:
        mesh = trimesh.load(io.BytesIO(data), file_type="glb", force="mesh", process=False)
        vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
        coloured = mesh.visual.kind == "vertex"
        colours = np.asarray(mesh.visual.vertex_colors)
    except Exception as fault:
        raise AssetError(f"{path} is not a GLB of one mesh ({fault}); restore the file.") from fault
    if not 0 < len(faces) <= MAX_FACES:
        raise AssetError(
            f"{path} has {len(faces)} faces; 1 to {MAX_FACES} are read. Decimate the mesh."
        )
    if not np.isfinite(vertices).all() or faces.min() < 0 or faces.max() >= len(vertices):
        raise AssetError(f"{path} holds vertices or faces out of range; restore the file.")
    if not coloured or colours.shape != (len(vertices), 4):
        raise AssetError(
            f"{path} has no colour for each vertex; bake the textures to vertex colours."
        )
    upright = np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], axis=1)
    return Piece(
        upright.astype(np.float32), faces.astype(np.int32), colours[:, :3].astype(np.float32)
    )


def _read_capped(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as fault:
        raise AssetError(
            f"{path} can't be read ({fault.strerror}); reinstall lerf-wild."
        ) from fault
    if len(data) > MAX_BYTES:
        raise AssetError(f"{path} is larger than {MAX_BYTES >> 20} MB; decimate the mesh.")
    return data
