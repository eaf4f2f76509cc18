"""Images: every mode comes out as RGB, every damaged file as a DatasetError."""

from __future__ import annotations

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


def test_missing_foreign_and_huge_files(tmp_path, monkeypatch, picture_HW3):
    with pytest.raises(DatasetError, match="not found"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(DatasetError):
        read_image(tmp_path)
    (tmp_path / "a.png").write_text("<html>")
    with pytest.raises(DatasetError, match="not a readable image"):
        read_mask(tmp_path / "a.png")
    Image.fromarray(picture_HW3).save(tmp_path / "b.png")
    monkeypatch.setattr(image_files, "MAX_PIXELS", 40)
    with pytest.raises(DatasetError, match="8x6 pixels"):
        read_image(tmp_path / "b.png")
