"""Generated animals: pictures and parameters agree, the same bytes by seed, honest refusals."""

from __future__ import annotations

import functools
import io
import json
import math

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.animals.species import load_species
from lerf_wild.errors import DatasetError, EncoderError, InputError
from lerf_wild.synth import genzoo_prompts
from lerf_wild.synth.genzoo import GenzooJob, decode, make_samples
from lerf_wild.synth.genzoo_draws import (
    HELD_OUT_BIOMES,
    crossed,
    draw_animal,
    draw_camera,
    split_grounds,
    split_species,
    turn_z,
)
from lerf_wild.synth.genzoo_signals import (
    Parameters,
    camera_parameters,
    make_signals,
    relative_depth,
    silhouette_iou,
)
from lerf_wild.synth.shards import ShardPlan, shard_bytes

JOB = GenzooJob(seed=3, size=64, camera="both")


@functools.cache
def sample(number: int) -> dict[str, bytes]:
    ((key, parts),) = make_samples(JOB, number)
    assert key == f"{number:08d}"
    return parts


def picture(parts: dict[str, bytes], name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(parts[name])))


def test_mixed_shapes_have_coefficients_of_two_species():
    rng = np.random.default_rng(4)
    own, other = np.zeros(4000, np.float32), np.ones(4000, np.float32)
    shares = [crossed(own, other, rng).mean() for _ in range(200)]
    assert min(shares) < 0.1 and max(shares) > 0.9 and 0.4 < np.mean(shares) < 0.6
    kinds = split_species("train")
    drawn = [
        [draw_animal(np.random.default_rng(k), kinds, way).betas_K for k in range(24)]
        for way in ("words", "mixed")
    ]
    apart = [np.std(betas, axis=0).mean() for betas in drawn]
    assert apart[1] == pytest.approx(apart[0], rel=0.4) and not np.allclose(*drawn)


def test_a_sample_has_genzoos_parts():
    parts = sample(0)
    names = {"jpg", "npz", "json", "normals.png", "depth.png", "canny.png", "mask.png"}
    assert set(parts) == names
    with np.load(io.BytesIO(parts["npz"]), allow_pickle=False) as arrays:
        assert {"betas", "poses", "transls", "fovs", "keypoints_2d"} <= set(arrays.files)
        assert arrays["poses"].shape == (35, 3, 3)
    about = json.loads(parts["json"])
    assert about["species"] in about["prompt"]
    assert about["agreement"] >= 0.97


def test_the_same_job_gives_the_same_bytes_and_another_seed_others():
    ((_, again),) = make_samples(JOB, 0)
    assert again == sample(0)
    ((_, other),) = make_samples(GenzooJob(seed=4, size=64), 0)
    assert other["jpg"] != sample(0)["jpg"]


def test_stored_parameters_put_the_animal_where_the_mask_is():
    model = load_quadruped().model
    for number in range(3):
        parts = sample(number)
        found = decode("x", parts)
        posed = found.parameters.posed(model)
        spots = found.parameters.project(posed.vertices.numpy())
        rows, columns = np.nonzero(picture(parts, "mask.png"))
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 32 - 1
        clipped = np.clip([*spots.min(axis=0), *spots.max(axis=0)], -1, 1)
        assert np.abs(box - clipped).max() < 2.5 / 32
        assert found.box_4 == pytest.approx([*spots.min(axis=0), *spots.max(axis=0)], abs=1e-5)
        expected = found.parameters.project(posed.keypoints.numpy())
        assert np.abs(found.keypoints_P3[:, :2] - expected).max() < 1e-5


def test_camera_axes_agree_with_the_world():
    """Points carried through the world's camera lie where the parameters put them."""
    rng = np.random.default_rng(5)
    model = load_quadruped().model
    animal = draw_animal(rng, load_species())
    camera = draw_camera(rng, animal.vertices_m(), 64, "perspective")
    shape = (animal.betas_K, animal.rotations_J33, animal.translation_3)
    parameters = camera_parameters(
        model, *shape, turn_z(animal.yaw_rad), animal.metres_per_unit, camera
    )
    pose = camera.camera_to_world_34
    local = (animal.vertices_m() - pose[:, 3]) @ pose[:, :3]
    pixels = camera.focal_px * local[:, :2] * [1, -1] / -local[:, 2:] + 32
    spots = parameters.project(parameters.posed(model).vertices.numpy())
    assert np.abs(32 * (spots + 1) - pixels).max() < 2e-2
    inside = np.abs(spots).max()
    assert inside < 1.05


def test_control_signals_follow_genzoo():
    parts = sample(1)
    mask = picture(parts, "mask.png") > 0
    normals, depth = picture(parts, "normals.png"), picture(parts, "depth.png")
    assert (normals[~mask] == 0).all() and (depth[~mask] == 0).all()
    assert depth.max() == 255 and depth[mask].min() == 0
    assert (picture(parts, "canny.png") == cv2.Canny(normals, 100, 200)).all()
    towards = normals[mask][:, 2].astype(int)
    assert (towards >= 100).mean() > 0.95
    far = np.float32([[0.0, 2.0], [4.0, 3.0]])
    assert relative_depth(far).tolist() == [[0, 255], [0, 128]]
    assert not relative_depth(np.zeros((2, 2), np.float32)).any()


def test_a_wrong_parameter_is_seen_in_the_silhouette():
    model = load_quadruped().model
    true = decode("x", sample(1)).parameters
    shift = true.translation_3 + np.float32([0.25, 0, 0])
    moved = Parameters(true.betas_K, true.rotations_J33, shift, true.fov_rad)
    masks = [make_signals(model, p, 64, 0).mask_HW for p in (true, moved)]
    assert silhouette_iou(masks[0], masks[0]) == 1.0
    assert silhouette_iou(*masks) < 0.9


def test_splits_share_nothing():
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        names = [{s.name for s in split_species(split)} for split in (first, second)]
        assert not names[0] & names[1]
        assert not set(split_grounds(first)) & set(split_grounds(second))
    assert any(name.startswith(HELD_OUT_BIOMES) for name in split_grounds("test"))
    assert len(split_species("all")) == len(load_species())


@pytest.mark.parametrize(
    "change", [{"size": 8}, {"seed": -1}, {"engine": "paint"}, {"split": "dev"}, {"vlm": "x"}]
)
def test_impossible_jobs_are_refused(change):
    with pytest.raises(InputError):
        GenzooJob(**change)


def test_broken_samples_are_named():
    parts = sample(0)
    with pytest.raises(DatasetError, match=r"key7.*npz"):
        decode("key7", {k: v for k, v in parts.items() if k != "npz"})
    for name in ("jpg", "npz", "json"):
        with pytest.raises(DatasetError, match="key7"):
            decode("key7", {**parts, name: parts[name][:40]})
    with np.load(io.BytesIO(parts["npz"]), allow_pickle=False) as arrays:
        wrong = {**arrays, "betas": np.full(41, np.nan, np.float32)}
    stream = io.BytesIO()
    np.savez(stream, **wrong)
    with pytest.raises(DatasetError, match="finite"):
        decode("key7", {**parts, "npz": stream.getvalue()})


def test_prompts_name_the_side_that_is_seen():
    rng = np.random.default_rng(0)
    animal = draw_animal(rng, load_species())
    sides = {}
    for degrees in (0, 90, 180, 270):
        turn = math.radians(degrees) + animal.yaw_rad
        eye = np.array([3 * math.cos(turn), 3 * math.sin(turn), 0.5])
        camera = type("C", (), {"camera_to_world_34": np.column_stack([np.eye(3), eye])})
        shot = type("S", (), {"camera": camera, "animal": animal})
        sides[degrees] = genzoo_prompts.seen_from(shot)
    assert sides[0] == "from the front" and sides[180] == "from behind"
    assert "left" in sides[90] and "right" in sides[270]


def test_models_write_prompts_when_they_are_given(monkeypatch):
    see = lambda **_: [{"generated_text": "facing left"}]  # noqa: E731
    write = lambda text, **_: [{"generated_text": " A dog.\nMore"}]  # noqa: E731
    normals = np.zeros((8, 8, 3), np.uint8)
    assert genzoo_prompts.described(see, write, normals, "dog") == "A dog."
    assert genzoo_prompts.described(see, lambda *_, **__: [], normals, "dog") == "dog"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EncoderError, match="nothere"):
        genzoo_prompts.load_describer("/nothere/vlm", "/nothere/llm")


def test_torch_threads_do_not_matter():
    threads, made = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            made.append(shard_bytes(functools.partial(make_samples, JOB), ShardPlan(3, 2), 1))
    finally:
        torch.set_num_threads(threads)
    assert made[0] == made[1]
