"""The regressor: crops and cameras agree with what they came from, rotations are rotations,
learning lowers the loss, files are refused with reasons."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.animals.metrics import NOSE, head_tail_px
from lerf_wild.errors import DatasetError, EncoderError, ModelFileError, TrainingError
from lerf_wild.inverse import animal_training
from lerf_wild.inverse.animal_augmentation import drawn_crops, training_batch
from lerf_wild.inverse.animal_backbones import make_backbone
from lerf_wild.inverse.animal_bodies import body_part, joint_body, pose_space
from lerf_wild.inverse.animal_crops import (
    Crops,
    crop_turns,
    cut_crops,
    from_crop,
    to_crop,
)
from lerf_wild.inverse.animal_evaluation import measure, own_view, side_on_px
from lerf_wild.inverse.animal_losses import MAP_SPREAD, answers_losses, map_loss
from lerf_wild.inverse.animal_network import (
    AnimalNetwork,
    AnimalOutputs,
    NetworkSpec,
    nearest_rotations,
)
from lerf_wild.inverse.animal_samples import (
    collect,
    faces_right,
    joined,
    load_samples,
    mirrored,
    plain_batch,
)
from lerf_wild.inverse.animal_training import (
    AnimalTrainer,
    TrainingSpec,
    load_state,
    narrowed,
    save_state,
    train,
)
from lerf_wild.inverse.animal_views import GLANCES
from lerf_wild.inverse.animal_weights import load_network, save_network
from lerf_wild.synth.genzoo import GenzooJob, make_samples
from lerf_wild.synth.shards import ShardPlan, write_dataset

torch.set_num_threads(1)

JOB = GenzooJob(seed=9, size=64, signals=False)
TINY = NetworkSpec(input_px=64, channels=16, carried=4, hidden=32)


@functools.cache
def samples():
    body = joint_body(load_quadruped().model)
    return collect((s for number in range(6) for s in make_samples(JOB, number)), body)


@functools.cache
def body():
    return joint_body(load_quadruped().model)


@functools.cache
def part():
    return body_part(load_quadruped().model, 10)


def some_crops(count: int) -> Crops:
    generator = torch.Generator().manual_seed(3)
    draw = torch.rand(count, 4, generator=generator)
    return Crops(0.6 * draw[:, :2] - 0.3, 0.3 + 0.5 * draw[:, 2], draw[:, 3] - 0.5)


def told(batch) -> AnimalOutputs:
    """What a network would say that knows everything."""
    return AnimalOutputs(
        batch.rotations_BJ33, batch.betas_BK, batch.camera_B4, batch.points_BQ2, batch.present_B
    )


def test_joints_agree_with_the_whole_body():
    model, found = load_quadruped().model, samples()
    own = body().joints(found.betas_NK, found.rotations_NJ33, found.root_N3)
    shift = found.root_N3 - body().pivot(found.betas_NK)
    whole = model.pose(found.betas_NK, found.rotations_NJ33, shift)
    assert torch.allclose(own, whole.joints, atol=1e-5)


def test_places_go_into_crops_and_back():
    crops, spots = some_crops(4), torch.rand(4, 9, 2) * 2 - 1
    assert torch.allclose(from_crop(to_crop(spots, crops), crops), spots, atol=1e-5)
    turns = crop_turns(crops, torch.full((4,), 2.0))
    assert torch.allclose(turns @ turns.transpose(1, 2), torch.eye(3).expand(4, 3, 3), atol=1e-5)
    # A crop's own camera looks at its middle.
    ray = turns[:, :, 2]
    assert torch.allclose(2.0 * ray[:, :2] / ray[:, 2:], crops.middle_B2, atol=1e-5)


def test_crops_show_what_their_places_say():
    """A bright dot in the picture is found where `to_crop` puts it."""
    crops = some_crops(5)
    pictures = torch.full((5, 3, 96, 96), 0.5)
    spots = from_crop(torch.tensor([[[0.3, -0.4]]]).expand(5, 1, 2), crops)
    pixel = ((spots[:, 0] + 1) * 48 - 0.5).round().long()
    for row, (x, y) in enumerate(pixel):
        pictures[row, :, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = 1.0
    shown = cut_crops(pictures, crops, 64)[:, 0]
    expected = to_crop(((pixel + 0.5) / 48 - 1.0)[:, None].float(), crops)[:, 0]
    weight = (shown - 0.5).clamp_min(0.0)
    steps = (torch.arange(64) + 0.5) / 32 - 1
    for row in range(5):
        w = weight[row] / weight[row].sum()
        seen = torch.stack([(w.sum(0) * steps).sum(), (w.sum(1) * steps).sum()])
        assert torch.allclose(seen, expected[row], atol=0.06)


def test_truth_has_no_loss_but_presence_and_puts_joints_where_they_are():
    found = samples()
    for batch in (
        plain_batch(found, body(), 64),
        training_batch(found, body(), 64, torch.Generator().manual_seed(1)),
    ):
        outputs = told(batch)
        assert torch.allclose(outputs.root_B3(), batch.joints_BJ3[:, 0], atol=2e-3)
        parts = answers_losses([outputs], batch, part())
        assert all(float(p) < 0.05 for name, p in parts.items() if name != "presence")
        wrong = outputs._replace(betas_BK=outputs.betas_BK + 1.0)
        worse = answers_losses([wrong], batch, part())
        assert worse["shape"] > 1.0


def test_keypoints_of_a_mirrored_picture_are_those_of_the_mirrored_body():
    model, found = load_quadruped().model, samples()
    turned = mirrored(found, torch.ones(len(found)).bool())
    shift = turned.root_N3 - body().pivot(turned.betas_NK)
    posed = model.pose(turned.betas_NK, turned.rotations_NJ33, shift)
    spots = turned.k_N[:, None, None] * posed.keypoints[..., :2] / posed.keypoints[..., 2:]
    assert torch.allclose(spots, turned.keypoints_NP3[..., :2], atol=2e-3)
    determinant = torch.linalg.det(turned.rotations_NJ33)
    assert torch.allclose(determinant, torch.ones_like(determinant), atol=1e-4)


def test_crops_off_the_animal_are_said_to_be():
    found = samples().rows(torch.arange(6).repeat(100))
    where, present = drawn_crops(found, torch.Generator().manual_seed(0))
    assert 0.01 < 1.0 - float(present.mean()) < 0.09
    middle = 0.5 * (found.boxes_N4[:, :2] + found.boxes_N4[:, 2:])
    away = (where.middle_B2 - middle).abs() / where.half_B[:, None]
    assert away[present == 0].amax(-1).min() > 1.8 and away[present == 1].max() < 0.5


def test_rotations_are_the_nearest_ones_and_have_gradients():
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(40, 3, 3, generator=generator, dtype=torch.float32)
    found = nearest_rotations(raw)
    u, _, v = torch.linalg.svd(raw.double() + 1e-4 * torch.eye(3))
    sign = torch.ones(40, 3, dtype=torch.float64)
    sign[:, 2] = torch.linalg.det(u @ v)
    naive = (u * sign[:, None]) @ v
    assert torch.allclose(found.double(), naive, atol=1e-4)
    zero = torch.zeros(2, 3, 3, requires_grad=True)
    nearest_rotations(zero).sum().backward()
    assert torch.isfinite(zero.grad).all()


def test_a_new_network_predicts_about_the_mean_pose():
    model = load_quadruped().model
    space = pose_space(model)
    network = AnimalNetwork(TINY, model).eval()
    outputs = network(torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    mean = nearest_rotations(space.mean_P.unflatten(0, (-1, 3, 3)))
    apart = roma.rotmat_geodesic_distance(outputs.rotations_BJ33[:, 1:].detach(), mean)
    assert float(apart.mean()) < 0.1
    assert outputs.points_BQ2.shape == (3, 61, 2)
    raw = AnimalNetwork(replace(TINY, raw_rotations=True), model).eval()
    matrices = raw(torch.rand(1, 3, 64, 64)).rotations_BJ33
    product = matrices @ matrices.transpose(-1, -2)
    assert not torch.allclose(product, torch.eye(3).expand_as(product), atol=1e-2)


def test_the_pose_space_holds_the_library():
    space = pose_space(load_quadruped().model, count=120)
    again = pose_space(load_quadruped().model, count=120)
    assert torch.equal(space.directions_PD, again.directions_PD)
    assert space.mean_P.shape == (306,)


def test_figures_of_truth_are_perfect_and_the_mean_is_not():
    found = samples()

    class Told(torch.nn.Module):
        spec = TINY

        def forward(self, crops):
            whole = told(plain_batch(found, body(), 64))
            if len(crops) == len(found):
                return whole
            # The second look is at the mirror images of those that face right.
            turned = found.rows(faces_right(whole.rotations_BJ33))
            turned = mirrored(turned, torch.ones(len(turned)).bool())
            return told(plain_batch(turned, body(), 64))

    figures = measure(Told(), found, glances=GLANCES[:1])
    assert figures["pck_05"] == 1.0 and figures["pa_v2v"] < 0.5 and figures["s_mpjpe"] < 0.5
    nothing = measure(None, found)
    assert nothing["s_mpjpe"] > 100 and nothing["pck_05"] < 0.9
    assert figures["pck_length"] == 1.0 and nothing["pck_05"] < nothing["pck_length"] < 1.0


def test_an_answer_is_drawn_with_its_own_camera():
    batch = plain_batch(samples(), body(), 64)
    truth = told(batch)
    wider = truth._replace(camera_B4=truth.camera_B4 - torch.tensor([0.0, 0.0, 0.0, 0.7]))
    whole = own_view(truth, batch).project(batch.joints_BJ3)
    assert torch.allclose(whole, batch.project(batch.joints_BJ3), atol=1e-3)
    hips = wider.root_B3()[:, None]
    # Nearer before a wider lens: the hips stay where they were seen.
    spot = own_view(wider, batch).project(hips)[:, 0]
    assert torch.allclose(spot, whole[:, 0], atol=2e-2)
    assert (hips[:, 0, 2] < 0.6 * batch.joints_BJ3[:, 0, 2]).all()


def test_the_length_side_on_is_what_a_turned_animal_would_show():
    batch = plain_batch(samples(), body(), 64)
    middle = batch.joints_BJ3[:, :1] + torch.zeros(1, 26, 1)
    nose, tail = middle.clone(), middle.clone()
    across, away = batch.turns_B33[:, 0], batch.turns_B33[:, 2]
    nose[:, NOSE] += 0.4 * across
    tail[:, NOSE] += 0.4 * away
    shown = head_tail_px(batch.project(nose))
    assert torch.allclose(side_on_px(batch, nose), shown, rtol=0.03)
    assert torch.allclose(side_on_px(batch, tail), shown, rtol=0.03)
    assert (head_tail_px(batch.project(tail)) < 0.3 * shown).all()


def test_training_lowers_the_loss_and_goes_on_where_it_was(tmp_path):
    spec = TrainingSpec(steps=24, batch_size=6, warmup=1, augment=False, low_precision=False)
    first = AnimalTrainer(spec, TINY)
    totals: list[float] = []
    train(first, samples(), report=lambda _, parts: totals.append(sum(parts.values())))
    assert np.mean(totals[-6:]) < 0.9 * np.mean(totals[:4])
    begun = AnimalTrainer(spec, TINY)
    for step in range(12):
        begun.step(samples(), step / 24)
    save_state(tmp_path / "state.safetensors", begun)
    later = AnimalTrainer(spec, TINY)
    load_state(tmp_path / "state.safetensors", later)
    train(later, samples())
    for one, other in zip(first.average.parameters(), later.average.parameters()):
        assert torch.allclose(one, other, atol=1e-5)


def test_hips_behind_the_camera_are_no_trouble():
    found = samples()
    found = replace(found, root_N3=found.root_N3 * torch.tensor([1.0, 1.0, -0.1]))
    batch = plain_batch(found, body(), 64)
    assert torch.isfinite(batch.camera_B4).all()


def test_a_loss_that_is_not_finite_stops_training():
    trainer = AnimalTrainer(TrainingSpec(batch_size=2, low_precision=False), TINY)
    with torch.no_grad():
        trainer.network.rest.bias.fill_(math.nan)
    with pytest.raises(TrainingError, match="step 0"):
        trainer.step(samples(), 0.0)


def test_a_narrow_crop_is_blank_at_the_sides():
    crops = narrowed(torch.ones(1, 3, 64, 64))
    assert (crops[..., :8] == 0.5).all() and (crops[..., 8:56] == 1).all()
    assert animal_training.schedule(0, 1, 0.0) == 1.0


def test_weights_come_back_and_strangers_are_refused(tmp_path):
    model = load_quadruped().model
    network = AnimalNetwork(TINY, model).eval()
    path = tmp_path / "w.safetensors"
    save_network(path, network, {"body": model.sha256})
    found, about = load_network(path, model.sha256)
    crops = torch.rand(2, 3, 64, 64)
    for one, other in zip(network(crops), found(crops)):
        assert torch.allclose(one, other, atol=2e-2)
    with pytest.raises(ModelFileError, match="another body"):
        load_network(path, "0" * 64)
    with torch.no_grad():
        network.rest.bias[0] = math.nan
    save_network(path, network, {"body": model.sha256})
    with pytest.raises(ModelFileError, match="finite"):
        load_network(path)
    path.write_bytes(b"no weights")
    with pytest.raises(ModelFileError, match="safetensors"):
        load_network(path)
    assert about["body"] == model.sha256


def test_shards_of_another_body_or_kind_are_refused(tmp_path):
    model = load_quadruped().model
    make = functools.partial(make_samples, JOB)
    write_dataset(tmp_path / "own", make, ShardPlan(2), JOB.about)
    assert len(load_samples(tmp_path / "own", body(), model.sha256)) == 2
    with pytest.raises(DatasetError, match="another body"):
        load_samples(tmp_path / "own", body(), "0" * 64)
    write_dataset(tmp_path / "other", make, ShardPlan(1), {"kind": "raw"})
    with pytest.raises(DatasetError, match="no shards of"):
        load_samples(tmp_path / "other", body(), model.sha256)
    with pytest.raises(DatasetError, match="no sample"):
        collect([], body())


def test_sets_of_samples_are_joined_in_order():
    small = samples().rows(slice(0, 2))
    both = joined([samples(), small])
    assert len(both) == 8
    assert torch.equal(both.rows(slice(6, 8)).keypoints_NP3, small.keypoints_NP3)
    other = replace(small, pictures_N3SS=small.pictures_N3SS[..., :32, :32])
    with pytest.raises(DatasetError, match="several sizes"):
        joined([small, other])


def test_a_vitpose_of_transformers_is_a_backbone(tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    tower = transformers.VitPoseBackboneConfig(
        image_size=[256, 192], patch_size=[16, 16], hidden_size=24, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=32,
    )  # fmt: skip
    config = transformers.VitPoseConfig(backbone_config=tower, num_labels=17)
    transformers.VitPoseForPoseEstimation(config).save_pretrained(tmp_path / "vit")
    backbone = make_backbone(str(tmp_path / "vit"), 0).eval()
    for features, width in zip(backbone(torch.rand(2, 3, 64, 64)), backbone.widths, strict=True):
        assert features.shape == (2, 24, 16, 16) and width == 24
    network = AnimalNetwork(replace(TINY, backbone=str(tmp_path / "vit"))).eval()
    assert network(torch.rand(1, 3, 64, 64)).points_BQ2.shape == (1, 61, 2)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EncoderError, match="no ViTPose"):
        make_backbone(str(tmp_path / "none"), 0)


def map_loss_naive(maps, points, present):
    """The cross entropy of one map at a time, cell by cell."""
    side, found = maps.shape[-1], []
    for b, q in itertools.product(range(maps.shape[0]), range(maps.shape[1])):
        x, y = points[b, q].tolist()
        if present[b] == 0 or max(abs(x), abs(y)) > 1:
            continue
        aim, total = {}, 0.0
        for row, column in itertools.product(range(side), repeat=2):
            middle_x, middle_y = (2 * column + 1) / side - 1, (2 * row + 1) / side - 1
            cells = math.hypot(middle_x - x, middle_y - y) * side / 2
            aim[row, column] = math.exp(-0.5 * (cells / MAP_SPREAD) ** 2)
            total += aim[row, column]
        shares = maps[b, q].double().exp() / maps[b, q].double().exp().sum()
        found.append(-sum(v / total * math.log(shares[cell]) for cell, v in aim.items()))
    return sum(found) / len(found)


def test_the_loss_of_maps_is_that_of_the_plain_loop():
    draw = torch.Generator().manual_seed(4)
    maps = torch.randn(3, 2, 6, 6, generator=draw)
    points = torch.rand(3, 2, 2, generator=draw) * 2.4 - 1.2
    present = torch.tensor([1.0, 0.0, 1.0])
    expected = map_loss_naive(maps, points, present)
    assert float(map_loss(maps, points, present)) == pytest.approx(expected, rel=1e-4)


def test_little_of_the_poses_gradient_reaches_the_features():
    torch.manual_seed(0)
    network = AnimalNetwork(NetworkSpec(input_px=32, channels=16, hidden=16))
    outputs = network(torch.rand(2, 3, 32, 32))
    kernel = network.maps.weight
    of_pose = torch.autograd.grad(outputs.betas_BK.sum(), kernel, retain_graph=True)[0]
    of_points = torch.autograd.grad(outputs.points_BQ2.sum(), kernel)[0]
    assert 0 < of_pose.norm() < of_points.norm()
