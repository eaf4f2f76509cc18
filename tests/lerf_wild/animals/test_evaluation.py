"""Answers against truth: matching, figures, and `lerf-wild animal eval`."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lerf_wild.animals import metrics
from lerf_wild.animals.annotations import AnnotatedAnimal
from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.animals.evaluation import (
    Animals,
    matched,
    measure,
    of_annotations,
    read_animals,
)
from lerf_wild.cli import main
from lerf_wild.errors import InputError

RNG = np.random.default_rng(0)
NAMES = np.array(["a.jpg", "b.jpg", "c.jpg"])
POINTS = RNG.uniform(0, 200, (3, 26, 2))
MODEL = load_quadruped().model
DIGEST = np.frombuffer(MODEL.sha256.encode(), np.uint8)


def saved(path, **arrays):
    np.savez(path, **{"image": NAMES} | arrays)
    return path


def test_matching_goes_by_name_and_order():
    found = Animals(("x/b.jpg", "a.jpg", "b.jpg"), torch.arange(3.0).view(3, 1, 1))
    true = Animals(("b.jpg", "c.jpg", "b.jpg", "y/a.jpg"), torch.arange(4.0).view(4, 1, 1))
    one, other = matched(found, true)
    assert one.keypoints_2d.flatten().tolist() == [0, 2, 1]
    assert other.keypoints_2d.flatten().tolist() == [0, 2, 3]
    with pytest.raises(InputError, match="no picture in common"):
        matched(found, Animals(("z.jpg",)))


def test_figures_are_those_of_the_metrics(tmp_path):
    valid = RNG.random((3, 26)) < 0.8
    area = np.array([900.0, np.nan, 400.0])
    moved = POINTS + RNG.normal(0, 5, POINTS.shape)
    true = read_animals(
        saved(tmp_path / "t.npz", keypoints_2d=POINTS, valid=valid, area_px2=area), MODEL
    )
    found = read_animals(saved(tmp_path / "f.npz", keypoints_2d=moved), MODEL)
    figures = measure(found, true)
    keep = [0, 2]
    want = metrics.pck(*map(torch.from_numpy, (moved[keep], POINTS[keep], area[keep] ** 0.5)), 0.1,
                       torch.from_numpy(valid[keep]))  # fmt: skip
    assert figures["pck_area_0.1"].mean == pytest.approx(want)
    assert measure(true, true)["pck_box_0.1"].mean == 1.0


def test_betas_become_joints_and_vertices(tmp_path):
    betas = RNG.normal(size=(3, 41))
    turns = np.tile(np.eye(3), (3, 35, 1, 1))
    path = saved(tmp_path / "f.npz", betas=betas, rotations=turns, model_sha256=DIGEST)
    found = read_animals(path, MODEL)
    want = MODEL.pose(torch.from_numpy(betas).float())
    torch.testing.assert_close(found.vertices, want.vertices)
    figures = measure(found, found)
    assert set(figures) == {"s_mpjpe", "pa_mpjpe", "s_v2v", "pa_v2v"}
    assert figures["pa_v2v"].high < 1e-2


def test_annotations_are_a_truth():
    entry = AnnotatedAnimal(
        "a.jpg", (0, 0, 9, 9), POINTS[0].astype(np.float32), np.ones(26, bool), "dog",
        betas=np.zeros(41, np.float32), rotvecs=np.zeros((35, 3), np.float32),
    )  # fmt: skip
    true = of_annotations([entry], MODEL)
    torch.testing.assert_close(true.vertices[0], MODEL.template_V3)
    assert of_annotations([entry], None).vertices is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": np.zeros(3)}, "lacks `image`"),
        ({"keypoints_2d": POINTS[:, :17]}, "expected 3 x 26 x 2"),
        ({"joints": np.zeros((3, 33, 3))}, "without ears"),
        ({"vertices": np.full((3, 5, 3), np.nan)}, "NaN"),
        ({"betas": np.zeros((3, 41)), "rotations": np.zeros((3, 35, 3, 3))}, "another body model"),
        ({"keypoints_2d": np.full((3, 26, 2), "a")}, "no numbers"),
    ],
)
def test_wrong_files_are_refused(tmp_path, arrays, message):
    with pytest.raises(InputError, match=message):
        read_animals(saved(tmp_path / "f.npz", **arrays), MODEL)


def test_the_command_writes_figures(tmp_path, capsys):
    path = saved(tmp_path / "t.npz", keypoints_2d=POINTS, joints=RNG.normal(size=(3, 35, 3)))
    out = tmp_path / "out.json"
    main(["animal", "eval", "--answers", str(path), "--truth", str(path), "--json", str(out)])
    report = json.loads(out.read_text())
    assert report["pck_head_tail_0.5"] == 1.0 and report["animals"] == 3
    assert report["s_mpjpe_low"] <= report["s_mpjpe"] <= report["s_mpjpe_high"]
    with pytest.raises(SystemExit) as caught:
        main(["animal", "eval", "--answers", str(path), "--truth", str(out)])
    assert caught.value.code == 2 and "--format animal3d" in capsys.readouterr().err
