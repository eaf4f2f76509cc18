"""The language of splats: geometry, targets, training, answers, and what is said without a GPU."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.engine.callbacks import TrainingCallbackAttributes

from lerf_wild.errors import DatasetError
from lerf_wild.language.relevancy import make_query, relevancy
from lerf_wild.live.question import plain_question
from lerf_wild.methods.lerf_wild.datamanager import TILE_ANGLE
from lerf_wild.methods.lerf_wild_splat import config as splat_config
from lerf_wild.methods.lerf_wild_splat.datamanager import PLACES, _check_lenses, bent_places
from lerf_wild.methods.lerf_wild_splat.model import at_places, linear_at
from lerf_wild.methods.lerf_wild_splat.rasterising import Gaussians, eye_of, rasterise
from lerf_wild.methods.lerf_wild_splat.rays import gaussians_along, rotations


def random_gaussians(count=15, seed=0):
    dice = torch.Generator().manual_seed(seed)
    return Gaussians(
        torch.rand(count, 3, generator=dice) - 0.5,
        torch.randn(count, 4, generator=dice),
        0.05 + 0.1 * torch.rand(count, 3, generator=dice),
        0.2 + 0.7 * torch.rand(count, generator=dice),
    )


def camera(**changes):
    pose = torch.eye(4)[None, :3]
    pose[0, :, 3] = torch.tensor([0.1, -0.2, 2.0])
    values = {"fx": 30.0, "fy": 32.0, "cx": 15.0, "cy": 11.0, "width": 30, "height": 22}
    return Cameras(camera_to_worlds=pose, **(values | changes))


def test_gaussians_are_drawn_where_rays_through_the_pixel_go(without_cuda):
    one = camera()
    rays = one.generate_rays(0, keep_shape=True)[7, 19]
    place = (rays.origins + 1.5 * rays.directions)[None]
    gaussians = Gaussians(
        place, torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 3), 0.02), torch.tensor([0.9])
    )
    picture, covered = rasterise(gaussians, torch.tensor([[2.0]]), eye_of(one))
    assert divmod(int(covered.argmax()), 30) == (7, 19)
    torch.testing.assert_close(picture[7, 19, 0], 2 * covered[7, 19])
    torch.testing.assert_close(eye_of(one).place_3, one.camera_to_worlds[0, :, 3])


def test_small_eyes_see_the_same_at_fewer_pixels():
    whole, small = eye_of(camera()), eye_of(camera(), max_pixels=30 * 22 / 4)
    assert (small.height, small.width) == (11, 15)
    torch.testing.assert_close(small.intrinsics_33[:2], whole.intrinsics_33[:2] / 2)


def test_rays_meet_gaussians_as_the_formula_reads():
    gaussians = random_gaussians()
    origin, direction = torch.tensor([0.0, 0.1, 3.0]), torch.tensor([0.02, -0.03, -1.0])
    direction = direction / direction.norm()
    met = gaussians_along(gaussians, origin[None], direction[None])
    found = []
    for index in range(15):
        turn = rotations(gaussians.quats_G4[index : index + 1])[0]
        spread = turn @ torch.diag(gaussians.scales_G3[index] ** 2) @ turn.T
        distances = torch.linspace(1, 5, 4001)
        offsets = origin + distances[:, None] * direction - gaussians.means_G3[index]
        density = torch.exp(-0.5 * (offsets @ torch.linalg.inv(spread) * offsets).sum(-1))
        alpha = float(gaussians.opacities_G[index] * density.max())
        if alpha >= 1 / 255:
            found.append((float(distances[density.argmax()]), alpha, index))
    left, weights = 1.0, {}
    for _, alpha, index in sorted(found):
        weights[index] = left * alpha
        left *= 1 - alpha
    assert len(weights) > 2
    expected = sorted(weights.values(), reverse=True)
    np.testing.assert_allclose(met.weights_RK[0, : len(expected)].numpy(), expected, atol=2e-4)
    assert float(met.covered_R1) == pytest.approx(1 - left, abs=2e-4)
    heaviest = max(weights, key=weights.get)
    torch.testing.assert_close(met.positions_RK3[0, 0], gaussians.means_G3[heaviest])


def test_places_are_bent_as_opencv_bends_them():
    lens = [0.2, -0.05, 0.01, 0.0, 0.003, -0.002]
    taken = camera(distortion_params=torch.tensor([lens]))
    straight = camera(fx=25.0, cx=14.0)
    places = torch.rand(50, 2, generator=torch.Generator().manual_seed(1))
    x = (places[:, 0] * 30 - 14) / 25
    y = (places[:, 1] * 22 - 11) / 32
    points = torch.stack([x, y, torch.ones(50)], dim=-1).numpy().astype(np.float64)
    order = np.array([lens[0], lens[1], lens[4], lens[5], lens[2]])
    matrix = taken.get_intrinsics_matrices()[0].numpy().astype(np.float64)
    expected = cv2.projectPoints(points, np.zeros(3), np.zeros(3), matrix, order)[0][:, 0]
    found = bent_places(places, straight, taken).numpy() * [30, 22]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    straightened = bent_places(places, taken=camera(), straight=camera())
    torch.testing.assert_close(straightened, places)


def test_other_lenses_are_refused():
    from nerfstudio.cameras.cameras import CameraType

    with pytest.raises(DatasetError, match="lerf-wild "):
        _check_lenses(camera(camera_type=CameraType.FISHEYE))


def test_maps_are_read_and_heads_commute_with_them():
    maps = torch.randn(4, 6, 5)
    centres = torch.tensor([[2.5 / 6, 1.5 / 4], [5.5 / 6, 3.5 / 4]])
    torch.testing.assert_close(at_places(maps, centres), torch.stack([maps[1, 2], maps[3, 5]]))
    head, covered = torch.nn.Linear(5, 7), torch.rand(2, 1)
    one_by_one = at_places(maps, centres) @ head.weight.T + covered * head.bias
    torch.testing.assert_close(linear_at(head, maps, covered, centres), one_by_one)


def test_targets_are_those_of_the_pixels_that_are_drawn(pipeline):
    torch.manual_seed(3)
    one, batch = pipeline.datamanager.next_train(0)
    image = one.metadata["cam_idx"]
    places, ratio_angle = batch[PLACES], one.metadata[TILE_ANGLE]
    pixels = (places * 32).long()
    indices = torch.cat([torch.full((256, 1), image), pixels.flip(-1)], dim=-1)
    spec = pipeline.datamanager.targets.spec
    level = (ratio_angle - spec.tile_ratio(torch.zeros(1))) / (
        spec.tile_ratio(torch.ones(1)) - spec.tile_ratio(torch.zeros(1))
    )
    found = pipeline.datamanager.targets.lookup(indices, level.expand(256))
    torch.testing.assert_close(batch["clip"], found.clip_RD, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(batch["dino"], found.dino_RC)


def test_tile_sizes_are_metric(pipeline, monkeypatch):
    model, seen = pipeline.model, []
    scale_part = model.language.clip_scale_part
    monkeypatch.setattr(
        model.language, "clip_scale_part", lambda *of: seen.append(of[0]) or scale_part(*of)
    )
    one = pipeline.datamanager.train_dataset.cameras[0:1]
    model.language_maps(one, 0.25)
    distances = (model.means - one.camera_to_worlds[0, :, 3]).norm(dim=-1)
    torch.testing.assert_close(seen[0], 0.25 * distances)


@pytest.fixture(scope="module")
def trained(pipeline):
    """The pipeline after enough steps to tell the wall's colours apart, and its losses."""
    from nerfstudio.engine.optimizers import Optimizers

    config = splat_config.lerf_wild_splat.config
    groups = pipeline.get_param_groups()
    optimizers = Optimizers({name: dict(config.optimizers[name]) for name in groups}, groups)
    attributes = TrainingCallbackAttributes(
        optimizers=optimizers, grad_scaler=None, pipeline=pipeline, trainer=None
    )
    begin, end = pipeline.model.get_training_callbacks(attributes)
    pipeline.train()
    losses = []
    for step in range(60):
        begin.func(*begin.args, step=step)
        optimizers.zero_grad_all()
        _, found, _ = pipeline.get_train_loss_dict(step)
        (found["clip_loss"] + found["dino_loss"]).backward()
        losses.append(float(found["clip_loss"].detach()))
        # Language alone: the gaussians are where they should be.
        assert pipeline.model.means.grad is None
        optimizers.optimizers["language"].step()
    end.func(step=59)
    pipeline.eval()
    return pipeline, losses


def test_language_is_learnt_and_moves_no_gaussian(trained):
    _, losses = trained
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:3])


def question_of(model, *phrases):
    return plain_question(make_query(phrases, model.encoder()))


def slow_maps(model, one, query, sizes):
    """Every gaussian's whole embedding drawn, one phrase and size after the other."""
    maps = []
    for index, size in enumerate(sizes):
        positions = model._contracted(model.means.detach())
        features = model.language.encode(positions)
        hidden = model.language.clip_hidden(
            model.language.clip_position_part(features),
            model.language.clip_scale_part(torch.tensor(size), model.basis_range),
        )
        seen = model.is_seen(positions)[:, None]
        embeddings = model.language.clip_head(hidden) * seen
        both = torch.cat([embeddings, seen.float()], dim=1)
        picture, _ = rasterise(model.gaussians(), both, eye_of(one))
        value = relevancy(picture[..., :-1], query)[..., index]
        maps.append(value * (picture[..., -1] >= 0.05))
    return torch.stack(maps, dim=-1)


@torch.no_grad()
def test_answers_are_those_of_whole_embeddings(trained):
    model = trained[0].model
    one = trained[0].datamanager.train_dataset.cameras[2:3]
    question = question_of(model, "red", "green", "blue")
    model.ask(question)
    heard = []
    model.go_live().on_answer = heard.append
    outputs = model.get_outputs_for_camera(one)
    model.get_outputs_for_camera(one)
    model.ask(None)
    found = torch.cat([outputs[f"relevancy_{index}"] for index in range(3)], dim=-1)
    expected = slow_maps(model, one, question.query, heard[0].size_P)
    torch.testing.assert_close(found, expected, atol=5e-3, rtol=0)
    assert [answer.is_still for answer in heard] == [False, True]
    # The wall's colours say who is right.
    winner = found.argmax(dim=-1)[4:-4, 4:-4]
    image = trained[0].datamanager.cached_train[2]["image"][4:-4, 4:-4].float().argmax(dim=-1)
    assert (winner == image).float().mean() > 0.7


@pytest.mark.filterwarnings("ignore:To copy construct")
@torch.no_grad()
def test_phrases_are_cropped_as_colours_are(trained):
    model = trained[0].model
    one = trained[0].datamanager.train_dataset.cameras[2:3]
    half = model.means[:, 0].median()
    box = OrientedBox(torch.eye(3), torch.tensor([half - 50.0, 0.0, 0.0]), torch.full((3,), 100.0))
    model.ask(question_of(model, "red"))
    whole = model.get_outputs_for_camera(one)["relevancy_0"]
    outputs = model.get_outputs_for_camera(one, box)
    again = model.get_outputs_for_camera(one)["relevancy_0"]
    model.ask(None)
    is_bare = outputs["accumulation"] < 1e-3
    assert 0.1 < is_bare.float().mean() < 0.9
    assert (outputs["relevancy_0"][is_bare] == 0).all() and (whole[is_bare] > 0).any()
    torch.testing.assert_close(again, whole)


@torch.no_grad()
def test_outputs_have_the_names_of_lerf_wild(trained):
    model = trained[0].model
    one = trained[0].datamanager.train_dataset.cameras[1:2]
    assert next(iter(model.get_outputs_for_camera(one))) == "phrases"
    model.ask(question_of(model, "red"))
    names = set(model.get_outputs_for_camera(one))
    model.ask(None)
    assert {"phrases", "rgb", "depth", "accumulation", "relevancy_0", "composited_0"} <= names


@torch.no_grad()
def test_what_is_at_a_place_is_asked_with_one_ray(trained):
    from lerf_wild.methods.lerf_wild.pointing import place_at

    model = trained[0].model
    one = trained[0].datamanager.train_dataset.cameras[2:3]
    ray = one.generate_rays(0, keep_shape=True)[16, 16]
    place = place_at(model, ray.origins.tolist(), ray.directions.tolist())
    texts = model.encoder().encode_text(["red", "green", "blue"])
    image = trained[0].datamanager.cached_train[2]["image"]
    assert int((place.units_SD[0] @ texts.T).argmax()) == int(image[16, 16].float().argmax())
    assert place_at(model, [0.0, 0.0, 50.0], [0.0, 0.0, 1.0]) is None


def test_splats_can_be_baked(trained, tmp_path):
    from lerf_wild.baked.field import Answerer
    from lerf_wild.cli.bake import gaussian_cloud
    from lerf_wild.cli.runs import run_of
    from lerf_wild.methods.lerf_wild.baking import BakeSpec, bake

    pipeline = trained[0]
    run = run_of(tmp_path / "config.yml", pipeline.config, pipeline, 0)
    baked = bake(pipeline.model, run, gaussian_cloud(run, 80), BakeSpec(sizes=4), {}, {})
    texts = pipeline.model.encoder().encode_text(["red", "green"]).numpy()
    found = Answerer(baked).answer(texts[:1], texts[1:])
    assert found.relevancy_PN.shape == (1, 80)
    assert abs(baked.positions_N3[:, 2]).max() < 1e-4


@pytest.mark.parametrize("part", [splat_config.make_trainer, splat_config.make_pipeline])
def test_without_cuda_two_lines_say_what_to_do(capsys, monkeypatch, part):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as stop:
        part(None)
    assert stop.value.code == 2
    said = capsys.readouterr().out.strip().splitlines()
    assert len(said) == 2
    assert "lerf-wild-tiny" in said[1]
