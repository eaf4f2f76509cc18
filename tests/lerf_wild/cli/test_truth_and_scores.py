"""Labels joined with instance pictures, and figures of answers that are known to be right."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from PIL import Image

from lerf_wild.cli.scores import LabelScores, existence_figures
from lerf_wild.cli.truth import camera_file, find_labels, labelled_views, match_views, read_truth
from lerf_wild.errors import DatasetError

FOX, LOG = 10, 11


@pytest.fixture()
def scene(tmp_path):
    """One view of 30x20 pixels with a fox that is no rectangle, and a log."""
    ids = np.zeros((20, 30), np.uint16)
    ids[5:10, 4:12] = FOX
    ids[5, 4] = 0
    ids[12:16, 15:29] = LOG
    (tmp_path / "instances").mkdir()
    (tmp_path / "labels").mkdir()
    Image.fromarray(ids).save(tmp_path / "instances" / "frame_00001.png")
    write_labels(tmp_path, with_instances=True)
    return tmp_path


def write_labels(scene, with_instances: bool) -> None:
    shapes = [
        shape("red fox", (4, 5, 11, 9), FOX),
        shape("animal", (4, 5, 11, 9), FOX),
        shape("log", (15, 12, 28, 15), LOG),
    ]
    if not with_instances:
        shapes = [{k: v for k, v in one.items() if k != "instance"} for one in shapes]
    content = {"imagePath": "../images/frame_00001.png", "imageHeight": 20, "imageWidth": 30}
    (scene / "labels" / "frame_00001.json").write_text(json.dumps(content | {"shapes": shapes}))


def shape(label, box, instance):
    points = [[box[0], box[1]], [box[2], box[3]]]
    return {"label": label, "shape_type": "rectangle", "points": points, "instance": instance}


def only_view(scene):
    (view,) = labelled_views(find_labels(scene, None), scene)
    return view


def test_masks_come_from_instances_where_there_are_some(scene):
    view = only_view(scene)
    assert view.phrases == ("red fox", "animal", "log")
    assert view.mask_of("red fox").sum() == 5 * 8 - 1
    assert np.array_equal(view.mask_of("animal"), view.mask_of("red fox"))


def test_masks_come_from_outlines_elsewhere(scene):
    write_labels(scene, with_instances=False)
    assert only_view(scene).mask_of("red fox").sum() == 5 * 8
    for path in (scene / "instances").iterdir():
        path.unlink()
    write_labels(scene, with_instances=True)
    assert only_view(scene).mask_of("red fox").sum() == 5 * 8


def test_views_are_matched_by_picture_whatever_its_ending(scene):
    views = labelled_views(scene / "labels", scene)
    assert set(match_views(views, ["frame_00001.jpg", "frame_00002.jpg"])) == {"frame_00001.jpg"}


def test_exact_answers_score_one_and_opposite_ones_zero(scene):
    view = only_view(scene)
    exact = np.stack([view.mask_of(phrase) for phrase in view.phrases], axis=-1) * 0.9
    scores = LabelScores()
    scores.add("frame_00001", view, view.phrases, exact, exact)
    assert scores.figures() == {
        "localisation_accuracy": 1.0,
        "miou": 1.0,
        "labelled_pairs": 3,
    }
    opposite = LabelScores()
    opposite.add("frame_00001", view, view.phrases, 0.9 - exact, 0.9 - exact)
    assert opposite.figures()["miou"] == 0.0
    assert opposite.figures()["localisation_accuracy"] == 0.0
    assert opposite.by_phrase()["log"]["labelled_pairs"] == 1


def test_answers_of_another_size_are_compared_in_the_label_s_place(scene):
    view = only_view(scene)
    mask = view.mask_of("log")
    doubled = np.kron(mask, np.ones((2, 2)))[..., None] * 0.9
    scores = LabelScores()
    scores.add("frame_00001", view, ("log",), doubled, doubled)
    assert scores.figures()["localisation_accuracy"] == 1.0
    assert scores.figures()["miou"] == pytest.approx(1.0)
    np.testing.assert_allclose(view.boxes_at("log", 40, 60)[0], [30.5, 24.5, 56.5, 30.5])


def test_nothing_measured_is_not_a_number():
    assert math.isnan(LabelScores().figures()["miou"])


def test_existence_needs_present_phrases_above_absent_ones():
    scores = {"fox": 0.9, "log": 0.7, "lake": 0.55, "zebra": 0.2}
    right = existence_figures(scores, ["fox", "log"], ["lake", "zebra"], 0.6)
    assert right["existence_ap"] == right["existence_accuracy"] == 1.0
    wrong = existence_figures(scores, ["zebra"], ["fox", "log", "lake"], 0.6)
    assert wrong["existence_ap"] == pytest.approx(0.25)
    assert wrong["existence_accuracy"] == 0.25


def test_missing_and_broken_labels_are_named(scene):
    with pytest.raises(DatasetError, match=r"nowhere: there are no labels"):
        find_labels(scene, scene / "nowhere")
    path = scene / "labels" / "frame_00001.json"
    path.write_text('{"shapes": [{"label": "fox"}]}')
    with pytest.raises(DatasetError, match=r"frame_00001\.json"):
        labelled_views(scene / "labels", scene)
    path.write_text('{"shapes": [{"la')
    with pytest.raises(ValueError, match=r"frame_00001\.json"):
        labelled_views(scene / "labels", scene)


def test_scenes_without_truth_or_labels_have_none(tmp_path):
    assert read_truth(tmp_path) is None
    assert find_labels(tmp_path, None) is None
    assert camera_file(tmp_path) is None
