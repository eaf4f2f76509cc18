"""Folders of camera trap photos in one run: animals alone, resumed, in metres, as Camtrap DP."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lerf_wild.assets.library import starter_library
from lerf_wild.cli import main
from lerf_wild.inverse.program_inference import Reading
from lerf_wild.program.frames import to_camera
from lerf_wild.program.types import Program, SceneObject, Settings

PITCH = 84.0
WIDE = (64, 128)
NAMES = {1: "animal", 2: "person", 3: "vehicle"}


def foot(east: float, north: float) -> tuple[float, ...]:
    return tuple(float(v) for v in to_camera((east, north, -1.6), PITCH))


class KnownReader:
    """Reads a rock in any photo, and a fox in each box; keeps what it was shown."""

    key = "known"
    threshold = 0.35

    def __init__(self) -> None:
        self.library, self.shown = starter_library(), []

    def read(self, photo, fov_deg, threshold=None):
        return self.read_animals(photo, [], fov_deg, threshold)

    def read_animals(self, photo, animals, fov_deg, threshold=None):
        self.shown.append(photo)
        rock = SceneObject(90, foot(1.0, 6.0), 0.8, kind="rock", asset="grey_rock")
        fox = SceneObject(50, foot(-1.0, 5.0), 0.4, kind="carnivore", asset="red_fox")
        foxes = tuple(replace(fox, confidence=animal.confidence) for animal in animals)
        settings = Settings(camera_pitch_deg=PITCH, camera_height_m=1.6, camera_fov_deg=fov_deg)
        program = Program(settings, (rock, *foxes))
        size = torch.tensor([photo.shape[1], photo.shape[0]] * 2, dtype=torch.float32)
        boxes = [torch.tensor([0.5, 0.5, 0.6, 0.7]), *(torch.tensor(a.box_4) for a in animals)]
        count = len(boxes)
        return Reading(program, torch.stack(boxes) * size, ((),) * count, (0.1,) * count)

    def refined(self, reading, photo):
        return reading


@pytest.fixture
def reader(monkeypatch):
    known = KnownReader()
    monkeypatch.setattr("lerf_wild.inverse.program_use.open_reader", lambda *_: known)
    return known


def picture(path, colour=(90, 120, 60)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((*WIDE, 3), colour, np.uint8)
    pixels[::2] += 20
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path):
    """Two cameras with photos of the same names; one photo is broken, one shows a person."""
    folder = tmp_path / "photos"
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png", "b/walker.png"):
        picture(folder / name, (90, 120, len(name) + 40 * name.startswith("b")))
    (folder / "a" / "broken.png").write_bytes(b"\x89PNG nothing")
    return folder


def found(folder, **rows):
    """MegaDetector's JSON; a row is (category, confidence, box)."""
    images = [
        {
            "file": name.replace("__", "/") + ".png",
            "detections": [
                {"category": str(c), "conf": conf, "bbox": box} for c, conf, box in detections
            ],
        }
        for name, detections in rows.items()
    ]
    path = folder / "found.json"
    path.write_text(json.dumps({"images": images, "detection_categories": NAMES}))
    return path


BOX = [0.1, 0.4, 0.3, 0.4]


@pytest.fixture
def detections(tmp_path):
    return found(
        tmp_path,
        a__1=[(1, 0.9, BOX), (2, 0.8, [0.7, 0.0, 0.2, 1.0])],
        a__2=[(1, 0.1, BOX)],
        a__broken=[(1, 0.9, BOX)],
        b__1=[(1, 0.7, BOX), (1, 0.6, [0.6, 0.3, 0.2, 0.4])],
        b__walker=[(2, 0.95, BOX)],
    )


def run(photos, out, *more):
    main(["raw", "reconstruct", str(photos), "--output-dir", str(out), *map(str, more)])


def test_a_folder_is_read_in_one_run_and_each_trouble_told_in_a_line(
    photos, detections, reader, tmp_path, capsys
):
    report = tmp_path / "report.json"
    run(photos, tmp_path / "out", "--detections", detections, "--json", report)
    told = json.loads(report.read_text())
    states = {row["name"]: row["state"] for row in told["photos"]}
    assert states == {
        "a/1.png": "read", "a/2.png": "no animal", "a/broken.png": "failed", "b/1.png": "read",
        "b/2.png": "failed", "b/walker.png": "no animal",
    }  # fmt: skip
    assert (told["read"], told["no_animal"], told["failed"], told["kept"]) == (2, 2, 2, 0)
    said = [line for line in capsys.readouterr().out.splitlines() if "Left out" in line]
    assert len(said) == 2 and "broken.png" in said[0] and "no entry" in said[1]
    scene = json.loads((tmp_path / "out" / "b" / "1" / "scene.json").read_text())
    assert [item["kind"] for item in scene["objects"]] == ["rock", "carnivore", "carnivore"]
    np.testing.assert_allclose(scene["objects"][1]["box"], [0.1, 0.4, 0.4, 0.8], atol=1e-3)
    assert scene["animal_distances_m"] == [{"first": 1, "second": 2, "distance_m": 0.0}]
    assert scene["scale"] == {"from": "assumed", "factor": 1.0}


def test_people_are_painted_over_before_anything_sees_them(photos, detections, reader, tmp_path):
    run(photos / "a" / "1.png", tmp_path / "out", "--detections", detections)
    shown = reader.shown[0].astype(int)
    height, width = shown.shape[:2]
    assert width == 2 * height
    hidden = shown[:, int(0.72 * width) : int(0.88 * width)]
    assert np.ptp(hidden.reshape(-1, 3), axis=0).max() == 0
    assert np.ptp(shown[:, : int(0.6 * width)].reshape(-1, 3), axis=0).max() > 0
    kept = np.asarray(Image.open(tmp_path / "out" / "side_by_side.jpg")).astype(int)
    hidden = kept[:, int(0.75 * width) : int(0.85 * width)]
    assert np.ptp(hidden.reshape(-1, 3), axis=0).max() < 8


def test_a_killed_run_goes_on_where_it_was(photos, detections, reader, tmp_path, monkeypatch):
    from lerf_wild.inverse import program_folder

    out, report = tmp_path / "out", tmp_path / "report.json"
    whole = program_folder.write_reconstruction

    def killed(folder, *args, **kwargs):
        if folder.parent.name == "b":
            raise KeyboardInterrupt
        return whole(folder, *args, **kwargs)

    monkeypatch.setattr(program_folder, "write_reconstruction", killed)
    with pytest.raises(SystemExit) as stopped:
        run(photos, out, "--detections", detections)
    assert stopped.value.code == 130 and len(reader.shown) == 2
    monkeypatch.setattr(program_folder, "write_reconstruction", whole)
    run(photos, out, "--detections", detections, "--json", report)
    told = json.loads(report.read_text())
    assert told["kept"] == 1 and told["read"] == 1 and len(reader.shown) == 3
    first = next(row for row in told["photos"] if row["name"] == "a/1.png")
    assert first["state"] == "kept" and first["objects"][0]["asset"] == "grey_rock"
    run(photos, out, "--detections", detections, "--camera-height", 3.2)
    assert len(reader.shown) == 5
    (out / "a" / "1" / "scene.json").write_text("{}")
    picture(photos / "b" / "1.png", (9, 9, 9))
    run(photos, out, "--detections", detections, "--camera-height", 3.2)
    assert len(reader.shown) == 7


def test_lengths_follow_the_camera_or_a_thing_of_known_height(photos, reader, tmp_path):
    photo = photos / "a" / "1.png"
    run(photo, tmp_path / "one")
    run(photo, tmp_path / "two", "--camera-height-m", 3.2)
    run(photo, tmp_path / "three", "--reference-object", "grey rock", "--reference-height", 0.4)
    box = [64, 32, 70, 45]
    run(photo, tmp_path / "four", "--reference-box", *box, "--reference-height-m", 1.0)
    scenes = [
        json.loads((tmp_path / name / "scene.json").read_text())
        for name in ("one", "two", "three", "four")
    ]
    rocks = [scene["objects"][0] for scene in scenes]
    assert rocks[0]["distance_m"] == pytest.approx(np.hypot(1, 6), abs=2e-3)
    assert rocks[1]["distance_m"] == pytest.approx(2 * np.hypot(1, 6), abs=2e-3)
    assert rocks[2]["height_m"] == 0.4 and scenes[2]["scale"]["factor"] == 0.5
    assert [scene["scale"]["from"] for scene in scenes] == [
        "assumed", "camera height", "reference object", "reference object",
    ]  # fmt: skip
    ratio = rocks[3]["distance_m"] / rocks[0]["distance_m"]
    assert ratio == pytest.approx(scenes[3]["scale"]["factor"], rel=1e-2)


def test_animals_become_observations_of_camtrap_dp(photos, detections, reader, tmp_path, capsys):
    place = ["--deployment-id", "ridge", "--latitude", 52.7, "--longitude", 23.8]
    flags = ["--detections", detections, "--camtrap-dp", tmp_path / "dp", *place]
    run(photos, tmp_path / "out", *flags, "--camera-height-m", 3.2, "--utc-offset", "+02:00")
    assert "3 observations of animals in 3 photos" in capsys.readouterr().out

    def rows(name):
        with open(tmp_path / "dp" / f"{name}.csv", newline="") as file:
            return list(csv.DictReader(file))

    assert [row["filePath"] for row in rows("media")] == ["a/1.png", "a/2.png", "b/1.png"]
    assert rows("deployments")[0]["cameraHeight"] == "3.2"
    first, blank, *others = rows("observations")
    assert blank["observationType"] == "blank" and len(others) == 2
    assert float(first["individualPositionRadius"]) == pytest.approx(2 * np.hypot(1, 5), abs=0.01)
    angle = np.degrees(np.arctan2(-1, 5))
    assert float(first["individualPositionAngle"]) == pytest.approx(angle, abs=0.01)
    assert first["scientificName"] == "Carnivora"
    assert first["observationComments"] == "most like fox; scale: camera height"
    assert first["eventStart"].endswith("+02:00") and float(first["bboxWidth"]) == 0.3


def test_results_are_not_read_as_photos(photos, reader, tmp_path):
    out = photos / "out"
    run(photos / "a", out)
    run(photos / "a", out)
    assert sorted(path.name for path in out.iterdir()) == ["1", "2"]
    run(photos, photos / "out")
    assert len(list(out.rglob("scene.json"))) == 2 + 5


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--detections", "nowhere.json"], "nowhere.json"),
        (["--detection-threshold", "2"], "from 0 to 1"),
        (["--reference-object", "rock"], "--reference-height-m"),
        (["--reference-height-m", "1"], "either --reference-object"),
        (["--camera-height-m", "-1"], "metres"),
        (["--camera-height", "nan"], "metres"),
        (["--reference-box", "1", "2", "nan", "4", "--reference-height", "1"], "in pixels"),
        (["--fov-deg", "200"], "degrees"),
        (["--reference-object", "log", "--reference-height-m", "0.4"], "--reference-box"),
        (["--camtrap-dp", "dp"], "--latitude"),
        (["--library-dir", __file__], "is a file"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_line(flags, said, photos, reader, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(photos / "a" / "1.png", tmp_path / "out", *flags)
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and said in error and "Traceback" not in error


def turned(path, orientation=6):
    """The photo stored as a camera does that was held on its side, with EXIF that says so."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(path) as photo:
        photo.transpose(Image.Transpose.ROTATE_90).save(path.with_name("t.png"), exif=exif)
    return path.with_name("t.png")


def test_a_photo_that_was_stored_on_its_side_is_read_upright(photos, reader, tmp_path):
    pixels = np.zeros((*WIDE, 3), np.uint8)
    pixels[20:, 30:] = (90, 160, 40)
    Image.fromarray(pixels).save(photos / "a" / "1.png")
    side = turned(photos / "a" / "1.png")
    boxes = found(tmp_path, a__1=[(1, 0.9, BOX)], a__t=[(1, 0.9, BOX)])
    scenes = []
    for photo in (photos / "a" / "1.png", side):
        run(photo, tmp_path / photo.stem, "--detections", boxes)
        scenes.append(json.loads((tmp_path / photo.stem / "scene.json").read_text()))
    np.testing.assert_array_equal(*reader.shown)
    assert scenes[0]["objects"] == scenes[1]["objects"]


def test_a_portrait_photo_is_read_where_its_animals_are(photos, reader, tmp_path, capsys):
    photo = photos / "a" / "p.png"
    Image.new("RGB", (64, 128), (90, 120, 60)).save(photo)
    low, high = [0.1, 0.8, 0.4, 0.2], [0.1, 0.0, 0.4, 0.1]
    boxes = found(tmp_path, a__p=[(1, 0.9, low), (1, 0.5, high)])
    run(photo, tmp_path / "out", "--detections", boxes, "--fov-deg", 60)
    scene = json.loads((tmp_path / "out" / "scene.json").read_text())
    np.testing.assert_allclose(scene["objects"][1]["box"], [0.1, 0.8, 0.5, 1.0], atol=1e-3)
    assert scene["animals_outside"] == 1
    assert "1 of the detector's animals" in capsys.readouterr().out
    expected = 2 * np.degrees(np.arctan(np.tan(np.radians(30)) / 2))
    assert scene["fov_deg"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.png", None, "can't be read"),
        ("a.png", b"", "the file is empty"),
        ("a.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        ("a.png", (31, 400), "31x400 pixels; give at least 32"),
        ("a" * 300 + ".png", None, "File name too long"),
    ],
)
def test_photos_that_can_not_be_read_are_told_in_a_line(
    name, content, said, reader, tmp_path, capsys
):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        Image.new("RGB", content).save(path)
    with pytest.raises(SystemExit) as stopped:
        run(path, tmp_path / "out")
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and said in error and name in error
    assert len(error.strip().splitlines()) == 1


def test_a_folder_without_photos_is_named(reader, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path / "empty", tmp_path / "out")
    assert stopped.value.code == 2 and "empty: holds no photo" in capsys.readouterr().err


def test_a_run_of_which_nothing_could_be_read_fails(photos, reader, tmp_path, capsys):
    for name in ("1.png", "2.png"):
        (photos / "a" / name).write_bytes(b"nothing")
    with pytest.raises(SystemExit) as stopped:
        run(photos / "a", tmp_path / "out")
    assert stopped.value.code == 2 and "None of 3 photos" in capsys.readouterr().err
