import pytest
import torch

from lerf_wild.errors import ModelFileError, TrainingError
from lerf_wild.inverse import unsupervised as air
from lerf_wild.inverse.unsupervised_weights import (
    load_unsupervised,
    measure_unsupervised,
    save_unsupervised,
)
from lerf_wild.inverse.weight_files import save_tensors
from lerf_wild.render.primitive_scenes import SCALE


def test_spheres_keep_their_distance_and_counts_are_even():
    images, scenes = air.draw_spheres(2000, torch.Generator().manual_seed(0))
    assert images.shape == (2000, 32, 32)
    share = torch.bincount(scenes.counts_B, minlength=4) / 2000
    assert share.min() > 0.2
    three = scenes.positions_BK3[scenes.counts_B == 3, :, :2]
    gaps = torch.cdist(three, three) + 10 * torch.eye(3)
    assert gaps.min() > air.LEAST_DISTANCE


def test_layer_is_the_rendered_sphere():
    images, scenes = air.draw_spheres(40, torch.Generator().manual_seed(1))
    single = scenes.counts_B == 1
    coverage, intensity = air.sphere_layer(scenes.positions_BK3[single, 0, :2], 1e-5)
    assert (coverage * intensity - images[single]).abs().gt(0.02).float().mean() < 1e-3
    area = coverage.sum((1, 2)).mean() * (3.2 / 31) ** 2
    assert float(area) == pytest.approx(torch.pi * SCALE**2, rel=0.05)


def test_steps_stop_at_the_first_absence():
    torch.manual_seed(0)
    images, _ = air.draw_spheres(64, torch.Generator().manual_seed(2))
    trace = air.attend(air.Attention(), images, 0.1, torch.Generator().manual_seed(3))
    assert (trace.present_TB.diff(dim=0) <= 0).all()
    assert (trace.running_TB[1:] == trace.present_TB[:-1]).all()


def test_reinforce_gradient_agrees_with_enumeration():
    """One step, one image: the mean score gradient against the derivative of the exact bound."""
    images, _ = air.draw_spheres(1, torch.Generator().manual_seed(5))
    spec, spread, count = air.UnsupervisedSpec(pixel_std=3.0), torch.tensor(0.1), 40_000
    logit = torch.tensor(0.3, requires_grad=True)
    error = images.square().sum()

    def bound_if(present):
        return -error / (2 * spec.pixel_std**2) * (1 if present == 0 else 0.4)

    probability = logit.sigmoid()
    exact = probability * (bound_if(1) - probability.log()) + (1 - probability) * (
        bound_if(0) - (1 - probability).log()
    )
    (expected,) = torch.autograd.grad(exact, logit)
    drawn = (torch.rand(count, generator=torch.Generator().manual_seed(6)) < probability).float()
    log_q = -torch.nn.functional.binary_cross_entropy_with_logits(
        logit.expand(count), drawn, reduction="none"
    )
    signal = torch.where(drawn > 0, bound_if(1), bound_if(0)) - log_q.detach()
    (estimate,) = torch.autograd.grad((signal * log_q).mean(), logit)
    assert float(estimate) == pytest.approx(float(expected), abs=0.03)
    assert spread > 0


def test_a_few_steps_raise_the_bound_without_labels():
    def images(count, generator):
        return air.draw_spheres(count, generator)[0]

    bounds = []
    # A coin decides throughout, so that the bounds can be compared.
    spec = air.UnsupervisedSpec(steps=60, batch_size=16, learning_rate=4e-3, coin_share=1.0)
    network = air.train_unsupervised(images, spec, lambda _, bound: bounds.append(bound))
    assert sum(bounds[:10]) < sum(bounds[-10:])
    assert air.count_objects(network, images(8, torch.Generator().manual_seed(0))).shape == (8,)


def test_a_bound_that_is_not_finite_stops_training():
    def images(count, generator):
        return torch.full((count, 32, 32), torch.nan)

    with pytest.raises(TrainingError, match="finite"):
        air.train_unsupervised(images, air.UnsupervisedSpec(steps=2, batch_size=2))


def test_weights_are_kept_and_measured(tmp_path):
    torch.manual_seed(0)
    network = air.Attention()
    save_unsupervised(tmp_path / "u.safetensors", network)
    again = load_unsupervised(tmp_path / "u.safetensors")
    figures = measure_unsupervised(again, 40, 5)
    assert figures["scenes"] == 40 and 0.0 <= figures["count_exact"] <= 1.0
    assert {f"count_exact_of_{n}" for n in range(4)} <= figures.keys()


def test_weights_of_another_network_are_refused(tmp_path):
    save_tensors(tmp_path / "u.safetensors", {"x": torch.zeros(1)}, {})
    with pytest.raises(ModelFileError, match="not the unsupervised network"):
        load_unsupervised(tmp_path / "u.safetensors")
