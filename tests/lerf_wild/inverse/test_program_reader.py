"""The small reader: its targets, its geometry, its decoder, its training."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lerf_wild.inverse.program_crops import (
    CROP,
    YAW_BINS,
    Looks,
    box_geometry,
    cut_crops,
    prototype_loss,
    seen_sides,
    square_boxes,
)
from lerf_wild.inverse.program_data import asset_names, labelled_templates
from lerf_wild.inverse.program_decoder import (
    DecoderSpec,
    DigitHead,
    ProgramDecoder,
    as_fed_back,
    digits_of,
)
from lerf_wild.inverse.program_detector import STRIDE, boxes_from_map
from lerf_wild.inverse.program_numbers import permuted_ids
from lerf_wild.inverse.program_reader import (
    ProgramReader,
    horizon_row,
    number_targets,
    places,
)
from lerf_wild.inverse.program_samples import SETTING_COUNT, scaled_settings, unscaled_settings
from lerf_wild.inverse.program_training import (
    ReaderTrainer,
    ReaderTraining,
    augmented,
    endless,
    mirrored,
    rows_of_step,
    schedule,
    train,
)
from lerf_wild.inverse.program_weights_training import BASELINES, begin_prototypes, take_over
from lerf_wild.program.frames import seen_yaw, to_level

torch.set_num_threads(1)


def test_numbers_and_boxes_give_positions_and_heights_back(samples, batch):
    horizon = horizon_row(batch.settings_NS, batch.focal_N, 256)
    boxes = batch.boxes_NK4 + 1.5
    numbers = number_targets(batch, boxes, horizon)
    loc, height, pixels = places(numbers, boxes, horizon, batch.focal_N, 256)
    for i, sample in enumerate(samples):
        for j, item in enumerate(sample.program.objects):
            np.testing.assert_allclose(loc[i, j], item.loc_m, rtol=1e-3, atol=1e-3)
            assert float(height[i, j]) == pytest.approx(item.height_m, rel=1e-3)
            assert float(pixels[i, j]) == pytest.approx(item.pixels, rel=1e-3)


def test_the_horizon_is_where_level_rays_are_seen(samples, batch):
    rows = horizon_row(batch.settings_NS, batch.focal_N, 256)
    for sample, row, focal in zip(samples, rows, batch.focal_N):
        ray = np.array([0.0, -(float(row) - 128) / float(focal), -1.0])
        level = to_level(ray, sample.program.settings.camera_pitch_deg)
        assert level[2] == pytest.approx(0.0, abs=1e-4)


def test_boxes_of_an_empty_map_are_one_cell_at_each_middle():
    boxes = boxes_from_map(torch.zeros(1, 4, 2, 3))
    np.testing.assert_allclose(boxes[0, 4], [STRIDE, STRIDE, 2 * STRIDE, 2 * STRIDE])


def test_mirroring_is_what_a_mirrored_scene_would_say(samples, batch):
    both = mirrored(mirrored(batch))
    for name in ("boxes_NK4", "foot_NK2", "settings_NS"):
        torch.testing.assert_close(getattr(both, name), getattr(batch, name))
    turn = (both.yaw_NK - batch.yaw_NK) / (2 * math.pi)
    torch.testing.assert_close(turn, turn.round(), atol=1e-5, rtol=0)
    item, pitch = samples[0].program.objects[0], samples[0].program.settings.camera_pitch_deg
    x, y, z = item.loc_m
    nose = item.rotation_33[:, 0]
    flipped = math.atan2(*(to_level([-nose[0], nose[1], nose[2]], pitch)[[1, 0]]))
    expected = seen_yaw(flipped, (-x, y, z), pitch)
    got = float(mirrored(batch).yaw_NK[0, 0])
    assert math.cos(got - expected) == pytest.approx(1.0, abs=1e-4)


def test_settings_come_back_from_their_scaled_form(samples):
    settings = samples[0].program.settings
    values = scaled_settings(settings)
    assert values.shape == (SETTING_COUNT,)
    again = unscaled_settings(values, 40.0, settings.ground_name)
    for name in ("camera_pitch_deg", "sun_rotation_deg", "camera_height_m", "dust", "air"):
        assert getattr(again, name) == pytest.approx(getattr(settings, name), rel=1e-6)


def test_crops_are_the_boxes_at_one_size():
    picture = torch.zeros(1, 3, 64, 64)
    picture[:, :, 20:40, 10:30] = 1.0
    crop = cut_crops(picture, torch.tensor([0]), torch.tensor([[10.0, 20.0, 30.0, 40.0]]))
    assert crop.shape == (1, 3, CROP, CROP)
    assert float(crop[0, 0].mean()) == pytest.approx(1 / 1.25**2, abs=0.03)
    square = square_boxes(torch.tensor([[0.0, 0.0, 10.0, 20.0]]))
    np.testing.assert_allclose(square, [[-7.5, -2.5, 17.5, 22.5]])


def test_facing_averages_both_ways_and_lies_between_its_bins():
    class Knowing(torch.nn.Module):
        """Says bin 2, 45 degrees, of crops that are bright at the left; else bin 6, 135."""

        def forward(self, crops):
            left = crops[:, 0, 0, 0] > crops[:, 0, 0, -1]
            bins = torch.where(left, 2, 6)
            logits = 50.0 * torch.nn.functional.one_hot(bins, YAW_BINS).float()
            return Looks(crops.flatten(1), crops.flatten(1), logits)

    crops = torch.linspace(1.0, 0.0, 8).expand(2, 3, 8, 8).clone()
    crops[1] = crops[1].flip(-1)
    told = seen_sides(Knowing(), crops, 24).facing_NY
    # A mirrored 135 is 45, so that both looks agree; 24 directions are 15 degrees apart.
    assert told.argmax(dim=1).tolist() == [3, 9]
    for row, peak in zip(told, (2, 6)):
        for side, value in enumerate(row):
            place = side * YAW_BINS / 24
            low, share = int(place), place - int(place)
            logs = [math.log((k % YAW_BINS == peak) + 1e-3) for k in (low, low + 1)]
            assert float(value) == pytest.approx((1 - share) * logs[0] + share * logs[1], abs=1e-3)
    assert seen_sides(Knowing(), crops[:0], 24).facing_NY.shape == (0, 24)


def test_box_geometry_tells_which_border_is_touched():
    boxes = torch.tensor([[0.0, 30.0, 20.0, 60.0], [40.0, 100.0, 90.0, 256.0]])
    told = box_geometry(boxes, torch.tensor([10.0, 10.0]), torch.tensor([300.0, 300.0]), 256)
    np.testing.assert_array_equal(told[:, 5:], [[1, 0, 0, 0], [0, 0, 0, 1]])
    assert float(told[0, 4]) == pytest.approx(math.log(50 / 300))


@pytest.mark.parametrize("feedback", [True, False])
def test_decoding_step_by_step_equals_a_pass_with_its_own_values(feedback):
    torch.manual_seed(1)
    decoder = ProgramDecoder(DecoderSpec(width=32, feedback=feedback)).eval()
    tokens, embedding = torch.randn(2, 4, 32), torch.randn(2, 4, 128)
    stepwise = decoder.decode(tokens, embedding)
    at_once = decoder(tokens, embedding, as_fed_back(stepwise))
    for a, b in zip(stepwise, at_once):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    other = decoder(tokens, embedding, as_fed_back(stepwise) + 1.0)
    assert torch.allclose(other.kind_BK6, at_once.kind_BK6, atol=1e-4) != feedback


def test_later_objects_do_not_change_earlier_ones():
    torch.manual_seed(1)
    decoder = ProgramDecoder(DecoderSpec(width=32)).eval()
    tokens, embedding = torch.randn(1, 4, 32), torch.randn(1, 4, 128)
    short = decoder.decode(tokens[:, :2], embedding[:, :2])
    long = decoder.decode(tokens, embedding)
    torch.testing.assert_close(short.numbers_BK5, long.numbers_BK5[:, :2], atol=1e-5, rtol=1e-4)


def test_digits_are_decimal_and_read_one_after_the_other():
    numbers = torch.tensor([0, 7, 12345, 99999])
    digits = digits_of(numbers)
    assert digits.tolist()[2] == [1, 2, 3, 4, 5]
    head = DigitHead(4)
    state = torch.randn(3, 4)
    decoded = head.decode(state)
    logits = head(state, digits_of(decoded))
    torch.testing.assert_close(digits_of(decoded), logits.argmax(dim=-1))


def test_permuted_ids_tell_every_asset_and_yaw_apart(batch):
    assets = 5
    many = replace(
        batch.rows(torch.zeros(1, dtype=torch.long)),
        asset_NK=torch.arange(assets)[:, None].expand(-1, 72),
        yaw_NK=torch.deg2rad(5.0 * torch.arange(72)).expand(assets, -1),
    )
    assert len(permuted_ids(many, assets).unique()) == assets * 72


@pytest.mark.parametrize("orthogonal", [False, True])
def test_training_lowers_the_loss_and_follows_with_its_average(samples, batch, orthogonal):
    torch.manual_seed(0)
    names = asset_names(samples)
    model = ProgramReader(assets=len(names))
    shown = labelled_templates(names, each=1)
    spec = ReaderTraining(steps=5, warmup=1, low_precision=False, orthogonal=orthogonal)
    trainer = ReaderTrainer(model, shown, spec)
    rates = {group["share"] for group in trainer.optimiser.param_groups}
    assert rates == {1.0, spec.trunk_share}
    held = [p for group in trainer.optimiser.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters()}
    before, seen = trainer.average.decoder.token.weight.clone(), []
    average = train(trainer, endless(batch, 2, 0), report=lambda i, parts: seen.append(parts))
    assert sum(seen[-1].values()) < sum(seen[0].values())
    assert not torch.equal(before, average.decoder.token.weight)
    assert {"centres", "boxes", "settings", "ground", "looks", "yaw", "appearance"} <= set(seen[0])
    # Every other batch is of another size, which no setting is learned from.
    assert "centres" in seen[1] and "settings" not in seen[1]


def test_steps_go_through_all_samples_once_an_epoch():
    rows = [rows_of_step(7, 2, 3, step) for step in range(6)]
    for epoch in (rows[:3], rows[3:]):
        assert len(torch.cat(epoch).unique()) == 6
    assert not torch.equal(torch.cat(rows[:3]), torch.cat(rows[3:]))
    assert torch.equal(rows[4], rows_of_step(7, 2, 3, 4))
    assert sorted(rows_of_step(2, 8, 0, 5).tolist()) == [0, 1]


def test_assets_without_a_prototype_do_not_count():
    torch.manual_seed(0)
    seen, prototypes = torch.randn(3, 4), torch.randn(5, 4)
    alone = prototype_loss(seen[:1], torch.tensor([2]), prototypes)
    torch.testing.assert_close(prototype_loss(seen, torch.tensor([2, -1, -1]), prototypes), alone)
    assert float(prototype_loss(seen, torch.tensor([-1, -1, -1]), prototypes)) == 0.0


def test_prototypes_begin_where_the_crop_network_sees_their_assets(samples):
    torch.manual_seed(0)
    names = asset_names(samples)[:2]
    model, shown = ProgramReader(assets=3).eval(), labelled_templates(names, each=2)
    last = model.prototypes[2].detach().clone()
    begin_prototypes(model, shown)
    with torch.no_grad():
        seen = model.crops(shown.crops_N3SS.float() / 255.0).embedding_NA
    for i in range(2):
        mean = seen[shown.asset_N == i].mean(dim=0)
        own = model.prototypes[i].detach()
        alike = torch.nn.functional.cosine_similarity(mean, own, dim=0)
        assert float(alike) == pytest.approx(1.0, abs=1e-4)
    torch.testing.assert_close(model.prototypes[2].detach(), last)


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_a_baseline_begins_with_all_of_another_reader_that_fits_it(name):
    torch.manual_seed(0)
    other, model = ProgramReader(assets=3), ProgramReader(BASELINES[name], assets=2)
    prototypes = model.prototypes.detach().clone()
    take_over(model, other)
    for own, theirs in zip(model.crops.parameters(), other.crops.parameters(), strict=True):
        torch.testing.assert_close(own, theirs)
    torch.testing.assert_close(model.prototypes.detach(), prototypes)


def test_a_step_whose_gradient_is_not_finite_changes_nothing(samples, batch):
    names = asset_names(samples)
    model = ProgramReader(assets=len(names))
    spec = ReaderTraining(steps=2, warmup=1, low_precision=False, part="objects")
    trainer = ReaderTrainer(model, labelled_templates(names[:1], each=1), spec)
    model.prototypes.register_hook(lambda gradient: gradient * math.nan)
    before = [p.detach().clone() for p in model.parameters()]
    trainer.step(1, batch.rows(torch.tensor([0, 1])), 0.0)
    for own, old in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(own.detach(), old)


def test_augmented_pictures_keep_their_shapes(batch):
    changed = augmented(batch, torch.Generator().manual_seed(3))
    assert changed.rgb_N3HW.dtype == torch.uint8
    for name in ("rgb_N3HW", "boxes_NK4", "yaw_NK", "settings_NS"):
        assert getattr(changed, name).shape == getattr(batch, name).shape


def test_the_rate_rises_then_falls_to_nothing():
    rates = [schedule(i, 10, i / 100) for i in range(101)]
    assert rates[0] < rates[9] and max(rates) <= 1.0 and rates[-1] == pytest.approx(0.0)
