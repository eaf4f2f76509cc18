"""The losses of wild-clip against loops, and one step of its training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from lerf_wild.language import wild_clip_losses as losses
from lerf_wild.language import wild_clip_training as training
from lerf_wild.language.wild_clip import build_wild_clip
from lerf_wild.synth.terrain import FIRST_INSTANCE_ID
from lerf_wild.synth.wild_clip_views import ViewShard, save_shard


def unit(rows, generator, dim=8):
    return functional.normalize(torch.randn(rows, dim, generator=generator), dim=-1)


def slow_relevancy_loss(image, text, canonical, target):
    positive, negative, hard = 0.0, 0.0, 0.0
    for crop in range(len(image)):
        hardest = max(float(image[crop] @ c) for c in canonical)
        for phrase in range(len(text)):
            score = 1 / (1 + math.exp(-10 * (float(image[crop] @ text[phrase]) - hardest)))
            true = float(target[crop, phrase])
            entropy = -true * math.log(score) - (1 - true) * math.log(1 - score)
            weight = (1 - true) * (abs(score - true) + 0.05)
            positive += entropy * true
            negative += entropy * weight
            hard += weight
    return positive / max(float(target.sum()), 1.0) + negative / max(hard, 1.0)


def test_relevancy_loss_equals_the_loop():
    generator = torch.Generator().manual_seed(0)
    image, text, canonical = (unit(n, generator) for n in (5, 7, 3))
    target = torch.rand(5, 7, generator=generator).round(decimals=1)
    fast = losses.relevancy_loss(image, text, canonical, target)
    assert float(fast) == pytest.approx(
        slow_relevancy_loss(image, text, canonical, target), rel=1e-4
    )


def test_softmax_loss_leaves_out_crops_of_nothing_known():
    generator = torch.Generator().manual_seed(1)
    image, text = unit(4, generator), unit(6, generator)
    target = torch.zeros(4, 6)
    assert float(losses.softmax_loss(image, text, target)) == 0.0
    target[0, 2] = 1.0
    alone = -torch.log_softmax(losses.SOFTMAX_TEMPERATURE * image[0] @ text.T, dim=0)[2]
    assert float(losses.softmax_loss(image, text, target)) == pytest.approx(float(alone), rel=1e-5)


def test_tower_pools_as_open_clip_does():
    parts = build_wild_clip(0)
    visual = parts.model.visual.eval()
    tower = losses.TrainingTower(visual, visual.layer4[0].conv1.in_channels, 128).eval()
    side = visual.image_size if isinstance(visual.image_size, int) else visual.image_size[0]
    image = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, late, early = tower(image)
        torch.testing.assert_close(whole, visual(image))
    assert late.shape == (2, 9, 128)
    assert early.shape == (2, 36, 128)


def test_weights_of_smaller_images_fit():
    model = build_wild_clip(0).model
    name = "visual.attnpool.positional_embedding"
    weights = dict(model.state_dict())
    grid = weights[name][1:].T.reshape(-1, 3, 3)[:, ::2, ::2]
    smaller = torch.cat([weights[name][:1], grid.flatten(1).T])
    found = training.fitted(weights | {name: smaller}, model)
    assert found[name].shape == weights[name].shape
    # The corners of the places stay where they are.
    torch.testing.assert_close(found[name][[0, 1, 3, 7, 9]], weights[name][[0, 1, 3, 7, 9]])


def test_training_writes_a_model_that_loads(tmp_path):
    rng = np.random.default_rng(0)
    shard = ViewShard(
        rng.integers(0, 255, (2, 48, 48, 3)).astype(np.uint8),
        np.full((2, 48, 48), FIRST_INSTANCE_ID, np.uint8),
        {FIRST_INSTANCE_ID: ("red fox", "fox")},
    )
    save_shard(tmp_path / "views_00000.safetensors", shard)
    folder = tmp_path / "model"
    training.main(tmp_path, folder, steps=2, minutes=5, batch=16, threads=1, text_steps=2)
    again = tmp_path / "again"
    training.main(
        tmp_path, again, steps=1, minutes=5, batch=16, threads=1, text_steps=2, start_from=folder
    )
    assert sorted(p.name for p in again.iterdir()) == sorted(p.name for p in folder.iterdir())
