"""Corrections and second looks: points, mirrors and skins agree with the body's own mathematics,
and what is new begins by changing nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import roma
import torch

from lerf_wild.animals import schema
from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.animals.metrics import procrustes_error
from lerf_wild.inverse.animal_bodies import POINTS, PointBody, body_part, joint_body
from lerf_wild.inverse.animal_corrections import CARRIED, NEAR, Evidence, look
from lerf_wild.inverse.animal_crops import Crops
from lerf_wild.inverse.animal_losses import EARLIER, answers_losses, skin_errors
from lerf_wild.inverse.animal_network import AnimalNetwork, AnimalOutputs, NetworkSpec
from lerf_wild.inverse.animal_samples import (
    collect,
    faces_right,
    make_batch,
    mirrored,
    plain_batch,
)
from lerf_wild.inverse.animal_training import AnimalTrainer, TrainingSpec, begin_with
from lerf_wild.inverse.animal_views import (
    GLANCES,
    answers_at,
    as_seen_in,
    look_facing_left,
    mean_answer,
    mirrored_answer,
    spread,
)
from lerf_wild.inverse.animal_weights import load_network, save_network
from lerf_wild.synth.genzoo import GenzooJob, make_samples

torch.set_num_threads(1)

TINY = NetworkSpec(input_px=64, channels=16, carried=4, hidden=32)
KEYPOINTS = len(schema.KEYPOINT_NAMES)


def drawn(count: int, seed: int = 0):
    """Shapes, poses and places of some animals before a camera."""
    generator = torch.Generator().manual_seed(seed)
    betas = 0.6 * torch.randn(count, 41, generator=generator)
    rotations = roma.rotvec_to_rotmat(0.3 * torch.randn(count, 35, 3, generator=generator))
    rotations[:, 0] = roma.random_rotmat(count, generator=generator)
    root = torch.tensor([0.1, -0.2, 5.0]) + 0.2 * torch.randn(count, 3, generator=generator)
    return betas, rotations, root


def told(batch) -> AnimalOutputs:
    return AnimalOutputs(
        batch.rotations_BJ33, batch.betas_BK, batch.camera_B4, batch.points_BQ2, batch.present_B
    )


def samples(count: int = 4):
    job = GenzooJob(seed=9, size=64, signals=False)
    body = joint_body(load_quadruped().model)
    return collect((s for number in range(count) for s in make_samples(job, number)), body)


def test_points_are_nearly_those_of_the_whole_body():
    model, (betas, rotations, root) = load_quadruped().model, drawn(5)
    points = PointBody(model, 41)(betas, rotations, root)
    shift = root - joint_body(model).pivot(betas)
    posed = model.pose(betas, rotations, shift)
    assert torch.allclose(points[:, KEYPOINTS:], posed.joints, atol=1e-5)
    # Keypoints move with the mean of their vertices' joints, which is all but the same.
    assert (points[:, :KEYPOINTS] - posed.keypoints).norm(dim=-1).max() < 0.02


def test_a_part_of_the_skin_is_where_it_is_on_the_whole_body():
    model, (betas, rotations, _) = load_quadruped().model, drawn(3)
    joints, some = body_part(model, 50).placed(betas, rotations)
    posed = model.pose(betas, rotations)
    assert torch.allclose(some, posed.vertices[:, ::50], atol=1e-5)
    assert torch.allclose(joints, posed.joints, atol=1e-5)


def test_errors_of_the_skin_are_those_of_procrustes():
    generator = torch.Generator().manual_seed(2)
    true = torch.randn(4, 30, 3, generator=generator)
    turn = roma.random_rotmat(4, generator=generator)
    moved = 1.7 * true @ turn + 3.0
    assert skin_errors(moved, true).max() < 1e-4
    noisy = moved + 0.2 * torch.randn(4, 30, 3, generator=generator)
    assert torch.allclose(1000 * skin_errors(noisy, true).mean(1), procrustes_error(noisy, true))


def test_what_a_correction_is_told_does_not_depend_on_the_heading():
    betas, rotations, _ = drawn(1)
    turns = roma.rotvec_to_rotmat(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.3]]))
    points, root = PointBody(load_quadruped().model, 41), torch.tensor([[0.0, 0.0, 6.0]])
    found = []
    for turn in turns:
        turned = rotations.clone()
        turned[:, 0] = turn @ rotations[:, 0]
        where = points(betas, turned, root)
        shown = 2.0 * where[..., :2] / where[..., 2:]
        # The maps see everything a bit nearer to the hips.
        spots = torch.cat([0.9 * shown, torch.zeros(1, POINTS, 1)], -1)
        nothing = torch.zeros(1, POINTS, CARRIED), torch.zeros(1, CARRIED, 4, 4)
        size = torch.tensor([2.0 / 6.0])
        found.append(Evidence(spots, *nothing, where, shown, turned[:, 0], size).own_axes())
    # Rolled about the axis of the view, the animal shows the same side.
    assert torch.allclose(*found, atol=1e-3)
    assert found[0].shape == (1, 2 * POINTS + 1, 3)
    assert 0 < found[0][:, :POINTS].norm(dim=-1).mean() < 1 / NEAR


def test_corrections_begin_by_changing_nothing():
    torch.manual_seed(0)
    network = AnimalNetwork(TINY, load_quadruped().model).eval()
    answers = network.answers(torch.rand(2, 3, 64, 64))
    assert len(answers) == 1 + TINY.rounds
    assert torch.equal(answers[0].rotations_BJ33, answers[-1].rotations_BJ33)
    assert answers[0].maps_BQGG.shape[-1] == 8 and answers[-1].maps_BQGG.shape[-1] == 16
    assert answers[1].maps_BQGG is None
    # The finer maps begin as the usual ones, so that they see points in the same places.
    assert (answers[0].points_BQ2 - answers[-1].points_BQ2).abs().max() < 0.05


def test_all_answers_are_learnt_from_and_the_last_one_most():
    model, found = load_quadruped().model, samples(2)
    part = body_part(model, 40)
    batch = plain_batch(found, part.body, 64)
    wrong = told(batch)._replace(betas_BK=batch.betas_BK + 1.0)
    one = answers_losses([wrong], batch, part)["shape"]
    assert one > 1.0
    first = answers_losses([wrong, told(batch)], batch, part)["shape"]
    last = answers_losses([told(batch), wrong], batch, part)["shape"]
    assert torch.allclose(first, EARLIER * one) and torch.allclose(last, one)


def test_maps_are_looked_at_where_they_are_high():
    maps = torch.full((1, 2, 8, 8), -20.0)
    maps[0, 0, 2, 5] = maps[0, 1, 7, 0] = 20.0
    carried = torch.arange(64.0).view(1, 1, 8, 8)
    spots, gathered = look(maps, carried)
    expected = torch.tensor([[[0.375, -0.375], [-0.875, 0.875]]])
    assert torch.allclose(spots[..., :2], expected, atol=1e-4)
    assert spots[..., 2].max() < 1e-4
    assert torch.allclose(gathered[0, :, 0], torch.tensor([21.0, 56.0]), atol=1e-3)


def test_answers_about_mirror_images_are_those_about_mirrored_samples():
    found, body = samples(), joint_body(load_quadruped().model)
    turned = mirrored(found, torch.ones(len(found)).bool())
    back = mirrored_answer(told(plain_batch(turned, body, 64)))
    for one, other in zip(back[:5], told(plain_batch(found, body, 64))[:5], strict=True):
        assert torch.allclose(one, other, atol=2e-3)


def test_animals_that_face_right_are_looked_at_in_a_mirror():
    found, body = samples(), joint_body(load_quadruped().model)
    truth = told(plain_batch(found, body, 64))
    right = faces_right(truth.rotations_BJ33)
    seen = []

    class Counting(torch.nn.Module):
        def forward(self, crops):
            seen.append(crops)
            if len(crops) == len(found) and len(seen) == 1:
                return truth
            return AnimalOutputs(*(part[right] for part in truth[:5]))

    crops = torch.rand(len(found), 3, 64, 64, generator=torch.Generator().manual_seed(0))
    answer = look_facing_left(Counting(), crops)
    if right.any():
        assert torch.equal(seen[1], crops[right].flip(-1))
    assert not faces_right(answer.rotations_BJ33)[right].any()
    assert torch.equal(answer.betas_BK, truth.betas_BK)


def test_answers_about_other_crops_are_those_about_these():
    found, body = samples(), joint_body(load_quadruped().model)
    where = plain_batch(found, body, 64).where
    other = Crops(where.middle_B2 + 0.05, 1.1 * where.half_B, where.roll_B + 0.3)
    batch = make_batch(found, other, body, 64, torch.ones(len(found)))
    moved = as_seen_in(where, told(batch), other)
    for one, two in zip(moved[:5], told(plain_batch(found, body, 64))[:5], strict=True):
        assert torch.allclose(one, two, atol=1e-3)


def test_one_glance_is_a_look_at_the_crop_itself():
    torch.manual_seed(0)
    network = AnimalNetwork(TINY, load_quadruped().model).eval()
    found, body = samples(2), joint_body(load_quadruped().model)
    batch, pictures = plain_batch(found, body, 64), found.pictures_N3SS / 255.0
    plain = look_facing_left(network, batch.crops_B3SS)
    (once,) = answers_at(network, pictures, batch.where, GLANCES[:1])
    often = mean_answer(answers_at(network, pictures, batch.where))
    for one, two in zip(plain[:5], once[:5], strict=True):
        assert torch.allclose(one, two, atol=1e-3)
    product = often.rotations_BJ33 @ often.rotations_BJ33.transpose(-1, -2)
    assert torch.allclose(product, torch.eye(3).expand_as(product), atol=1e-4)


def test_the_spread_is_the_mean_error_between_all_pairs_of_answers():
    model = load_quadruped().model
    one = told(plain_batch(samples(2), joint_body(model), 64))
    other = one._replace(rotations_BJ33=one.rotations_BJ33.flip(0))
    assert float(spread(model, [one]).max()) == 0.0
    assert float(spread(model, [one, one]).max()) < 1e-2
    joints = [model.pose(a.betas_BK, a.rotations_BJ33).joints for a in (one, other)]
    apart = [procrustes_error(*joints), procrustes_error(*joints[::-1])]
    found = spread(model, [one, one, other])
    assert torch.allclose(found, 2.0 * apart[0] / 3.0, atol=1e-2) and (found > 1.0).all()


def test_weights_without_corrections_are_read_and_begun_with(tmp_path):
    model = load_quadruped().model
    torch.manual_seed(1)
    earlier = AnimalNetwork(replace(TINY, rounds=0), model).eval()
    save_network(tmp_path / "w.safetensors", earlier, {"body": model.sha256})
    found, _ = load_network(tmp_path / "w.safetensors")
    trainer = AnimalTrainer(TrainingSpec(batch_size=2, low_precision=False), TINY)
    begin_with(trainer, found)
    crops = torch.rand(2, 3, 64, 64)
    one, other = found(crops), trainer.average(crops)
    assert np.allclose(one.rotations_BJ33.detach(), other.rotations_BJ33.detach(), atol=1e-4)
    assert trainer.network.points.rest_Q3.abs().sum() > 0
