"""The door for the JSON that MegaDetector writes of a folder of photos.

Boxes are left, top, right and bottom as shares of the photo, 0 to 1. The file comes from outside:
it is read by the safe door, and every value is checked before it is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lerf_wild.errors import DatasetError
from lerf_wild.storage.json_files import read_json

MAX_BYTES = 256 << 20
"""A JSON of a million photos is about as large."""
MOST = 100
"""Boxes of a photo that are looked at, the surest first."""
LEAST = 0.2
"""Confidence from which a box counts, if nothing else is said."""
CATEGORIES: Mapping[str, str] = {"1": "animal", "2": "person", "3": "vehicle"}
"""MegaDetector's own; a file may name others."""
ANIMALS = frozenset({"animal"})
OTHERS = frozenset({"person", "people", "human", "vehicle"})
_SEPARATORS = re.compile(r"[/\\]+")
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Detection:
    """One box."""

    box_4: Box
    confidence: float


@dataclass(frozen=True)
class PhotoDetections:
    """What was found in one photo, the surest first."""

    animals: tuple[Detection, ...] = ()
    others: tuple[Detection, ...] = ()
    """People and vehicles, which are to be left out."""


class Detections:
    """All photos of a file, found by the end of their path."""

    def __init__(self, path: Path, entries: Sequence[object], names: Mapping[str, str]) -> None:
        self.path, self.names = path, names
        self._by_name: dict[str, list[tuple[tuple[str, ...], Mapping[str, object]]]] = {}
        for entry in entries:
            if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
                raise DatasetError(_foreign(path))
            parts = _parts(entry["file"])
            if parts:
                self._by_name.setdefault(parts[0], []).append((parts, entry))

    def of(self, photo: Path, least: float = LEAST, own_parts: int = 1) -> PhotoDetections:
        """What was found in a photo.

        Args:
            photo: Its path, of which the end decides; the longest such end wins.
            least: Least confidence of an animal. People and vehicles count from LEAST on even
                where that is lower: it is better to leave out too much of them.
            own_parts: How many parts at the end of the path must agree, as long as the file's own
                path has so many: the photo's place below the folder that is read.

        Raises:
            DatasetError: when the file knows nothing of the photo, several photos are meant, the
                detector failed on it, or a value is wrong.
        """
        entry = self._entry(photo, own_parts)
        if entry.get("failure"):
            raise DatasetError(
                f"{photo}: the detector failed on it ({str(entry['failure'])[:60]!r})."
            )
        found = entry.get("detections") or []
        if not isinstance(found, list):
            raise DatasetError(_foreign(self.path))
        rows = [self._detection(item, photo) for item in found]
        rows.sort(key=lambda row: -row[1].confidence)
        animals = [d for name, d in rows if name in ANIMALS and d.confidence >= least]
        others = [d for name, d in rows if name in OTHERS and d.confidence >= min(least, LEAST)]
        return PhotoDetections(tuple(animals[:MOST]), tuple(others))

    def _entry(self, photo: Path, own_parts: int) -> Mapping[str, object]:
        own = _parts(str(photo))
        known = self._by_name.get(own[0], ())
        near = [
            (_shared(own, parts), entry)
            for parts, entry in known
            if _shared(own, parts) >= min(own_parts, len(parts))
        ]
        longest = max((length for length, _ in near), default=0)
        best = [entry for length, entry in near if length == longest]
        if not best:
            raise DatasetError(f"{self.path}: has no entry for {photo}.")
        if len(best) > 1:
            raise DatasetError(
                f"{self.path}: {len(best)} entries may be meant by {photo}; name the folder that "
                "the detector was run on."
            )
        return best[0]

    def _detection(self, item: object, photo: Path) -> tuple[str, Detection]:
        try:
            name = self.names.get(str(item["category"]), "")  # type: ignore[index]
            confidence, box = item["conf"], item["bbox"]  # type: ignore[index]
        except (KeyError, TypeError):
            raise DatasetError(_foreign(self.path)) from None
        if not _is_number(confidence) or not isinstance(box, list) or len(box) != 4:
            raise DatasetError(_foreign(self.path))
        if not all(_is_number(value) and abs(value) <= 2.0 for value in box):
            raise DatasetError(f"{self.path}: a box of {photo} is not four shares of the photo.")
        x, y, width, height = box
        corners = (x, y, x + width, y + height)
        if width <= 0 or height <= 0 or corners[2] <= 0 or corners[3] <= 0 or x >= 1 or y >= 1:
            raise DatasetError(f"{self.path}: a box of {photo} encloses nothing.")
        x0, y0, x1, y1 = (min(max(float(value), 0.0), 1.0) for value in corners)
        return name, Detection((x0, y0, x1, y1), float(min(max(confidence, 0.0), 1.0)))


def read_detections(path: Path) -> Detections:
    """Reads a file of MegaDetector.

    Raises:
        InputError: when it can't be read or is no JSON.
        DatasetError: when it is some other JSON.
    """
    content = read_json(path, MAX_BYTES)
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DatasetError(_foreign(path))
    named = content.get("detection_categories", CATEGORIES)
    if not isinstance(named, dict | Mapping):
        raise DatasetError(_foreign(path))
    names = {str(key): str(value).casefold() for key, value in named.items()}
    return Detections(path, content["images"], names)


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a path, the last one first; a file may come from another system."""
    return tuple(part for part in reversed(_SEPARATORS.split(name)) if part not in ("", "."))


def _shared(first: Sequence[str], second: Sequence[str]) -> int:
    same = [a == b for a, b in zip(first, second)]
    return same.index(False) if False in same else len(same)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _foreign(path: Path) -> str:
    return (
        f"{path}: not what MegaDetector writes (images, each with detections of category, conf "
        "and bbox)."
    )
