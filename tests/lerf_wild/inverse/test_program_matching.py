"""Matching templates all at once is laying each over the crop's background and correlating."""

import math

import numpy as np
import pytest
import torch

from lerf_wild.assets.scene_assets import load_individual
from lerf_wild.inverse.program_matching import (
    SIDE,
    TemplateBank,
    background,
    best_yaw,
    make_bank,
    match_boxes,
)
from lerf_wild.inverse.program_templates import template_pictures


def test_scores_are_the_correlation_of_pasted_pictures():
    generator = torch.Generator().manual_seed(0)
    rgb = torch.randint(0, 256, (2, 3, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    mask = torch.randint(0, 256, (2, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    crops = torch.rand(4, 3, SIDE, SIDE, generator=generator)
    scores = TemplateBank(rgb, mask).scores(crops)
    for n in range(4):
        behind = background(crops[n : n + 1])[0]
        for m in range(2):
            for y in range(3):
                share = mask[m, y].float() / 255
                pasted = share * rgb[m, y].float() / 255 + (1 - share) * behind
                naive = np.corrcoef(crops[n].flatten(), pasted.flatten())[0, 1]
                assert float(scores[n, m, y]) == pytest.approx(naive, abs=1e-3)


def test_an_asset_is_found_in_a_picture_of_its_own_and_so_is_its_side():
    names = ("mallard.1", "grey rock.0", "cactus.0")
    yaws = np.arange(12) * (2 * np.pi / 12)
    shown = [template_pictures(load_individual(name), yaws) for name in names]
    bank = make_bank(torch.stack([a for a, _ in shown]), torch.stack([b for _, b in shown]))
    seen, _ = template_pictures(load_individual("mallard.1"), np.array([1.1]), seed=4)
    box = torch.tensor([[6.0, 6.0, 58.0, 58.0]])
    scores = match_boxes(bank, seen, torch.tensor([0]), box)[0]
    assert int(scores.amax(dim=1).argmax()) == 0
    assert abs(math.remainder(best_yaw(scores[0]) - 1.1, 2 * math.pi)) < math.radians(15)


def test_the_yaw_between_two_templates_is_found():
    yaws = torch.arange(24) * (2 * math.pi / 24)
    for true in (0.0, 0.1, 3.0, 6.2):
        assert math.remainder(
            best_yaw(torch.cos(yaws - true)) - true, 2 * math.pi
        ) == pytest.approx(0.0, abs=0.01)
