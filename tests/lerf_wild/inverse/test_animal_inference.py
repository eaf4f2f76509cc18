"""Photos, detections, inference, fits and both commands, with a network that knows the answer."""

from __future__ import annotations

import functools
import json
import math

import numpy as np
import pytest
import roma
import torch
import trimesh
from PIL import Image

from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.animals.evaluation import read_animals
from lerf_wild.cli import animal_infer, main
from lerf_wild.errors import DatasetError, InputError, ModelFileError
from lerf_wild.inverse import animal_inference
from lerf_wild.inverse.animal_bodies import joint_body
from lerf_wild.inverse.animal_crops import box_crops, crop_turns, to_crop
from lerf_wild.inverse.animal_fitting import Evidence, FitSpec, fit, mask_iou
from lerf_wild.inverse.animal_inference import Regressor, recover
from lerf_wild.inverse.animal_network import AnimalOutputs, NetworkSpec
from lerf_wild.inverse.animal_photos import photo_of, read_detections, read_photo
from lerf_wild.inverse.animal_views import GLANCES, mirrored_answer
from lerf_wild.synth.genzoo import GenzooJob, decode, make_samples
from lerf_wild.synth.genzoo_signals import Parameters, make_signals

torch.set_num_threads(1)


@functools.cache
def sample():
    ((key, parts),) = make_samples(GenzooJob(seed=2, size=96, camera="perspective"), 5)
    return decode(key, parts)


class Knowing(torch.nn.Module):
    """Answers with a sample's own parameters, as seen in whatever crop it is told of."""

    spec = NetworkSpec(input_px=64)

    def __init__(self, presence: float = 4.0, broken: bool = False) -> None:
        super().__init__()
        self.presence, self.broken, self.crops, self.looks = presence, broken, None, 0

    def forward(self, shown):
        true, crops = sample().parameters, self.crops
        k = torch.tensor([1.0 / math.tan(0.5 * true.fov_rad)])
        back = crop_turns(crops, k).transpose(1, 2)
        model = load_quadruped().model
        posed = true.posed(model)
        rotations = torch.from_numpy(true.rotations_J33.copy())[None]
        rotations[:, 0] = back @ rotations[:, 0]
        root = (back @ posed.joints[:1, :, None])[..., 0]
        kappa = k / crops.half_B
        spot = kappa[:, None] * root[:, :2] / root[:, 2:]
        camera = torch.cat([spot, (kappa / root[:, 2]).log()[:, None], kappa.log()[:, None]], -1)
        points = torch.cat([posed.keypoints, posed.joints])
        points = torch.from_numpy(true.project(points.numpy()))[None]
        betas = torch.from_numpy(true.betas_K.copy())[None]
        if self.broken:
            betas = betas * math.nan
        presence = torch.full((1,), self.presence)
        answer = AnimalOutputs(rotations, betas, camera, to_crop(points, crops), presence)
        self.looks += 1
        # The second look at a crop is at its mirror image.
        return answer if self.looks == 1 else mirrored_answer(answer)


@pytest.fixture
def knowing(monkeypatch):
    network = Knowing()
    look = animal_inference.look

    def told(found, photo, crops, glances=GLANCES):
        found.crops, found.looks = crops, 0
        return look(found, photo, crops, GLANCES[:1]) * len(glances)

    monkeypatch.setattr(animal_inference, "look", told)
    regressor = Regressor(network, load_quadruped().model)
    monkeypatch.setattr(animal_inference, "load_regressor", lambda weights=None: regressor)
    return regressor


def same(first: Parameters, second: Parameters) -> bool:
    model = load_quadruped().model
    spots = [p.project(p.posed(model).keypoints.numpy()) for p in (first, second)]
    return bool(np.abs(spots[0] - spots[1]).max() < 5e-3)


def test_what_the_network_says_lands_in_the_photos_camera(knowing):
    photo = photo_of(sample().rgb_HW3, "a.png")
    found = recover(knowing, photo)
    true = sample().parameters
    assert same(found.parameters, true)
    assert found.parameters.fov_rad == pytest.approx(true.fov_rad, rel=1e-3)
    assert np.allclose(found.parameters.rotations_J33, true.rotations_J33, atol=1e-3)
    assert np.allclose(found.parameters.translation_3, true.translation_3, atol=2e-2)
    assert found.spread == pytest.approx(0.0, abs=0.1)
    boxed = recover(knowing, photo, sample().box_4)
    assert same(boxed.parameters, true)


def test_glances_that_disagree_are_told(tmp_path, knowing, monkeypatch, capsys):
    look = animal_inference.look

    def unsure(*asked):
        first, *others = look(*asked)
        turned = first.rotations_BJ33.clone()
        turned[:, 7] @= roma.rotvec_to_rotmat(torch.tensor([[0.0, 0.4, 0.0]]))
        return [first._replace(rotations_BJ33=turned), *others]

    monkeypatch.setattr(animal_inference, "look", unsure)
    monkeypatch.setattr(animal_infer, "UNSURE_SPREAD", 1.0)
    Image.fromarray(sample().rgb_HW3).save(tmp_path / "deer.png")
    main(["animal", "infer", str(tmp_path / "deer.png"), "--output-dir", str(tmp_path)])
    entry = json.loads((tmp_path / "deer.json").read_text())
    assert entry["spread"] > 1.0 and "deer.png: unsure (spread" in capsys.readouterr().out


def test_a_known_field_of_view_keeps_the_size_in_the_photo(knowing):
    photo = photo_of(sample().rgb_HW3, "a.png")
    wide = recover(knowing, photo, fov_rad=1.2)
    assert wide.parameters.fov_rad == pytest.approx(1.2)
    model = load_quadruped().model
    sizes = []
    for parameters in (wide.parameters, sample().parameters):
        root = parameters.posed(model).joints.numpy()[0]
        sizes.append(1.0 / np.tan(0.5 * parameters.fov_rad) / root[2])
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def test_photos_of_any_form_lie_in_the_middle_of_a_square():
    rng = np.random.default_rng(0)
    photo = photo_of(rng.integers(0, 255, (40, 100, 3), dtype=np.uint8), "wide")
    assert photo.square_3DD.shape == (3, 100, 100)
    spots = np.array([[-1.0, 0.0], [0.2, 0.3]])
    assert np.allclose(photo.from_pixels(photo.to_pixels(spots)), spots)
    assert np.allclose(photo.to_pixels(spots[:1]), [[0.0, 20.0]])
    huge = photo_of(np.tile(rng.integers(0, 255, (60, 50, 3), dtype=np.uint8), (30, 20, 1)), "huge")
    assert max(huge.square_3DD.shape) == 512 and huge.side_px == 1800


def test_useless_photos_are_refused(tmp_path, knowing):
    with pytest.raises(InputError, match="at least 32"):
        photo_of(np.zeros((10, 200, 3), np.uint8), "tiny")
    with pytest.raises(InputError, match="one even colour"):
        photo_of(np.full((64, 64, 3), 127, np.uint8), "grey")
    with pytest.raises(DatasetError, match="not found"):
        read_photo(tmp_path / "none.jpg")
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(DatasetError, match="not a readable image"):
        read_photo(tmp_path / "text.jpg")
    photo = photo_of(sample().rgb_HW3, "a.png")
    with pytest.raises(InputError, match="no animal"):
        recover(Regressor(Knowing(presence=-3.0), knowing.model), photo)
    with pytest.raises(ModelFileError, match="finite"):
        recover(Regressor(Knowing(broken=True), knowing.model), photo)


def detections(tmp_path, content) -> object:
    path = tmp_path / "md.json"
    path.write_text(json.dumps(content))
    return path


def test_detections_are_of_animals_alone(tmp_path):
    kinds = {"1": "animal", "2": "person", "3": "vehicle"}
    rows = [
        {"category": "2", "conf": 0.99, "bbox": [0, 0, 1, 1]},
        {"category": "1", "conf": 0.4, "bbox": [0.1, 0.2, 0.3, 0.4]},
        {"category": "1", "conf": 0.9, "bbox": [0.5, 0.5, 0.7, 0.5]},
        {"category": "1", "conf": 0.05, "bbox": [0, 0, 0.1, 0.1]},
    ]
    images = [{"file": "cam/b.jpg", "detections": rows}, {"file": "cam/c.jpg", "detections": None}]
    path = detections(tmp_path, {"images": images, "detection_categories": kinds})
    boxes = read_detections(path, tmp_path / "cam" / "b.jpg")
    assert np.allclose(boxes, [[0.5, 0.5, 1.0, 1.0], [0.1, 0.2, 0.4, 0.6]])
    assert read_detections(path, tmp_path / "cam" / "c.jpg").shape == (0, 4)
    with pytest.raises(DatasetError, match="no entry"):
        read_detections(path, tmp_path / "z.jpg")
    for wrong in ({}, {"images": [{"file": "b.jpg", "detections": [{"conf": 1}]}]}, [1]):
        with pytest.raises(DatasetError):
            read_detections(detections(tmp_path, wrong), tmp_path / "b.jpg")


def moved(true: Parameters) -> Parameters:
    betas = true.betas_K.copy()
    betas[:3] += 0.3
    shift = true.translation_3 * np.float32([1.0, 1.0, 1.04]) + np.float32([0.06, -0.04, 0.0])
    return Parameters(betas, true.rotations_J33, shift.astype(np.float32), true.fov_rad)


def test_a_fit_comes_back_to_keypoints_and_mask():
    model, true = load_quadruped().model, sample().parameters
    keypoints = np.concatenate([sample().keypoints_P3[:, :2], np.ones((26, 1), np.float32)], 1)
    mask = make_signals(model, true, 96, 0).mask_HW
    begun = moved(true)
    fitted = fit(model, begun, Evidence(torch.from_numpy(keypoints), mask), FitSpec(steps=40))
    assert fitted.loss_after < 0.5 * fitted.loss_before
    assert fitted.silhouette_iou > mask_iou(model, begun, mask)
    assert fitted.keypoint_error < 0.02
    product = fitted.parameters.rotations_J33 @ fitted.parameters.rotations_J33.transpose(0, 2, 1)
    assert np.allclose(product, np.eye(3), atol=1e-4)
    alone = fit(model, begun, Evidence(mask_DD=mask), FitSpec(steps=25))
    assert alone.silhouette_iou > mask_iou(model, begun, mask) and math.isnan(alone.keypoint_error)


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(),
        Evidence(torch.zeros(26, 3)),
        Evidence(torch.full((26, 3), math.nan)),
        Evidence(torch.ones(5, 3)),
        Evidence(mask_DD=np.zeros((8, 8), bool)),
    ],
)
def test_fits_without_evidence_are_refused(evidence):
    with pytest.raises(InputError):
        fit(load_quadruped().model, sample().parameters, evidence, FitSpec(steps=1))


def test_infer_writes_picture_glb_json_and_answers(tmp_path, knowing, capsys):
    photo = tmp_path / "deer.png"
    Image.fromarray(sample().rgb_HW3).save(photo)
    out = tmp_path / "out"
    main(["animal", "infer", str(photo), "--output-dir", str(out), "--height-m", "1.0"])
    entry = json.loads((out / "deer.json").read_text())
    assert set(entry["keypoints_px"]) == set(knowing.model.keypoint_names)
    places = np.array(list(entry["keypoints_px"].values()))
    assert np.abs(places - 48 * (sample().keypoints_P3[:, :2] + 1)).max() < 0.5
    assert np.asarray(Image.open(out / "deer.png")).shape == (96, 96, 3)
    assert len(trimesh.load(out / "deer.glb", force="mesh").faces) == 7774
    answers = read_animals(out / "answers.npz", knowing.model)
    assert answers.image == (str(photo),) and answers.vertices is not None
    assert "1 animal in 1 photo" in capsys.readouterr().out


def test_a_broken_photo_does_not_stop_a_folder(tmp_path, knowing, capsys):
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    Image.fromarray(sample().rgb_HW3).save(folder / "deer.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    figures = tmp_path / "figures.json"
    main(["animal", "infer", str(folder), "--output-dir", str(out), "--json", str(figures)])
    said = capsys.readouterr().out
    assert "Left out: " in said and "broken.jpg" in said and "1 animal in 2 photos" in said
    assert (out / "deer.glb").exists() and json.loads(figures.read_text())["failed"] == 1
    (folder / "deer.png").write_bytes(b"no picture either")
    with pytest.raises(SystemExit) as stopped:
        main(["animal", "infer", str(folder), "--output-dir", str(tmp_path / "none")])
    assert stopped.value.code == 2 and not (tmp_path / "none").exists()
    assert "None of 2 photos" in capsys.readouterr().err


def test_fit_starts_from_the_regressor(tmp_path, knowing):
    photo = tmp_path / "deer.png"
    Image.fromarray(sample().rgb_HW3).save(photo)
    mask = make_signals(knowing.model, sample().parameters, 96, 0).mask_HW
    Image.fromarray(255 * mask.astype(np.uint8)).save(tmp_path / "mask.png")
    given = {"nose": (48 * (sample().keypoints_P3[24, :2] + 1)).tolist()}
    (tmp_path / "points.json").write_text(json.dumps(given))
    words = ["animal", "fit", str(photo), "--output-dir", str(tmp_path), "--steps", "3"]
    report = tmp_path / "figures.json"
    extras = ["--mask", str(tmp_path / "mask.png"), "--keypoints", str(tmp_path / "points.json")]
    main([*words, *extras, "--json", str(report)])
    assert json.loads(report.read_text())["mask_iou"] > 0.9
    (tmp_path / "points.json").write_text('{"beak": [1, 2]}')
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--keypoints", str(tmp_path / "points.json")])
    assert stopped.value.code == 2
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(SystemExit):
        main([*words, "--mask", str(tmp_path / "mask.png")])


def test_wrong_options_are_messages(tmp_path, knowing, capsys):
    photo = tmp_path / "deer.png"
    Image.fromarray(sample().rgb_HW3).save(photo)
    for extra in (["--box", "50", "0", "20", "40"], ["--fov-deg", "0"], ["--box", *"9999"]):
        with pytest.raises(SystemExit) as stopped:
            main(["animal", "infer", str(photo), "--output-dir", str(tmp_path / "o"), *extra])
        assert stopped.value.code == 2
        assert "Traceback" not in capsys.readouterr().err


def test_boxes_of_animals_are_squares_with_room():
    crops = box_crops(torch.tensor([[-0.2, -0.1]]), torch.tensor([[0.4, 0.3]]), 1.2)
    assert torch.allclose(crops.middle_B2, torch.tensor([[0.1, 0.1]]))
    assert float(crops.half_B) == pytest.approx(0.36)
    assert joint_body(load_quadruped().model).rest_J3.shape == (35, 3)
