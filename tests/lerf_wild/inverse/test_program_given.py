"""Wide photos whose animals are known: which squares are cut, and that positions stay exact."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lerf_wild.inverse.detections import Detection
from lerf_wild.inverse.program_given import merged, square_starts
from lerf_wild.inverse.program_images import find_photos, open_photo
from lerf_wild.inverse.program_inference import Reading
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
    from PIL import Image

    for size, is_wide, shape in (
        ((640, 320), True, (256, 512)),
        ((640, 320), False, (256, 256)),
        ((320, 640), True, (256, 256)),
        ((6400, 100), True, (256, 2048)),
    ):
        Image.new("RGB", size).save(tmp_path / "x.png")
        photo = open_photo(tmp_path / "x.png", is_wide)
        assert photo.rgb_HW3.shape == (*shape, 3)
        left, top, right, bottom = photo.window_4
        box = np.array([[left + 2, top + 3, right - 5, bottom - 7]], float)
        whole = photo.from_file([photo.window_4])[0]
        np.testing.assert_allclose(whole, [0, 0, shape[1], shape[0]], atol=0.5)
        back = photo.shares(photo.from_file(box)) * [*size, *size]
        np.testing.assert_allclose(back, box, atol=1e-6)


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
