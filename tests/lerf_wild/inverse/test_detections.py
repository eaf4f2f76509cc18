"""MegaDetector's JSON: animals alone, whatever path it names them by, and nothing believed."""

import json
from pathlib import Path

import pytest

from lerf_wild.errors import DatasetError, InputError
from lerf_wild.inverse.detections import read_detections

BOX = [0.1, 0.2, 0.3, 0.4]


def found(category="1", conf=0.9, bbox=BOX):
    return {"category": category, "conf": conf, "bbox": bbox}


def saved(folder, images, **more):
    path = folder / "found.json"
    path.write_text(json.dumps({"images": images, **more}))
    return path


def entry(file="a/IMG_1.JPG", *rows, **more):
    return {"file": file, "detections": list(rows), **more}


def test_animals_come_the_surest_first_and_people_and_vehicles_apart(tmp_path):
    rows = [found(conf=0.5), found("2", 0.3), found(conf=0.8), found("3"), found(conf=0.1)]
    told = read_detections(saved(tmp_path, [entry("a/IMG_1.JPG", *rows)])).of(Path("a/IMG_1.JPG"))
    assert [d.confidence for d in told.animals] == [0.8, 0.5]
    assert told.animals[0].box_4 == pytest.approx((0.1, 0.2, 0.4, 0.6))
    assert [d.confidence for d in told.others] == [0.9, 0.3]
    sure = read_detections(tmp_path / "found.json").of(Path("a/IMG_1.JPG"), least=0.7)
    assert len(sure.animals) == 1 and len(sure.others) == 2


def test_a_file_may_name_its_categories_otherwise(tmp_path):
    named = {"7": "Animal", "8": "Person", "9": "deer"}
    rows = [found("7"), found("8"), found("9"), found("1")]
    told = read_detections(saved(tmp_path, [entry("x.jpg", *rows)], detection_categories=named))
    assert len(told.of(Path("x.jpg")).animals) == len(told.of(Path("x.jpg")).others) == 1


@pytest.mark.parametrize("name", ["site1/IMG_1.JPG", "D:\\photos\\site1\\IMG_1.JPG", "./IMG_1.JPG"])
def test_the_end_of_a_path_tells_which_photo_is_meant(tmp_path, name):
    images = [entry(name, found()), entry("site2/IMG_2.JPG")]
    told = read_detections(saved(tmp_path, images))
    assert len(told.of(Path("/data/site1/IMG_1.JPG")).animals) == 1
    assert told.of(Path("/data/site2/IMG_2.JPG")).animals == ()
    with pytest.raises(DatasetError, match=r"no entry for .*IMG_3"):
        told.of(Path("IMG_3.JPG"))


def test_two_photos_of_one_name_are_told_apart_or_refused(tmp_path):
    images = [entry("site1/IMG_1.JPG", found()), entry("site2/IMG_1.JPG")]
    told = read_detections(saved(tmp_path, images))
    assert len(told.of(Path("site1/IMG_1.JPG")).animals) == 1
    assert not told.of(Path("site2/IMG_1.JPG")).animals
    with pytest.raises(DatasetError, match="2 entries"):
        told.of(Path("elsewhere/IMG_1.JPG"))


def test_a_photo_of_the_same_name_in_another_folder_is_another_photo(tmp_path):
    told = read_detections(saved(tmp_path, [entry("site1/IMG_1.JPG", found())]))
    with pytest.raises(DatasetError, match="no entry"):
        told.of(Path("/x/site2/IMG_1.JPG"), own_parts=2)
    assert told.of(Path("/x/site1/IMG_1.JPG"), own_parts=2).animals
    assert told.of(Path("/x/elsewhere/IMG_1.JPG"), own_parts=1).animals
    short = read_detections(saved(tmp_path, [entry("IMG_1.JPG", found())]))
    assert short.of(Path("/x/site1/IMG_1.JPG"), own_parts=2).animals


def test_boxes_are_cut_at_the_border_and_their_number_is_bounded(tmp_path):
    rows = [found(bbox=[-0.1, 0.9, 0.5, 0.5])] * 1000
    told = read_detections(saved(tmp_path, [entry("x.jpg", *rows)])).of(Path("x.jpg"))
    assert len(told.animals) == 100 and told.animals[0].box_4 == pytest.approx((0, 0.9, 0.4, 1))


@pytest.mark.parametrize(("conf", "kept"), [(10**400, 1.0), (-(10**400), 0.0), (1.5, 1.0)])
def test_a_confidence_is_brought_between_0_and_1(tmp_path, conf, kept):
    told = read_detections(saved(tmp_path, [entry("x.jpg", found(conf=conf))]))
    sure = told.of(Path("x.jpg"), least=-(10**401))
    assert [d.confidence for d in sure.animals] == [kept]


def test_what_the_detector_could_not_read_is_said(tmp_path):
    images = [{"file": "x.jpg", "failure": "Failure image access", "detections": None}]
    with pytest.raises(DatasetError, match="Failure image access"):
        read_detections(saved(tmp_path, images)).of(Path("x.jpg"))


@pytest.mark.parametrize(
    "row",
    [
        None, 3, [], "box", {}, {"category": "1"}, found(conf="0.9"), found(conf=True),
        found(conf=None), found(bbox=None), found(bbox=[1, 2, 3]), found(bbox=[0.1] * 5),
        found(bbox="0123"), found(bbox=[0.1, 0.1, "a", 0.1]), found(bbox=[0.1, 0.1, 50, 20]),
        found(bbox=[0.1, 0.1, 0.0, 0.1]), found(bbox=[0.1, 0.1, -0.1, 0.1]),
        found(bbox=[1.2, 0.1, 0.1, 0.1]), found(bbox=[[0.1], 0, 0, 0]),
    ],
)  # fmt: skip
def test_wrong_rows_are_refused_and_the_file_is_named(tmp_path, row):
    told = read_detections(saved(tmp_path, [entry("x.jpg", row)]))
    with pytest.raises(DatasetError, match=r"found\.json"):
        told.of(Path("x.jpg"))


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"images": 3}', '{"images": [3]}', '{"images": [{"file": 3}]}',
        '{"images": [], "detection_categories": []}', '{"images": [NaN]}', "[" * 100_000,
        '{"images": [{"file": "a", "detections": [{"conf": 1e999}]}]}', "\x00\x01",
        '{"images": [], "images": []}',
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "found.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"found\.json"):
        read_detections(path)
