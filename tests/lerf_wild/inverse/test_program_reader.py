"""The small reader: its targets, its geometry, its figures, its files."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lerf_wild.assets.scene_assets import load_individual
from lerf_wild.errors import ModelFileError
from lerf_wild.inverse.program_crops import CROP, box_geometry, cut_crops, square_boxes
from lerf_wild.inverse.program_data import asset_names, labelled_templates
from lerf_wild.inverse.program_decoder import (
    DecoderSpec,
    DigitHead,
    ProgramDecoder,
    as_fed_back,
    digits_of,
)
from lerf_wild.inverse.program_detector import (
    STRIDE,
    Found,
    box_targets,
    boxes_from_map,
    centre_targets,
    ground_embeddings,
)
from lerf_wild.inverse.program_evaluation import compared, figures, matched, reparsed
from lerf_wild.inverse.program_inference import detections, read_pictures, upright
from lerf_wild.inverse.program_matching import TemplateBank
from lerf_wild.inverse.program_reader import (
    ProgramReader,
    horizon_row,
    number_targets,
    permuted_ids,
    places,
)
from lerf_wild.inverse.program_refine import parameters, placed, refine, separated
from lerf_wild.inverse.program_samples import (
    SETTING_COUNT,
    Sample,
    make_batch,
    scaled_settings,
    unscaled_settings,
)
from lerf_wild.inverse.program_scenes import describe, write_reconstruction
from lerf_wild.inverse.program_templates import (
    LOOK_WEIGHT,
    Templates,
    make_templates,
    network_embed,
)
from lerf_wild.inverse.program_training import (
    ReaderTrainer,
    ReaderTraining,
    augmented,
    endless,
    mirrored,
    schedule,
    train,
)
from lerf_wild.inverse.program_use import rescaled
from lerf_wild.inverse.program_weights import (
    load_reader,
    load_templates,
    save_reader,
    save_templates,
)
from lerf_wild.program.frames import seen_yaw, to_level, yaw_of
from lerf_wild.program.types import Program, SceneObject, Settings
from lerf_wild.render.scene_program import asset_named, level_camera, render_program
from lerf_wild.synth.raw_programs import program_of
from lerf_wild.synth.raw_scenes import SceneSpec, draw_scene, shoot

torch.set_num_threads(1)
NAMES = ("grey rock.0", "cactus.0", "mallard.1", "egret.0")
SPEC = SceneSpec(objects=(3, 4))


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(7)
    shots = shoot(draw_scene(rng, NAMES, SPEC), rng, SPEC, 3)
    return [
        Sample(shot.picture.rgb, program_of(shot), tuple(look.box_4 for look in shot.seen))
        for shot in shots
    ]


@pytest.fixture(scope="module")
def batch(samples):
    return make_batch(samples, asset_names(samples))


@pytest.fixture(scope="module")
def reader(samples):
    torch.manual_seed(0)
    return ProgramReader(assets=len(asset_names(samples))).eval()


@pytest.fixture(scope="module")
def templates(reader):
    return make_templates([load_individual(n) for n in NAMES], network_embed(reader.crops), 4)


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


def test_true_maps_are_read_as_the_true_boxes(batch):
    heat, cell = centre_targets(batch)
    box = torch.zeros(len(heat), 4, *heat.shape[-2:])
    goals = box_targets(batch, cell)
    for i, k in batch.there_NK.nonzero().tolist():
        box[i].view(4, -1)[:, cell[i, k]] = goals[i, k]
    logits = torch.logit(heat.clamp(1e-4, 1 - 1e-4))
    found = Found(logits, box, torch.zeros(1), torch.zeros(1))
    boxes, _, there = detections(found, 0.9)
    for i in range(len(heat)):
        true = batch.boxes_NK4[i][batch.there_NK[i]]
        gaps = torch.cdist(boxes[i][there[i]], true).min(dim=0).values
        # Of two objects in one cell, or of nearly equal boxes, one may be lost.
        assert (gaps < 1e-2).sum() >= len(true) - 1


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


def test_training_lowers_the_loss_and_follows_with_its_average(samples, batch):
    torch.manual_seed(0)
    names = asset_names(samples)
    model = ProgramReader(assets=len(names))
    shown = labelled_templates(names, each=1)
    trainer = ReaderTrainer(model, shown, ReaderTraining(steps=5, warmup=1, low_precision=False))
    before, seen = trainer.average.decoder.token.weight.clone(), []
    average = train(trainer, endless(batch, 2, 0), report=lambda i, parts: seen.append(parts))
    assert sum(seen[-1].values()) < sum(seen[0].values())
    assert not torch.equal(before, average.decoder.token.weight)
    assert {"centres", "boxes", "settings", "ground", "looks", "yaw", "appearance"} <= set(seen[0])


def test_augmented_pictures_keep_their_shapes(batch):
    changed = augmented(batch, torch.Generator().manual_seed(3))
    assert changed.rgb_N3HW.dtype == torch.uint8
    for name in ("rgb_N3HW", "boxes_NK4", "yaw_NK", "settings_NS"):
        assert getattr(changed, name).shape == getattr(batch, name).shape


def test_the_rate_rises_then_falls_to_nothing():
    rates = [schedule(i, 10, i / 100) for i in range(101)]
    assert rates[0] < rates[9] and max(rates) <= 1.0 and rates[-1] == pytest.approx(0.0)


def test_what_a_reader_reads_is_a_whole_program(samples, reader, templates, tmp_path):
    rgb = torch.from_numpy(np.stack([np.moveaxis(s.rgb, 2, 0) for s in samples]))
    readings = read_pictures(reader, rgb, templates, ground_embeddings(), threshold=0.015)
    assert any(reading.program.objects for reading in readings)
    for reading in readings:
        assert reparsed(reading.program) == reading.program
        pixels = [item.pixels for item in reading.program.objects]
        assert pixels == sorted(pixels, reverse=True)
        assert len(pixels) == len(reading.boxes_K4) == len(reading.candidates)
        for item, names in zip(reading.program.objects, reading.candidates):
            assert item.asset == names[0] in NAMES
    write_reconstruction(tmp_path / "out", samples[0].rgb, readings[0], size=64)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "scene.txt", "scene.json", "scene.glb", "side_by_side.jpg",
    }  # fmt: skip


def test_the_truth_measures_perfect_and_a_mistake_shows():
    truth = Program(
        Settings(camera_pitch_deg=90.0),
        tuple(
            SceneObject(
                9, (x, -1.6, -8.0), 1.0, upright(0.5, (x, -1.6, -8.0), 90.0), None,
                "bird", asset=f"bird{x:.0f}",
            )
            for x in (-2.0, 2.0)
        ),
    )  # fmt: skip
    names = [[item.asset] for item in truth.objects]
    perfect = figures([truth], [truth], [names])
    assert perfect["count_exact"] == perfect["recall_at_1"] == perfect["class_accuracy"] == 1.0
    assert perfect["yaw_error_deg"] == perfect["lateral_error"] == perfect["height_error"] == 0.0
    moved = replace(truth.objects[0], loc_m=(-1.0, -1.6, -8.0), height_m=1.5, kind="tree")
    turned = replace(
        truth.objects[1], rotation_9=upright(0.5 + math.radians(30), (2.0, -1.6, -8.0), 90.0)
    )
    guess = Program(truth.settings, (turned, moved))
    pairs = compared(truth, guess, names[::-1])
    first = next(pair for pair in pairs if not pair.same_kind)
    assert first.height == pytest.approx(0.5) and first.rank == 0
    assert first.lateral == pytest.approx(8 / (8**2 + 2**2), abs=1e-6)
    assert max(p.yaw_deg for p in pairs) == pytest.approx(30.0, abs=1e-3)
    assert figures([truth], [None], [[]])["parse_rate"] == 0.0
    assert figures([truth], [Program(truth.settings)], [[]])["count_exact"] == 0.0


def test_matching_is_the_cheapest_of_all_pairings():
    from itertools import permutations

    rng = np.random.default_rng(0)
    for _ in range(10):
        sides = [
            [SceneObject(1, tuple(rng.uniform(-5, 5, 3)), 1.0) for _ in range(4)] for _ in range(2)
        ]
        cost = [[np.linalg.norm(np.subtract(a.loc_m, b.loc_m)) for b in sides[1]] for a in sides[0]]
        best = min(sum(cost[i][j] for i, j in enumerate(p)) for p in permutations(range(4)))
        assert sum(cost[i][j] for i, j in matched(*sides)) == pytest.approx(best)


def test_templates_are_ranked_by_their_best_yaw_and_by_kind():
    unit = torch.nn.functional.normalize(torch.randn(3, 4, 8), dim=-1)
    bank = TemplateBank(torch.zeros(3, 4, 3, 24, 24), torch.zeros(3, 4, 24, 24))
    library = Templates(("a", "b", "c"), torch.tensor([0, 0, 1]), unit, bank)
    likeness = torch.zeros(1, 3, 4)
    order, score = library.ranked(unit[2, 3:4], likeness)
    assert order[0, 0] == 2 and float(score[0, 0]) == pytest.approx(LOOK_WEIGHT, abs=1e-5)
    bird = torch.tensor([[0.0, -9.0, -9.0, -9.0, -9.0, -9.0]])
    assert library.ranked(unit[2, 3:4], likeness, bird)[0][0, -1] == 2
    likeness[0, 1, 2] = 2.0
    assert library.ranked(unit[2, 3:4], likeness)[0][0, 0] == 1
    naive = (unit[0] @ unit[2, 3]).max()
    assert float(library.scores(unit[2, 3:4])[0, 0]) == pytest.approx(float(naive), abs=1e-5)
    one = library.fewer(1)
    assert one.embedding_MYA.shape == (3, 1, 8) and one.bank.mask_MYSS.shape[:2] == (3, 1)


def test_weights_and_templates_read_back_and_broken_ones_are_refused(reader, templates, tmp_path):
    save_reader(tmp_path / "r.safetensors", reader, ("a", "b", "c", "d")[: len(reader.prototypes)])
    again, names, threshold = load_reader(tmp_path / "r.safetensors")
    assert len(names) == len(again.prototypes) and 0 < threshold < 1
    torch.testing.assert_close(
        again.decoder.token.weight, reader.decoder.token.weight, atol=1e-3, rtol=1e-2
    )
    save_templates(tmp_path / "t.safetensors", templates)
    assert load_templates(tmp_path / "t.safetensors").names == templates.names
    with pytest.raises(ModelFileError, match="not the weights"):
        load_reader(tmp_path / "t.safetensors")
    with pytest.raises(ModelFileError, match="not the templates"):
        load_templates(tmp_path / "r.safetensors")


def _one_object(yaw: float, column: float = 128.0) -> tuple[Program, np.ndarray]:
    program = Program(
        Settings(camera_pitch_deg=80.0, camera_height_m=1.5),
        (SceneObject(9, (0.0, -1.0, -5.0), 0.9, asset="mallard.1", kind="bird"),),
    )
    camera = level_camera(program, 256, 256)
    item = placed(program.objects[0], np.array([column, 170.0, -0.2, yaw]), program, camera)
    program = replace(program, objects=(item,))
    return program, render_program(program, 256, 256).picture.rgb


def test_parameters_place_an_object_on_the_ground_and_back():
    program, _ = _one_object(0.7)
    camera = level_camera(program, 256, 256)
    p = parameters(program.objects[0], program, camera)
    np.testing.assert_allclose(p, [128.0, 170.0, -0.2, 0.7], atol=1e-6)
    foot = to_level(program.objects[0].loc_m, 80.0)
    assert foot[2] == pytest.approx(-1.5)


def test_refining_turns_and_moves_an_object_to_where_it_is_seen():
    truth, picture = _one_object(0.7)
    wrong, _ = _one_object(0.7 + math.radians(160), 140.0)
    better = refine(wrong, picture)

    def errors(program: Program) -> tuple[float, float]:
        one, two = truth.objects[0], program.objects[0]
        turn = yaw_of(one.rotation_33, 80.0) - yaw_of(two.rotation_33, 80.0)
        return abs(math.remainder(turn, 2 * math.pi)), math.dist(one.loc_m, two.loc_m)

    assert errors(better)[0] < math.radians(20) < errors(wrong)[0]
    assert errors(better)[1] < 0.7 * errors(wrong)[1]


def test_objects_within_each_other_are_moved_apart():
    program, _ = _one_object(0.0)
    near = program.objects[0]
    twin = replace(near, loc_m=tuple(1.01 * x for x in near.loc_m))
    apart = separated([near, twin], program, asset_named)
    assert apart[0] == near
    assert math.dist(apart[1].loc_m, near.loc_m) > math.dist(twin.loc_m, near.loc_m) + 0.2
    ratio = apart[1].height_m / np.linalg.norm(apart[1].loc_m)
    assert ratio == pytest.approx(twin.height_m / np.linalg.norm(twin.loc_m))


def test_a_known_camera_height_scales_everything():
    program, _ = _one_object(0.0)
    double = rescaled(program, 3.0)
    assert double.settings.camera_height_m == 3.0
    np.testing.assert_allclose(double.objects[0].loc_m, 2 * np.array(program.objects[0].loc_m))
    assert double.objects[0].height_m == pytest.approx(2 * program.objects[0].height_m)


def test_descriptions_are_in_metres_and_compass_degrees():
    from lerf_wild.inverse.program_inference import Reading

    program, _ = _one_object(math.pi / 2)
    tree = SceneObject(5, tuple(1.5 * x for x in program.objects[0].loc_m), 3.0, kind="tree")
    both = replace(program, objects=(program.objects[0], tree))
    told = describe(Reading(both, torch.zeros(2, 4), (("mallard.1",), ()), (0.1, 0.0)))
    bird = told["objects"][0]
    foot = to_level(program.objects[0].loc_m, 80.0)
    assert bird["heading_deg"] == pytest.approx(0.0, abs=0.1) or bird["heading_deg"] > 359.9
    assert bird["distance_m"] == pytest.approx(np.hypot(*foot[:2]), abs=1e-3)
    gap = np.linalg.norm(to_level(tree.loc_m, 80.0)[:2] - foot[:2])
    assert bird["nearest_cover_m"] == pytest.approx(gap, abs=1e-3)
    assert bird["nearest_animal_m"] is None and "heading_deg" not in told["objects"][1]
