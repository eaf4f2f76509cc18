"""One known length makes metres of a program: the camera's height, or that of an object."""

import numpy as np
import pytest

from lerf_wild.assets.library import starter_library
from lerf_wild.errors import InputError
from lerf_wild.inverse.program_scale import (
    Reference,
    boxed_height_m,
    named_object,
    rescaled,
    scaled_by,
    to_metres,
)
from lerf_wild.program.frames import to_camera, to_level
from lerf_wild.program.types import Program, SceneObject, Settings
from lerf_wild.render.scene_program import FIRST_ID, render_program

PITCH = 80.0


def at(east: float, north: float) -> tuple[float, float, float]:
    return tuple(float(v) for v in to_camera((east, north, -1.5), PITCH))


PROGRAM = Program(
    Settings(camera_pitch_deg=PITCH, camera_height_m=1.5, camera_fov_deg=45.0),
    (
        SceneObject(300, at(0.5, 6.0), 1.1, kind="rock", asset="grey_rock"),
        SceneObject(200, at(-2.0, 9.0), 0.8, kind="carnivore", asset="red_fox"),
        SceneObject(100, at(2.0, 9.0), 0.5, kind="rock", asset="grey_rock"),
    ),
)
SIZE = (256, 256)
LIBRARY = starter_library()


def test_a_camera_s_height_scales_every_length():
    told = to_metres(PROGRAM, SIZE, LIBRARY, camera_m=3.0)
    assert (told.source, told.factor) == ("camera height", pytest.approx(2.0))
    assert told.program.settings.camera_height_m == 3.0
    for before, after in zip(PROGRAM.objects, told.program.objects):
        np.testing.assert_allclose(after.loc_m, 2.0 * np.array(before.loc_m))
        assert after.height_m == pytest.approx(2.0 * before.height_m)
        assert after.pixels == before.pixels
    assert rescaled(PROGRAM, 3.0) == told.program
    feet = [to_level(item.loc_m, PITCH)[2] for item in told.program.objects]
    np.testing.assert_allclose(feet, -3.0)


def test_nothing_known_leaves_everything_as_it_was_read():
    told = to_metres(PROGRAM, SIZE, LIBRARY)
    assert told.program == PROGRAM and (told.source, told.factor) == ("assumed", 1.0)


def test_a_named_object_gets_its_height_and_of_equals_the_larger_counts():
    told = to_metres(PROGRAM, SIZE, LIBRARY, reference=Reference(0.55, words="grey rock"))
    assert told.source == "reference object" and told.factor == pytest.approx(0.5)
    assert told.program.objects[0].height_m == pytest.approx(0.55)
    assert told.program.settings.camera_height_m == pytest.approx(0.75)
    assert named_object(PROGRAM, "fox", LIBRARY).asset == "red_fox"
    assert named_object(PROGRAM, "Red Fox", LIBRARY).asset == "red_fox"


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_box_around_an_object_tells_its_height(index):
    item = PROGRAM.objects[index]
    shown = render_program(PROGRAM, *SIZE).picture.instances == FIRST_ID + index
    rows, columns = np.nonzero(shown)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    # Seen from above, what is nearest and what is highest are not the middle of the object.
    assert boxed_height_m(PROGRAM, box, SIZE) == pytest.approx(item.height_m, rel=0.25)


def test_a_flat_box_is_measured_exactly():
    lift, focal = 1.5, 128 / np.tan(np.radians(22.5))
    foot, top = to_camera([0.0, 7.0, -lift], PITCH), to_camera([0.0, 7.0, 0.9 - lift], PITCH)
    rows = [128 - focal * point[1] / -point[2] for point in (top, foot)]
    box = (100.0, rows[0], 156.0, rows[1])
    assert boxed_height_m(PROGRAM, box, SIZE) == pytest.approx(0.9)
    told = to_metres(PROGRAM, SIZE, LIBRARY, reference=Reference(1.8, box_4=box))
    assert told.factor == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (Reference(0.4, words="fallen log"), "read as grey_rock, red_fox"),
        (Reference(0.4, box_4=(9.0, 9.0, 5.0, 20.0)), "encloses nothing"),
        (Reference(0.4, box_4=(9.0, 2.0, 50.0, 10.0)), "above the horizon"),
        (Reference(500.0, words="grey rock"), "Is it in metres"),
    ],
)
def test_what_can_not_be_a_scale_is_said(reference, said):
    with pytest.raises(InputError, match=said):
        to_metres(PROGRAM, SIZE, LIBRARY, reference=reference)


def test_lengths_stay_within_what_a_program_may_say():
    with pytest.raises(InputError, match="beyond all bounds"):
        scaled_by(PROGRAM, 2000.0)
    with pytest.raises(InputError, match="nothing was found"):
        named_object(Program(), "rock", LIBRARY)
