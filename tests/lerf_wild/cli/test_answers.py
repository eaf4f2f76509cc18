"""Answers from points whose place and size are known."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from lerf_wild.cli.answers import TOP_SHARE, answers, point_gap, scene_scores
from lerf_wild.cli.query import answer_table, query_report, short
from lerf_wild.cli.report import write_report
from lerf_wild.cli.sampling import ScoredScene, SurfacePoints, as_cloud
from lerf_wild.language.regions import Sighting, find_regions
from lerf_wild.language.thresholds import EXISTENCE_RELEVANCY
from lerf_wild.storage.json_files import read_json

METRES_PER_WORLD, WORLD_PER_NERF = 0.5, 4.0
BOX_CENTRE_WORLD = np.array([1.0, -2.0, 0.5])
BOX_SIZE_WORLD = np.array([1.2, 0.4, 0.8])


@pytest.fixture()
def found(plain_run):
    """Points on a wide floor, and a box of relevant points at a known place in the world."""
    rng = np.random.default_rng(0)
    floor_N3 = np.column_stack([rng.uniform(-8, 8, (4000, 2)), np.zeros(4000)])
    box_N3 = BOX_CENTRE_WORLD + rng.uniform(-0.5, 0.5, (3000, 3)) * BOX_SIZE_WORLD
    world_N3 = np.concatenate([floor_N3, box_N3])
    fox_N = np.r_[np.full(4000, 0.2), np.full(3000, 0.75)]
    fox_N[4500] = 0.95
    whale_N = np.full(7000, 0.3)
    transform = plain_run.transform_34
    nerf_N3 = plain_run.scale * (world_N3 @ transform[:, :3].T + transform[:, 3])
    points = SurfacePoints(
        nerf_N3.astype(np.float32),
        np.tile(transform[:, 2].astype(np.float32), (7000, 1)),
        np.zeros((7000, 3), np.uint8),
        np.column_stack([fox_N, whale_N]).astype(np.float32),
        np.full(7000, 9, np.uint8),
    )
    sizes = np.array([0.2, 0.05], np.float32)
    return ScoredScene(points, ("red fox", "whale"), ("object", "things"), sizes)


def test_a_phrase_is_found_where_it_is(plain_run, found):
    fox, whale = answers(plain_run, found)
    assert fox.present
    assert not whale.present
    assert whale.box is None and len(whale.core_M3) == 0
    inside = np.abs(fox.core_M3 - BOX_CENTRE_WORLD) < 0.5 * BOX_SIZE_WORLD + 1e-4
    assert inside.all() and "core_M3" not in fox.as_dict()
    assert fox.regions == 1
    assert fox.scale == pytest.approx(0.2 * WORLD_PER_NERF * METRES_PER_WORLD)
    np.testing.assert_allclose(fox.box.centre, BOX_CENTRE_WORLD, atol=0.03)
    np.testing.assert_allclose(fox.box.size, BOX_SIZE_WORLD, rtol=0.08)
    assert abs(np.sin(fox.box.yaw_rad)) < 0.05
    off = np.abs(np.array(fox.position) - BOX_CENTRE_WORLD)
    assert (off < 0.5 * BOX_SIZE_WORLD + 1e-4).all()


def test_one_stray_point_is_not_where_a_phrase_is(plain_run, found):
    scores = found.points.relevancy_NP.copy()
    scores[100, 0] = 0.99
    stray = replace(found, points=replace(found.points, relevancy_NP=scores))
    fox = answers(plain_run, stray)[0]
    assert fox.regions == 2
    assert (np.abs(np.array(fox.position) - BOX_CENTRE_WORLD) < 0.5 * BOX_SIZE_WORLD + 1e-4).all()
    np.testing.assert_allclose(fox.box.centre, BOX_CENTRE_WORLD, atol=0.03)


class Witness:
    """Photos that speak for everything as much, or put regions the other way round, and say how
    like the phrase each is, the likeliest first."""

    def __init__(self, says: float, sighting: Sighting | None = None, likeness=()) -> None:
        self.says, self.sighting, self.asked = says, sighting, []
        self.likenesses = iter(likeness)

    def __call__(self, index, regions):
        return regions[::-1]

    def likeness(self, index, region):
        return next(self.likenesses, None)

    def evidence(self, index, region):
        self.asked.append((index, region))
        return self.says

    def sought(self, index):
        return self.sighting


def test_what_the_field_knows_faintly_is_there_if_photos_show_it(plain_run, found):
    scores = found.points.relevancy_NP.copy()
    scores[:, 1] = 0.2
    scores[4000:, 1] = 0.5
    faint = replace(found, points=replace(found.points, relevancy_NP=scores))
    shown, unshown = Witness(0.7), Witness(0.6)
    whale = answers(plain_run, faint, shown)[1]
    assert whale.present and whale.score == 0.7 and whale.regions == 1
    np.testing.assert_allclose(whale.box.centre, BOX_CENTRE_WORLD, atol=0.03)
    assert [index for index, _ in shown.asked] == [1]
    for look in (unshown, None):
        whale = answers(plain_run, faint, look)[1]
        assert not whale.present and whale.score == pytest.approx(0.5) and whale.box is None
    none = replace(found, points=replace(found.points, relevancy_NP=scores.clip(max=0.2)))
    assert not answers(plain_run, none, shown)[1].present and len(shown.asked) == 1


def test_what_photos_show_is_there_though_the_field_knows_it_not(plain_run, found):
    thing_M3 = found.points.positions_N3[4000:4010]
    seen = replace(find_regions(thing_M3, np.full(10, 0.9), 9.0)[0], score=0.55, support=0.55)
    shown = Witness(0.0, Sighting(seen, 0.4))
    whale = answers(plain_run, found, shown)[1]
    assert whale.present and whale.regions == 1 and whale.score == pytest.approx(0.55)
    assert whale.scale == pytest.approx(0.4 * WORLD_PER_NERF * METRES_PER_WORLD)
    np.testing.assert_allclose(whale.core_M3, plain_run.to_world(thing_M3), atol=1e-4)


@pytest.fixture()
def elsewhere(found) -> Sighting:
    """What photos show, ten points of the floor."""
    thing_M3 = found.points.positions_N3[:10]
    seen = find_regions(thing_M3, np.full(10, 0.9), 9.0)[0]
    return Sighting(replace(seen, score=0.7, support=0.7), 0.01)


@pytest.mark.parametrize("likeness, present", [(None, True), (0.3, True), (0.2, False)])
def test_what_photos_show_to_be_another_thing_is_not_there(plain_run, found, likeness, present):
    plain = answers(plain_run, found)[0]
    fox = answers(plain_run, found, Witness(0.0, likeness=[likeness]))[0]
    assert fox.present == present and fox.score == (plain.score if present else EXISTENCE_RELEVANCY)
    assert (fox.box is None) != present


def test_what_passes_for_it_gives_way_to_what_photos_show(plain_run, found, elsewhere):
    fox = answers(plain_run, found, Witness(0.0, elsewhere, [0.3]))[0]
    np.testing.assert_allclose(fox.core_M3, plain_run.to_world(elsewhere.region.core_M3), atol=1e-4)
    assert fox.regions == 2
    sure = answers(plain_run, found, Witness(0.0, elsewhere, [0.6]))[0]
    assert sure == answers(plain_run, found)[0]


def test_what_photos_show_of_the_place_itself_upholds_it(plain_run, found, elsewhere):
    itself = replace(elsewhere.region, peak=tuple(found.points.positions_N3[4500]))
    fox = answers(plain_run, found, Witness(0.0, Sighting(itself, 0.01), [0.1]))[0]
    assert fox == answers(plain_run, found)[0]


def test_the_next_best_place_is_taken_if_photos_show_it(plain_run, found):
    scores = found.points.relevancy_NP.copy()
    scores[:60, 0] = 0.7
    two = replace(found, points=replace(found.points, relevancy_NP=scores))
    positions = [
        answers(plain_run, two, Witness(0.0, likeness=told))[0].position
        for told in ((0.6,), (0.1, 0.1, 0.6))
    ]
    assert positions[1] != positions[0]


def test_regions_come_in_the_order_of_the_second_look(plain_run, found):
    scores = found.points.relevancy_NP.copy()
    scores[:60, 0] = 0.7
    two = replace(found, points=replace(found.points, relevancy_NP=scores))
    first, second = (answers(plain_run, two, look)[0].position for look in (None, Witness(0.0)))
    assert first != second


@pytest.mark.parametrize("second, fits", [(0.88, True), (0.7, False)])
def test_a_phrase_that_fits_two_things_about_as_well_says_so(plain_run, found, second, fits):
    places, scores = found.points.positions_N3.copy(), found.points.relevancy_NP.copy()
    places[:1000] = places[4000:5000] + [2.0, 0.0, 0.0]
    scores[4000:, 0], scores[:1000, 0] = 0.9, second
    points = replace(found.points, positions_N3=places, relevancy_NP=scores)
    fox = answers(plain_run, replace(found, points=points))[0]
    assert len(fox.alike) == int(fits)
    assert (fox.others() is None) != fits
    if fits:
        other = ", ".join(f"{x:.2f}" for x in fox.alike[0])
        assert fox.others().startswith(f"{fox.phrase!r} fits 2 places") and other in fox.others()
        assert fox.as_dict()["alike"] == fox.alike


def test_boxes_turn_with_their_quaternion(plain_run, found):
    box = answers(plain_run, found)[0].box
    w, x, y, z = box.wxyz
    assert (x, y) == pytest.approx((0, 0), abs=1e-6)
    half_turns = (2 * np.arctan2(z, w) - box.yaw_rad) / (2 * np.pi)
    assert half_turns == pytest.approx(round(half_turns), abs=1e-6)


def test_sparse_points_are_linked_all_the_same(plain_run, found):
    points = SurfacePoints(
        *(getattr(found.points, name)[::20] for name in SurfacePoints.__dataclass_fields__)
    )
    tiny = ScoredScene(points, found.phrases, found.canonical, found.size_P * 0.01)
    fox = answers(plain_run, tiny)[0]
    assert fox.present
    assert fox.regions <= 3
    assert fox.box.size[0] > 0.6 * BOX_SIZE_WORLD[0]


def test_gaps_are_those_of_a_grid():
    grid_N3 = np.stack(np.meshgrid(*[np.arange(12) * 0.3] * 3), axis=-1).reshape(-1, 3)
    assert point_gap(grid_N3) == pytest.approx(0.3)
    assert point_gap(grid_N3[:1]) == 0.0


def test_one_stray_point_makes_nothing_present():
    count = round(20 / TOP_SHARE)
    scores_NP = np.full((count, 1), 0.4, np.float32)
    scores_NP[7] = 1.0
    assert scene_scores(scores_NP)[0] < 0.45
    assert scene_scores(np.array([[0.1], [0.7]]))[0] == pytest.approx(0.7)


def test_clouds_are_in_the_frame_that_is_asked_for(plain_run, found):
    world, nerf = (as_cloud(plain_run, found, frame) for frame in ("world", "nerf"))
    assert np.abs(world.positions_N3[:4000, 2]).max() < 1e-6
    np.testing.assert_allclose(nerf.positions_N3, found.points.positions_N3)
    np.testing.assert_allclose(world.normals_N3[0], [0, 0, 1], atol=1e-6)
    assert world.metadata["frame"] == "world"
    assert world.metadata["meters_per_unit"] == METRES_PER_WORLD
    assert nerf.metadata["meters_per_unit"] == METRES_PER_WORLD * WORLD_PER_NERF
    # The best phrase at the floor is the whale, in the box the fox.
    assert world.scale_N[0] == pytest.approx(0.05 * WORLD_PER_NERF * METRES_PER_WORLD)
    assert nerf.scale_N[-1] == pytest.approx(0.2)


def test_answers_are_json_and_a_table(plain_run, found, tmp_path):
    from rich.console import Console

    given = answers(plain_run, found)
    write_report(tmp_path / "q.json", query_report(plain_run, given, ("object",), 7000), seed=1)
    content = read_json(tmp_path / "q.json")
    assert [one["phrase"] for one in content["queries"]] == ["red fox", "whale"]
    assert content["queries"][1]["box"] is None
    assert content["scale_unit"] == "metres"
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(answer_table(plain_run, given))
    text = console.export_text()
    assert text.index("red fox") < text.index("whale")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (-1.234, "-1.23"), (9.996, "10.0"), (-12.34, "-12.3"), (228.2, "228")],
)
def test_lengths_are_written_short(value, text):
    assert short(value) == text
