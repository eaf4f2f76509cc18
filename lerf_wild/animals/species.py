"""Kinds of animals: names, places in the tree of life, size, coat and proportions.

The project's own table (`species.csv`) lists hoofed animals, carnivores and dog breeds that the
quadruped can stand for: Laurasiatheria without Eulipotyphla, as GenZoo chooses, and without those
that have no four walking legs. Sizes and proportions are rounded common knowledge, not
measurements. `read_mammal_diversity` takes the same group out of the Mammal Diversity Database's
CSV (mammaldiversity.org), which the user downloads.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from lerf_wild.animals.coats import COATS, Coat, Colour
from lerf_wild.errors import InputError

TABLE = Path(__file__).parent / "species.csv"
DOG = "Canis familiaris"
DOG_SHARE = 0.5
"""Share of dogs among drawn animals, as GenZoo draws them."""
FACTORS = ("leg", "neck", "tail", "body", "girth", "head", "snout", "ear")
"""Proportions that a row of the table scales against its base; empty means 1."""
MAX_TABLE_BYTES = 64 << 20
HOOFED = ("Perissodactyla", "Artiodactyla")

SUPERORDER, LEFT_OUT_ORDER = "laurasiatheria", "eulipotyphla"
NOT_WALKING = frozenset(
    "chiroptera cetacea balaenidae neobalaenidae cetotheriidae balaenopteridae eschrichtiidae "
    "physeteridae kogiidae ziphiidae platanistidae lipotidae iniidae pontoporiidae monodontidae "
    "delphinidae phocoenidae phocidae otariidae odobenidae".split()
)
"""Orders and families of bats, whales and seals, which no quadruped's shape can be."""

TONES: dict[str, Colour] = {
    **{"white": (236, 232, 224), "cream": (234, 222, 196), "straw": (206, 178, 126)},
    **{"gold": (206, 160, 88), "orange": (208, 124, 46), "tan": (176, 142, 98)},
    **{"rufous": (164, 92, 48), "chestnut": (120, 68, 38), "brown": (108, 76, 52)},
    **{"umber": (74, 54, 42), "black": (40, 36, 36), "slate": (88, 84, 86)},
    **{"grey": (132, 128, 122), "silver": (196, 194, 188)},
}
"""Colours that the table's coats name."""


@dataclass(frozen=True)
class Species:
    """One kind of animal."""

    name: str
    """Common name."""
    scientific: str
    order: str
    family: str
    height_m: float | None = None
    """Typical height at the withers."""
    coat: Coat | None = None
    base: str | None = None
    """Kind of `lerf_wild.animals.quadruped.anatomy` that its proportions start from."""
    factors: tuple[float, ...] = ()
    """What `FACTORS` are scaled by."""

    @property
    def is_dog(self) -> bool:
        """Whether it is a breed of dog."""
        return self.scientific == DOG


@cache
def load_species() -> tuple[Species, ...]:
    """The project's own table."""
    return tuple(_own(row) for row in _rows(TABLE))


def species_named(name: str) -> Species:
    """A species of the own table by common or scientific name, in any case.

    Raises:
        InputError: the table has none of that name.
    """
    wanted = " ".join(name.lower().split())
    for species in load_species():
        if wanted in (species.name, species.scientific.lower()):
            return species
    known = ", ".join(species.name for species in load_species())
    raise InputError(f"No species is called {name[:60]!r}; known are {known}.")


def draw_species(
    rng: np.random.Generator,
    species: Sequence[Species] | None = None,
    dog_share: float = DOG_SHARE,
) -> Species:
    """One of the species: a dog with probability ``dog_share``, else any other, all alike.

    Raises:
        InputError: there is nothing to draw from.
    """
    species = load_species() if species is None else species
    dogs = [kind for kind in species if kind.is_dog]
    others = [kind for kind in species if not kind.is_dog]
    if not (dogs or others):
        raise InputError("There are no species to draw from.")
    pool = dogs if not others or (dogs and rng.random() < dog_share) else others
    return pool[rng.integers(len(pool))]


def read_mammal_diversity(path: Path | str, walking_only: bool = True) -> tuple[Species, ...]:
    """Living Laurasiatheria without Eulipotyphla from a CSV of the Mammal Diversity Database.

    Args:
        path: The CSV, of any release with columns sciName, mainCommonName, superorder, order and
            family.
        walking_only: Leave out bats, whales and seals.

    Raises:
        InputError: the file is missing, no such CSV, or has no species of the group.
    """
    found = []
    for row in _rows(Path(path), ("sciName", "mainCommonName", "superorder", "order", "family")):
        places = {row[key].strip().lower() for key in ("superorder", "order", "family")}
        gone = row.get("extinct", "0").strip() not in ("", "0")
        if SUPERORDER not in places or LEFT_OUT_ORDER in places or gone:
            continue
        if walking_only and (places & NOT_WALKING or _infraorder(row) in NOT_WALKING):
            continue
        scientific = row["sciName"].replace("_", " ").strip()
        name = row["mainCommonName"].strip().lower() or scientific
        found.append(Species(name, scientific, row["order"].title(), row["family"].title()))
    if not found:
        raise InputError(f"{path}: holds no species of Laurasiatheria; is it the whole database?")
    return tuple(found)


def _rows(path: Path, columns: tuple[str, ...] = ()) -> Iterator[dict[str, str]]:
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise InputError(f"{path}: larger than {MAX_TABLE_BYTES >> 20} MiB; no species table.")
        with open(path, encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle, restval="")
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{path}: lacks the columns {', '.join(missing)}. Give the CSV of the Mammal "
                    "Diversity Database."
                )
            yield from reader
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror}). Check the path.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: no readable CSV in UTF-8 ({error}).") from None


def _infraorder(row: Mapping[str, str]) -> str:
    return row.get("infraorder", "").strip().lower()


def _own(row: Mapping[str, str]) -> Species:
    words = row["coat"].split()
    coat = COATS[row["base"]] if not words else _coat(words, row["order"] in HOOFED)
    return Species(
        name=row["name"],
        scientific=row["scientific"],
        order=row["order"],
        family=row["family"],
        height_m=float(row["height_m"]),
        coat=coat,
        base=row["base"],
        factors=tuple(float(row[name] or 1.0) for name in FACTORS),
    )


def _coat(words: Sequence[str], hooves: bool) -> Coat:
    """A coat of a pattern, a base colour, and one of marks where there are any."""
    pattern, base = words[0], TONES[words[1]]
    marks = TONES[words[-1]]
    belly = tuple(int(0.6 * part + 0.4 * light) for part, light in zip(base, (236, 228, 214)))
    scale, cover = (1.0, 0.3) if pattern == "striped" else (0.8, 0.4)
    if pattern == "patched":
        scale, cover = 1.5, 0.45
    return Coat(base, marks, belly, hooves=hooves, pattern=pattern, scale=scale, cover=cover)
