"""Images: every mode comes out as RGB, every damaged file as a DatasetError."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from lerf_wild.errors import DatasetError
from lerf_wild.storage import image_files
from lerf_wild.storage.image_files import read_image, read_mask


@pytest.fixture
def picture_HW3():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def test_reads_rgb_exactly(tmp_path, picture_HW3):
    Image.fromarray(picture_HW3).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, picture_HW3)
    assert read_image(tmp_path / "a.png", with_alpha=True)[..., 3].min() == 255


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "RGBA", "LA", "I;16", "I", "YCbCr"])
def test_every_mode_becomes_rgb(tmp_path, picture_HW3, mode):
    image = Image.fromarray(picture_HW3)
    image = image.convert("L").convert(mode) if mode in ("I;16", "I") else image.convert(mode)
    name = {"CMYK": "a.jpg", "YCbCr": "a.jpg", "I": "a.tiff"}.get(mode, "a.png")
    image.save(tmp_path / name)
    result = read_image(tmp_path / name)
    assert result.shape == (6, 8, 3)
    assert result.dtype == np.uint8


STORED = {
    1: lambda up: up,
    2: lambda up: up[:, ::-1],
    3: lambda up: up[::-1, ::-1],
    4: lambda up: up[::-1],
    5: lambda up: up.swapaxes(0, 1),
    6: lambda up: np.rot90(up),
    7: lambda up: np.rot90(up, 2).swapaxes(0, 1),
    8: lambda up: np.rot90(up, -1),
}
"""How a camera that was held otherwise stores an upright picture, by what EXIF then says."""


def oriented(pixels: np.ndarray, orientation: int, path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, exif=exif)


@pytest.mark.parametrize("orientation", STORED)
def test_photos_are_turned_upright_and_captures_are_not(tmp_path, picture_HW3, orientation):
    path = tmp_path / "a.png"
    stored = STORED[orientation](picture_HW3)
    oriented(stored, orientation, path)
    np.testing.assert_array_equal(read_image(path), stored)
    np.testing.assert_array_equal(read_image(path, upright=True), picture_HW3)
    whole = read_image(path, with_alpha=True, upright=True)
    np.testing.assert_array_equal(whole[..., :3], picture_HW3)
    oriented((stored > 128)[..., 0], orientation, path)
    np.testing.assert_array_equal(read_mask(path, upright=True), picture_HW3[..., 0] > 128)
    assert read_mask(path).shape == stored.shape[:2]


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.tiff"])
def test_every_format_is_turned_once(tmp_path, name):
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:, 8:] = 250
    oriented(np.rot90(upright), 6, tmp_path / name)
    seen = read_image(tmp_path / name, upright=True)
    assert seen.shape == (8, 16, 3)
    assert seen[:, :6].max() < 60 and seen[:, 10:].min() > 190


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_broken_exif_leaves_a_photo_as_it_is_stored(tmp_path, picture_HW3):
    path = tmp_path / "a.jpg"
    Image.fromarray(picture_HW3).save(path)
    plain, data = read_image(path), path.read_bytes()
    for exif in (b"MM\0\x2a\xff\xff\xff\xff" + b"\xff" * 16, b"II\x2a\0\x08\0\0\0\x09\0", b""):
        size = (8 + len(exif)).to_bytes(2, "big")
        path.write_bytes(data[:2] + b"\xff\xe1" + size + b"Exif\0\0" + exif + data[2:])
        np.testing.assert_array_equal(read_image(path, upright=True), plain)


def test_every_alpha_over_white_is_the_rounded_mixture():
    colours, alphas = np.meshgrid(np.arange(256), np.arange(256))
    rgba = np.stack([colours, colours, colours, alphas], axis=-1).astype(np.uint8)
    share = alphas / 255.0
    expected = np.rint(colours * share + 255.0 * (1.0 - share))
    np.testing.assert_array_equal(image_files._over_white(rgba)[..., 0], expected)


def test_alpha_is_laid_over_white(tmp_path):
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]], dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    expected = [[[10, 20, 30], [255, 255, 255], [204, 204, 204]]]
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", with_alpha=True), pixels)


def test_sixteen_bits_keep_their_upper_byte(tmp_path):
    values = np.array([[0, 255, 256, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0, :, 0], [0, 1, 1, 255])
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), [[False, True, True, True]])


def test_masks_are_true_where_not_black(tmp_path):
    Image.fromarray(np.array([[0, 1, 255]], dtype=np.uint8)).save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png")
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, [[False, True, True]])


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tiff", "a.webp"])
def test_truncated_files_are_refused_or_whole(tmp_path, picture_HW3, name):
    path = tmp_path / name
    Image.fromarray(picture_HW3).save(path)
    whole, expected = path.read_bytes(), read_image(path)
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        try:
            image = read_image(path)
        except DatasetError as error:
            assert str(path) in str(error)
            assert len(str(error).splitlines()) <= 2
        else:
            np.testing.assert_array_equal(image, expected)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header says a size, with next to nothing behind it."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", b"x")]
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_missing_foreign_and_huge_files(tmp_path, monkeypatch, picture_HW3):
    with pytest.raises(DatasetError, match="not found"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(DatasetError, match="directory"):
        read_image(tmp_path)
    for data, said in (
        (b"<html>", "no known format"),
        (b"", "empty"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1", "HEIC"),
        (b"\0\0\0\x18ftypavif", "AVIF"),
    ):
        (tmp_path / "a.png").write_bytes(data)
        for read in (read_image, read_mask):
            with pytest.raises(DatasetError, match=f"not a readable image.*{said}"):
                read(tmp_path / "a.png")
    for side in (13_000, 20_000, 100_000, 2**31 - 1):
        (tmp_path / "bomb.png").write_bytes(png_of_size(side, side))
        with pytest.raises(DatasetError, match="more than the 150,000,000"):
            read_image(tmp_path / "bomb.png")
    Image.fromarray(picture_HW3[..., 0].astype(np.float32)).save(tmp_path / "f.tiff")
    with pytest.raises(DatasetError, match="floating point"):
        read_image(tmp_path / "f.tiff")
    Image.fromarray(picture_HW3).save(tmp_path / "b.png")
    monkeypatch.setattr(image_files, "MAX_PIXELS", 40)
    with pytest.raises(DatasetError, match="8x6 pixels"):
        read_image(tmp_path / "b.png")
