"""What the small reader says: programs, figures, templates, files, refined and described."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lerf_wild.errors import ModelFileError
from lerf_wild.inverse.program_crops import EMBEDDING, FEATURES
from lerf_wild.inverse.program_detector import ground_embeddings
from lerf_wild.inverse.program_evaluation import compared, figures, matched, reparsed
from lerf_wild.inverse.program_inference import read_pictures, upright
from lerf_wild.inverse.program_matching import TemplateBank
from lerf_wild.inverse.program_refine import parameters, placed, refine, separated
from lerf_wild.inverse.program_scenes import describe, write_reconstruction
from lerf_wild.inverse.program_stamp import Lens, Stamp, make_window
from lerf_wild.inverse.program_templates import (
    CLIP_WEIGHT,
    KIND_WEIGHT,
    LOOK,
    LOOK_WEIGHT,
    WIDTH,
    Templates,
)
from lerf_wild.inverse.program_use import rescaled
from lerf_wild.inverse.program_weights import (
    load_reader,
    load_templates,
    save_reader,
    save_templates,
)
from lerf_wild.program.frames import to_level, yaw_of
from lerf_wild.program.types import Program, SceneObject, Settings
from lerf_wild.render.scene_program import asset_named, render_program
from lerf_wild.render.sky import light_of

torch.set_num_threads(1)


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
            assert item.asset == names[0] in templates.names
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


def test_an_asset_is_as_likely_as_its_best_template_and_its_kind():
    look, clip = torch.nn.functional.normalize(torch.randn(2, 3, 4, EMBEDDING), dim=-1)
    features = torch.nn.functional.normalize(torch.randn(3, 4, FEATURES), dim=-1)
    bank = TemplateBank(torch.zeros(3, 4, 3, 24, 24), torch.zeros(3, 4, 24, 24))
    kinds, both = torch.tensor([0, 0, 1]), torch.cat([look, clip, features], dim=-1)
    library = Templates(("a", "b", "c"), kinds, torch.ones(3), both, bank)
    correlation, query = torch.zeros(1, 3, 4), both[2, 3:4, :LOOK]
    scores = library.likeness(query, correlation)
    assert scores.argmax() == 2
    assert float(scores[0, 2]) == pytest.approx(LOOK_WEIGHT + CLIP_WEIGHT, abs=1e-5)
    bird = torch.tensor([[0.0, -99.0, -99.0, -99.0, -99.0, -99.0]])
    less = scores[0] - library.likeness(query, correlation, bird)[0]
    assert less.tolist() == pytest.approx([0.0, 0.0, 99.0 * KIND_WEIGHT], abs=1e-5)
    correlation[0, 1, 2] = 3.0
    assert library.likeness(query, correlation).argmax() == 1
    naive = LOOK_WEIGHT * look[0] @ look[2, 3] + CLIP_WEIGHT * clip[0] @ clip[2, 3]
    torch.testing.assert_close(library.scores(query)[0, 0], naive)
    one = library.fewer(1)
    assert one.embedding_MYA.shape == (3, 1, WIDTH)
    assert one.bank.mask_MYSS.shape[:2] == (3, 1)
    # Of four sides the first and third are each other's mirror images, the others their own.
    assets, own, other = torch.tensor([2, 0]), features[[0, 1], 0], features[[0, 1], 1]
    sides = library.sides(assets, own, other)
    for i, asset in enumerate(assets):
        for side, mirrored in enumerate((2, 1, 0, 3)):
            naive = own[i] @ features[asset, side] + other[i] @ features[asset, mirrored]
            assert float(sides[i, side]) == pytest.approx(float(naive) / 2, abs=1e-5)
    assert one.sides(assets, own, other).shape == (2, 1)


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


LENS = Lens(128 / math.tan(math.radians(20)), 256, 256, 80.0)


def _one_object(yaw: float, column: float = 128.0) -> tuple[Program, np.ndarray]:
    """A mallard on the ground below a camera at which it has its natural height."""
    program = Program(
        Settings(camera_pitch_deg=80.0, camera_height_m=1.5),
        (SceneObject(9, (0.0, -1.0, -5.0), 0.9, asset="mallard.1", kind="bird"),),
    )
    p = np.array([column, 170.0, math.log(asset_named(program.objects[0]).height_m / 1.58), yaw])
    program = placed(program, {0: p}, LENS, asset_named)
    return program, render_program(program, 256, 256).picture.rgb


def test_parameters_place_an_object_on_the_ground_and_back():
    program, _ = _one_object(0.7)
    p = parameters(program.objects[0], program, LENS)
    natural = asset_named(program.objects[0]).height_m
    np.testing.assert_allclose(p[[0, 1, 3]], [128.0, 170.0, 0.7], atol=1e-5)
    assert math.exp(p[2]) * program.settings.camera_height_m == pytest.approx(natural, rel=0.02)
    assert program.settings.camera_height_m == pytest.approx(1.58, rel=0.02)
    foot = to_level(program.objects[0].loc_m, 80.0)
    assert -foot[2] == pytest.approx(program.settings.camera_height_m)


def test_what_is_seen_and_what_stands_are_each_others_inverse():
    program, _ = _one_object(0.7)
    p = parameters(program.objects[0], program, LENS)
    q = LENS.seen(p)
    np.testing.assert_allclose(LENS.stood(q), p, atol=1e-12)
    item = program.objects[0]
    # A height at the foot's depth, over the focal length.
    assert math.exp(q[2]) == pytest.approx(item.height_m / -item.loc_m[2], rel=1e-6)
    nearer = LENS.stood(q + [0.0, 20.0, 0.0, 0.0])
    assert nearer[2] < p[2]


def test_a_stamp_looks_like_the_drawn_picture_and_most_so_where_it_stands():
    program, picture = _one_object(0.7)
    p, asset = parameters(program.objects[0], program, LENS), asset_named(program.objects[0])
    nothing = np.zeros((256, 256), bool)
    window = make_window(picture, render_program(program).picture.instances >= 10, nothing, LENS,
                         p[:2] - [0.0, 12.0], 24.0, 24)  # fmt: skip
    stamp = Stamp(asset, light_of(program.settings), LENS, window)
    assert stamp.score(p) > 0.9
    for change in ([4, 0, 0, 0], [0, 4, 0, 0], [0, 0, 0.2, 0], [0, 0, 0, 1.5]):
        assert stamp.score(p + change) < stamp.score(p) - 0.02
    assert stamp.score(np.array([128.0, 5.0, p[2], 0.7])) == -1.0  # above the horizon


def test_refining_turns_and_moves_objects_to_where_they_are_seen():
    """Most of them: where the sun is read off a wrong side, an object may stay turned."""
    turned, nearer = [], []
    for yaw, off_deg, column in ((0.7, 75, 134.0), (2.0, 60, 132.0), (1.3, 80, 131.0)):
        truth, picture = _one_object(yaw)
        wrong, _ = _one_object(yaw + math.radians(off_deg), column)
        before, after = (_errors(truth, p) for p in (wrong, refine(wrong, picture)))
        turned.append(after[0] < math.radians(20) < before[0])
        nearer.append(after[1] < 0.7 * before[1])
    assert sum(turned) >= 2 and sum(nearer) >= 2


def test_the_foot_of_something_large_is_found_to_the_pixel():
    """It is a single value of the window in which the whole is looked for."""
    for row, wrong_row in ((165.0, 171.0), (150.0, 156.0)):
        _truth, picture = _one_tree(row)
        wrong, _ = _one_tree(wrong_row)
        refined = refine(wrong, picture)
        lens = replace(LENS, pitch_deg=refined.settings.camera_pitch_deg)
        found = parameters(refined.objects[0], refined, lens)
        assert abs(found[1] - row) < 0.5


def _one_tree(row: float) -> tuple[Program, np.ndarray]:
    program = Program(
        Settings(camera_pitch_deg=80.0, camera_height_m=1.5),
        (SceneObject(9, (0.0, -1.0, -9.0), 3.0, asset="birch_tree", kind="tree"),),
    )
    p = np.array([128.0, row, math.log(asset_named(program.objects[0]).height_m / 1.58), 0.4])
    program = placed(program, {0: p}, LENS, asset_named)
    return program, render_program(program, 256, 256).picture.rgb


def _errors(truth: Program, program: Program) -> tuple[float, float]:
    one, two = truth.objects[0], program.objects[0]
    turn = yaw_of(one.rotation_33, 80.0) - yaw_of(two.rotation_33, 80.0)
    return abs(math.remainder(turn, 2 * math.pi)), math.dist(one.loc_m, two.loc_m)


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
    factor = 3.0 / program.settings.camera_height_m
    assert factor > 1.8
    np.testing.assert_allclose(double.objects[0].loc_m, factor * np.array(program.objects[0].loc_m))
    assert double.objects[0].height_m == pytest.approx(factor * program.objects[0].height_m)


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
