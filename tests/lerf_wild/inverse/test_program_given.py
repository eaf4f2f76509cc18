"""Wide photos whose animals are known: which squares are cut, and that positions stay exact."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lerf_wild.errors import DatasetError
from lerf_wild.inverse.detections import Detection
from lerf_wild.inverse.program_given import merged, square_starts
from lerf_wild.inverse.program_images import find_photos, open_photo
from lerf_wild.inverse.program_inference import Reading, seen_with
from lerf_wild.inverse.program_reader import horizon_row
from lerf_wild.inverse.program_samples import SETTING_COUNT
from lerf_wild.program.statements import ANIMAL_KINDS
from lerf_wild.program.types import Program, SceneObject, Settings

torch.set_num_threads(1)


def boxes(*spans):
    return torch.tensor([[low, 60.0, high, 120.0] for low, high in spans])


@pytest.mark.parametrize(
    ("spans", "width", "starts"),
    [
        ([(100, 140)], 256, [0]),
        ([(0, 20)], 512, [0]),
        ([(300, 340)], 512, [192]),
        ([(480, 512)], 512, [256]),
        ([(10, 40), (100, 200)], 512, [0]),
        ([(200, 240), (300, 340)], 512, [142]),
        ([(10, 40), (470, 500)], 512, [0, 256]),
        ([(0, 500)], 512, [122]),
    ],
)
def test_as_few_squares_as_show_every_box(spans, width, starts):
    assert square_starts(boxes(*spans), width) == starts


def test_every_box_is_whole_in_a_square_if_it_can_be():
    rng = np.random.default_rng(0)
    for _ in range(200):
        width = int(rng.integers(256, 1400))
        low = rng.uniform(0, width - 20, rng.integers(1, 9))
        spans = [(a, min(width, a + rng.uniform(10, 250))) for a in low]
        starts = square_starts(boxes(*spans), width)
        assert len(starts) <= len(spans) and all(0 <= s <= width - 256 for s in starts)
        for a, b in spans:
            assert any(s <= a + 0.51 and b <= s + 256.51 for s in starts), (spans, starts)


def test_readings_of_squares_become_one():
    settings = Settings(camera_pitch_deg=85.0)
    items = [SceneObject(n, (0.0, -1.0, -5.0), 1.0) for n in (5, 9, 7)]
    first = Reading(Program(settings, tuple(items[:2])), boxes((1, 2), (3, 4)), (("a",), ("b",)),
                    (0.1, 0.2))  # fmt: skip
    second = Reading(Program(settings, (items[2],)), boxes((5, 6)), (("c",),), (0.3,))
    both = merged([first, second], [0, 100])
    assert [item.pixels for item in both.program.objects] == [9, 7, 5]
    assert both.candidates == (("b",), ("c",), ("a",)) and both.margins == (0.2, 0.3, 0.1)
    assert both.boxes_K4[:, 0].tolist() == [3.0, 105.0, 1.0]
    nothing = replace(first, program=Program(settings), boxes_K4=boxes()[:0].view(0, 4))
    assert merged([nothing], [0]).boxes_K4.shape == (0, 4)


def test_animals_of_a_wide_photo_are_read_where_the_detector_saw_them():
    from lerf_wild.assets.library import starter_library
    from lerf_wild.inverse.program_use import open_reader

    reader = open_reader(library=starter_library())
    rng = np.random.default_rng(3)
    photo = rng.integers(60, 160, (256, 640, 3), dtype=np.uint8)
    found = [Detection((x / 640, 0.55, (x + 50) / 640, 0.75), 0.9) for x in (20, 300, 580)]
    reading = reader.read_animals(photo, found, 40.0)
    animals = [
        (item, box)
        for item, box in zip(reading.program.objects, reading.boxes_K4)
        if item.kind in ANIMAL_KINDS
    ]
    assert len(animals) == 3 and all(item.confidence == pytest.approx(0.9) for item, _ in animals)
    focal = 128 / np.tan(np.radians(20))
    for item, box in animals:
        column = 320 + focal * item.loc_m[0] / -item.loc_m[2]
        # Feet stand within or near their boxes.
        assert float(box[0]) - 25 < column < float(box[2]) + 25


def test_boxes_of_the_file_and_of_the_picture_are_each_other_s_inverse(tmp_path):
    middle, foot = (0.4, 0.4, 0.6, 0.6), (0.1, 0.8, 0.6, 0.95)
    for size, animals, shape in (
        ((640, 320), [middle], (256, 512)),
        ((640, 320), [], (256, 512)),
        ((640, 320), None, (256, 256)),
        ((320, 640), [foot], (256, 256)),
        ((6400, 100), [middle], (256, 2048)),
    ):
        Image.new("RGB", size).save(tmp_path / "x.png")
        photo = open_photo(tmp_path / "x.png", animals)
        assert photo.rgb_HW3.shape == (*shape, 3)
        left, top, right, bottom = photo.window_4
        box = np.array([[left + 2, top + 3, right - 5, bottom - 7]], float)
        whole = photo.from_file([photo.window_4])[0]
        np.testing.assert_allclose(whole, [0, 0, shape[1], shape[0]], atol=0.5)
        back = photo.shares(photo.from_file(box)) * [*size, *size]
        np.testing.assert_allclose(back, box, atol=1e-6)


def test_of_a_portrait_the_square_is_read_that_shows_most_animals(tmp_path):
    Image.new("RGB", (300, 600)).save(tmp_path / "x.png")

    def rows(*animals):
        return open_photo(tmp_path / "x.png", animals or None).window_4[1::2]

    top, low, foot = (0.1, 0.0, 0.4, 0.2), (0.2, 0.6, 0.4, 0.8), (0.5, 0.7, 0.9, 1.0)
    assert rows() == (150, 450)
    assert rows(foot) == (300, 600) and rows(top) == (0, 300)
    assert rows(top, low, foot) == (300, 600)
    # Of equally many the surest is shown.
    assert rows(top, foot) == (0, 300) and rows(foot, top) == (300, 600)


def test_photos_are_upright_large_enough_and_know_their_field_of_view(tmp_path):
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, 40:] = 200
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(pixels))).save(tmp_path / "x.png", exif=exif)
    wide = open_photo(tmp_path / "x.png", [])
    assert wide.file_size == (80, 40) and wide.fov_deg(50.0) == pytest.approx(50.0)
    assert wide.rgb_HW3[:, :250].max() < 30 and wide.rgb_HW3[:, 262:].min() > 170
    Image.fromarray(pixels).rotate(90, expand=True).save(tmp_path / "x.png")
    part = open_photo(tmp_path / "x.png")
    # Half of the rows have half of the tangent.
    assert np.tan(np.radians(part.fov_deg(50.0) / 2)) == pytest.approx(np.tan(np.radians(25)) / 2)
    Image.new("RGB", (900, 31)).save(tmp_path / "x.png")
    with pytest.raises(DatasetError, match="900x31 pixels; give at least 32"):
        open_photo(tmp_path / "x.png")


def test_the_horizon_stays_in_its_row_whatever_the_field_of_view():
    settings = torch.rand(5, SETTING_COUNT)
    for fov_deg in (20.0, 40.0, 90.0):
        focal = torch.full((5,), 128 / float(np.tan(np.radians(fov_deg / 2))))
        seen, pitch = seen_with(settings, fov_deg)
        rows = 128 + focal * torch.deg2rad(pitch - 90).tan()
        usual = torch.full((5,), 128 / float(np.tan(np.radians(20))))
        torch.testing.assert_close(rows, horizon_row(settings, usual, 256), atol=1e-3, rtol=0)
        torch.testing.assert_close(horizon_row(seen, focal, 256), rows, atol=1e-3, rtol=0)
        if fov_deg == 40.0:
            torch.testing.assert_close(seen, settings, atol=1e-5, rtol=0)


def test_photos_of_one_stem_get_folders_of_their_own(tmp_path):
    for name in ("a/x.png", "a/x.jpg", "a/.hidden.png", "b/x.png", "a/note.txt", "a/y.PNG"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    places = find_photos([tmp_path])
    assert {p.name: p.folder for p in places} == {
        "a/x.jpg": "a/x.jpg", "a/x.png": "a/x.png", "a/y.PNG": "a/y", "b/x.png": "b/x",
    }  # fmt: skip
    both = find_photos([tmp_path / "a", tmp_path / "b"])
    assert [p.folder for p in both][-1] == "b/x"
    assert find_photos([tmp_path / "b" / "x.png"])[0].folder == ""
