"""Sets of phrases that are saved beside a run, and used again by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lerf_wild.errors import QueryError
from lerf_wild.language.phrases import CANONICAL_PHRASES, clean_phrases
from lerf_wild.live.colours import as_hex, from_hex, next_colour
from lerf_wild.live.state import MAX_WEIGHT, PanelState, Phrase, with_list
from lerf_wild.storage import atomic
from lerf_wild.storage.json_files import read_json

SETS_FILE = "phrase_sets.json"
FORMAT_VERSION = 1
MAX_NAME_CHARS = 64
MAX_SETS = 200
MAX_BYTES = 4 << 20


@dataclass(frozen=True)
class PhraseSet:
    """Phrases with how they look, and what they have to beat."""

    phrases: tuple[Phrase, ...]
    canonical: tuple[str, ...] = CANONICAL_PHRASES

    @property
    def texts(self) -> tuple[str, ...]:
        """The phrases as texts."""
        return tuple(phrase.text for phrase in self.phrases)


def set_of(state: PanelState) -> PhraseSet:
    """Returns what of a panel is worth saving: its typed phrases.

    Places that were picked in the scene stay behind, because only this training knows them.
    """
    typed = tuple(phrase for phrase in state.phrases if phrase.embedding is None)
    return PhraseSet(typed, state.canonical)


def with_set(state: PanelState, chosen: PhraseSet) -> PanelState:
    """Returns the panel with the phrases of a set in place of its own."""
    return with_list(replace(state, canonical=chosen.canonical), chosen.phrases)


def read_sets(folder: Path) -> dict[str, PhraseSet]:
    """Reads the sets of a run's folder; none when there is no file.

    Raises InputError or QueryError, naming the file, when it is damaged.
    """
    path = Path(folder) / SETS_FILE
    if not path.is_file():
        return {}
    content = read_json(path, max_bytes=MAX_BYTES)
    listed = content.get("sets") if isinstance(content, dict) else None
    if not isinstance(listed, dict) or content.get("format_version") != FORMAT_VERSION:
        raise QueryError(f"{path}: not a file of phrase sets. Remove it to start afresh.")
    return {name: _read_set(path, name, item) for name, item in listed.items()}


def read_set(folder: Path, name: str) -> PhraseSet:
    """Reads one set; raises QueryError that lists the names when there is none of that name."""
    sets = read_sets(folder)
    if name not in sets:
        known = ", ".join(sorted(sets)) or "none is saved yet"
        raise QueryError(f"{folder}: there is no phrase set {name[:60]!r} ({known}).")
    return sets[name]


def save_set(folder: Path, name: str, chosen: PhraseSet) -> str:
    """Saves or replaces a set, atomically, and returns its cleaned name.

    Raises QueryError for a name or a list that can't be saved.
    """
    clean = clean_phrases([name])[0]
    if len(clean) > MAX_NAME_CHARS:
        raise QueryError(f"The name of a set has at most {MAX_NAME_CHARS} characters.")
    if not chosen.phrases:
        raise QueryError("There is no typed phrase to save. Add one first.")
    sets = read_sets(folder) | {clean: chosen}
    if len(sets) > MAX_SETS:
        raise QueryError(f"At most {MAX_SETS} sets are kept. Delete one first.")
    _write(folder, sets)
    return clean


def delete_set(folder: Path, name: str) -> None:
    """Deletes a set; a name that is not there changes nothing."""
    sets = read_sets(folder)
    if sets.pop(name, None) is not None:
        _write(folder, sets)


def _write(folder: Path, sets: Mapping[str, PhraseSet]) -> None:
    content = {
        "format_version": FORMAT_VERSION,
        "sets": {name: _as_json(chosen) for name, chosen in sorted(sets.items())},
    }
    atomic.write_json(Path(folder) / SETS_FILE, content)


def _as_json(chosen: PhraseSet) -> dict[str, object]:
    return {
        "phrases": [
            {
                "text": phrase.text,
                "colour": as_hex(phrase.colour),
                "visible": phrase.is_visible,
                "weight": phrase.weight,
            }
            for phrase in chosen.phrases
        ],
        "canonical": list(chosen.canonical),
    }


def _read_set(path: Path, name: str, item: object) -> PhraseSet:
    listed = item.get("phrases") if isinstance(item, dict) else None
    canonical = item.get("canonical", list(CANONICAL_PHRASES)) if listed else None
    if not isinstance(listed, list) or not isinstance(canonical, list):
        raise QueryError(f"{path}: the set {name[:60]!r} has no list of phrases.")
    phrases: list[Phrase] = []
    for entry in listed:
        phrases.append(_read_phrase(path, name, entry, phrases))
    return PhraseSet(tuple(phrases), clean_phrases(canonical))


def _read_phrase(path: Path, name: str, entry: object, before: list[Phrase]) -> Phrase:
    entry = {"text": entry} if isinstance(entry, str) else entry
    text = entry.get("text") if isinstance(entry, dict) else None
    if not isinstance(text, str):
        raise QueryError(f"{path}: a phrase of the set {name[:60]!r} has no text.")
    colour = from_hex(str(entry.get("colour", "")))
    weight = entry.get("weight", 1.0)
    is_weight = isinstance(weight, int | float) and 0 <= weight <= MAX_WEIGHT
    return Phrase(
        clean_phrases([text])[0],
        colour or next_colour([phrase.colour for phrase in before]),
        is_visible=entry.get("visible", True) is not False,
        weight=float(weight) if is_weight else 1.0,
    )
