"""Times of photos: what the camera wrote, with its zone, or what the file says."""

import os
from datetime import datetime, timedelta, timezone

import pytest
from PIL import Image

from lerf_wild.errors import InputError
from lerf_wild.storage.photo_times import time_taken, zone_of

EAST = timezone(timedelta(hours=2))


def photo(folder, taken=None, offset=None):
    exif = Image.Exif()
    if taken is not None:
        exif.get_ifd(0x8769)[0x9003] = taken
    if offset is not None:
        exif.get_ifd(0x8769)[0x9011] = offset
    path = folder / "photo.jpg"
    Image.new("RGB", (8, 8)).save(path, exif=exif)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


def test_the_camera_s_clock_and_zone_win(tmp_path):
    noon = datetime(2024, 5, 4, 12, 0, 0, tzinfo=EAST)
    assert time_taken(photo(tmp_path, "2024:05:04 12:00:00"), EAST) == (noon, True)
    told = time_taken(photo(tmp_path, "2024:05:04 10:00:00", "+00:00"), EAST)
    assert told == (noon, True) and told[0].utcoffset() == timedelta(0)
    assert time_taken(photo(tmp_path, "2024:05:04 12:00:00", "somewhere"), EAST) == (noon, True)


@pytest.mark.parametrize("taken", [None, "", "0000:00:00 00:00:00", "yesterday", "\0" * 20])
def test_without_one_the_file_s_time_is_taken(tmp_path, taken):
    told, is_own = time_taken(photo(tmp_path, taken), EAST)
    assert not is_own and told.timestamp() == 1_000_000_000 and told.tzinfo == EAST


def test_files_that_are_no_photos_have_a_time_too(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(b"no photo")
    assert not time_taken(path, timezone.utc)[1]
    with pytest.raises(InputError, match=r"gone\.jpg"):
        time_taken(tmp_path / "gone.jpg", timezone.utc)


def test_offsets_are_read_strictly():
    assert zone_of("Z") == timezone.utc and zone_of("-03:30") == timezone(-timedelta(hours=3.5))
    for text in ("", "2", "+2:00", "+25:00", "+02:60", "+02:00 ", "UTC"):
        with pytest.raises(InputError, match=r"\+02:00"):
            zone_of(text)
