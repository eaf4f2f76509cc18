"""When a photo was taken: its EXIF time, else the time of the file."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

from PIL import Image

from lerf_wild.errors import InputError

_EXIF_IFD, _TAKEN, _OFFSET, _CHANGED = 0x8769, 0x9003, 0x9011, 0x0132
_ZONE = re.compile(r"([+-])([01]\d):([0-5]\d)")


def zone_of(text: str) -> timezone:
    """The time zone that "+02:00" or "Z" writes.

    Raises:
        InputError: for anything else.
    """
    if text == "Z":
        return timezone.utc
    found = _ZONE.fullmatch(text)
    if found is None:
        raise InputError(f"{text[:20]!r} is no offset from UTC; write it as +02:00.")
    gap = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(gap if found[1] == "+" else -gap)


def time_taken(path: Path, zone: timezone) -> tuple[datetime, bool]:
    """When a photo was taken, and whether the photo says so itself.

    Args:
        path: The photo.
        zone: Zone of a camera's clock that doesn't say.

    Raises:
        InputError: when the file is gone.
    """
    own = _exif_time(path, zone)
    if own is not None:
        return own, True
    try:
        changed = path.stat().st_mtime
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror}). Check the path.") from None
    return datetime.fromtimestamp(int(changed), zone), False


def _exif_time(path: Path, zone: timezone) -> datetime | None:
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            inner = exif.get_ifd(_EXIF_IFD)
        text = str(inner.get(_TAKEN) or exif.get(_CHANGED) or "")
        offset = str(inner.get(_OFFSET) or "")
        taken = datetime.strptime(text.strip("\0 "), "%Y:%m:%d %H:%M:%S")
        return taken.replace(tzinfo=zone_of(offset) if _ZONE.fullmatch(offset) else zone)
    # EXIF comes from outside, and Pillow stumbles over broken ones in many ways.
    except Exception:
        return None
