import numpy as np
import pytest
import torch

from lerf_wild.inverse.reference_mlp import (
    ReferenceMlp,
    mlp_losses,
    mlp_metrics,
    mlp_scenes,
    train_mlp,
)
from lerf_wild.render.primitives import render_orthographic
from lerf_wild.synth.primitives import reference_scenes


def data(count):
    scenes, angles = reference_scenes(count, 0)
    return render_orthographic(scenes), scenes, angles


def test_initial_weights_are_drawn_in_the_reference_s_order():
    model, rng = ReferenceMlp(3), np.random.default_rng(3)
    first = rng.standard_normal((1024, 128)).astype(np.float32) * np.sqrt(2 / 1024)
    assert np.allclose(model.layers[0].weight.detach().numpy(), first.T)
    assert model(torch.zeros(2, 64, 64)).shape == (2, 3, 10)


def test_loss_ignores_angles_of_spheres_and_empty_slots():
    images, scenes, angles = data(40)
    outputs = ReferenceMlp()(images)
    changed = angles + torch.where((scenes.kinds_BK < 1)[..., None], 5.0, 0.0)
    assert torch.equal(mlp_losses(outputs, scenes, angles), mlp_losses(outputs, scenes, changed))


def test_training_learns_and_keeps_the_best_epoch():
    images, scenes, angles = data(120)
    model, losses = train_mlp(images, scenes, angles, epochs=4)
    assert min(losses) < losses[0]
    figures = mlp_metrics(model, images, scenes, angles)
    assert 0.4 < figures["presence_accuracy"] <= 1
    assert mlp_scenes(model, images).kinds_BK.shape == (120, 3)


@pytest.mark.slow
def test_reproduces_the_reference_s_figures():
    """The reference reports 81.2 %, 51.7 % and 0.179, 0.246, 0.188, best epoch 8."""
    images, scenes, angles = data(3_500)
    model, losses = train_mlp(images[:3000], scenes[:3000], angles[:3000])
    figures = mlp_metrics(model, images[3000:], scenes[3000:], angles[3000:])
    assert losses.index(min(losses)) == 8
    assert figures["count_exact"] == pytest.approx(0.812, abs=0.02)
    assert figures["type_accuracy"] == pytest.approx(0.517, abs=0.02)
    assert figures["x_mae"] == pytest.approx(0.179, abs=0.01)
    assert figures["z_mae"] == pytest.approx(0.188, abs=0.01)
