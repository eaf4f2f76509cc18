"""Ground, light and free places on a made-up clearing whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lerf_wild.errors import WildlifeError
from lerf_wild.wildlife.footprints import Box, Footprint, covered, is_inside, touched
from lerf_wild.wildlife.ground import beside, find_ground
from lerf_wild.wildlife.place_costs import (
    BANK_DEG,
    BY_M,
    FAR,
    LEVEL_DEG,
    ROOM_M,
    UNSURE_M,
    Aim,
    distances,
)
from lerf_wild.wildlife.placing import (
    TIGHT_M,
    WIDE_M,
    check_by_hand,
    find_place,
    foot_height,
    free_places,
    why_not,
)
from lerf_wild.wildlife.scene_light import estimate_light, sun_map
from lerf_wild.wildlife.sheet import Sheet
from lerf_wild.wildlife.sun_search import direction

BOX = Footprint(np.array([-0.5, -0.2, 0.0]), np.array([0.5, 0.2, 0.8]))
TREES = ((2.0, 0.0), (-2.0, 2.5), (0.5, -3.0), (-3.0, -1.5), (3.0, 3.2))


def true_height(xy):
    return 0.08 * xy[:, 0] + 0.1 * np.sin(xy[:, 1])


def clearing(noise_m: float = 0.02, seed: int = 0):
    """A slope with five posts of 2 m and a wide shrub; points as a field's depths give them."""
    draw = np.random.default_rng(seed)
    xy = draw.uniform(-5, 5, (24_000, 2))
    floor = np.column_stack([xy, true_height(xy)])
    posts = []
    for x, y in TREES:
        angle, rise = draw.uniform(0, 2 * np.pi, 1200), draw.uniform(0, 2.0, 1200)
        ring = np.column_stack([x + 0.25 * np.cos(angle), y + 0.25 * np.sin(angle)])
        posts.append(np.column_stack([ring, true_height(ring) + rise]))
    spot = draw.normal(size=(2500, 3)) * [0.35, 0.35, 0.25] + [-1.0, -2.0, 0.5]
    points = np.concatenate([floor, *posts, spot])
    return points + draw.normal(size=points.shape) * noise_m


@pytest.fixture(scope="module")
def ground():
    return find_ground(clearing())


def test_the_ground_is_found_within_two_centimetres(ground):
    xy = np.random.default_rng(1).uniform(-4, 4, (500, 2))
    error = np.abs(ground.height(xy) - true_height(xy))
    assert np.median(error) < 0.02 and np.quantile(error, 0.9) < 0.08
    assert ground.is_known(xy).all()
    assert not ground.is_known(np.array([[40.0, 0.0]]))[0]
    normal = ground.normal(np.array([[0.0, -1.5]]))[0]
    np.testing.assert_allclose(normal, [-0.08, 0.0, 1.0], atol=0.06)


def test_a_ray_meets_the_ground_where_it_is(ground):
    origins = np.array([[0.0, -2.0, 3.0], [0.0, 0.0, 3.0]])
    directions = np.array([[0.3, 0.4, -0.8], [0.0, 0.0, 1.0]])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found = ground.under(origins, directions)
    assert found[0, 2] == pytest.approx(float(true_height(found[:1, :2])[0]), abs=0.05)
    assert np.isnan(found[1]).all()


def test_a_mirrored_world_under_water_is_no_ground():
    points = clearing()
    draw = np.random.default_rng(5)
    pond = np.linalg.norm(points[:, :2] - [2.5, -2.5], axis=1) < 0.8
    points[pond, 2] -= draw.uniform(0.2, 1.5, pond.sum())
    ground = find_ground(points)
    assert float(ground.height(np.array([[2.5, -2.5]]))[0]) > -0.35


def test_too_few_points_are_refused():
    with pytest.raises(WildlifeError, match="too few"):
        find_ground(np.zeros((5, 3)))


def test_a_free_spot_is_taken_as_it_is_and_an_occupied_one_is_left(ground):
    place = find_place(BOX, Aim(np.array([0.5, 1.0])), ground)
    np.testing.assert_allclose(place.foot_3[:2], [0.5, 1.0], atol=1e-9)
    assert place.foot_3[2] == pytest.approx(float(true_height(np.array([[0.5, 1.0]]))[0]), abs=0.03)
    assert why_not(BOX, np.array(TREES[0]), 0.0, ground) is not None
    beside = find_place(BOX, Aim(np.array(TREES[0])), ground)
    distance = np.linalg.norm(beside.foot_3[:2] - TREES[0])
    assert 0.3 < distance < 1.2
    assert why_not(BOX, beside.foot_3[:2], beside.yaw_rad, ground) is None


@pytest.mark.parametrize("seed", range(4))
def test_no_place_that_is_found_holds_points_of_the_scene(ground, seed):
    """The oracle looks at every point in the box on its own."""
    points = clearing(seed=0)
    target = np.random.default_rng(seed).uniform(-3, 3, 2)
    place = find_place(BOX, Aim(target), ground)
    cosine, sine = np.cos(place.yaw_rad), np.sin(place.yaw_rad)
    inside = 0
    for x, y, z in points - place.foot_3:
        along, across = cosine * x + sine * y, -sine * x + cosine * y
        inside += abs(along) < 0.5 and abs(across) < 0.2 and 0.17 < z < 0.8
    assert inside <= 4


def test_refusals_say_why(ground):
    with pytest.raises(WildlifeError, match="photos don't show"):
        find_place(BOX, Aim(np.array([60.0, 0.0])), ground)
    huge = Footprint(np.array([-3.0, -3.0, 0.0]), np.array([3.0, 3.0, 3.0]))
    with pytest.raises(WildlifeError, match=r"no free room of 6\.0 x 6\.0 m for the tree"):
        find_place(huge, Aim(np.zeros(2)), ground, reach_m=0.5, what="the tree")
    with pytest.raises(WildlifeError, match="below the ground"):
        check_by_hand(np.array([0.0, 0.0, -1.0]), ground, "the fox")
    with pytest.raises(WildlifeError, match="outside"):
        check_by_hand(np.array([0.0, 30.0, 0.0]), ground, "the fox")
    check_by_hand(np.array([0.5, 1.0, foot_height(BOX, [0.5, 1.0], 0.0, ground)]), ground, "it")


def test_the_sun_is_found_by_the_shadows_that_it_throws():
    points, sun = clearing(0.01), direction(40.0, 200.0)
    lit = sun_map(points, sun).lit(points) > 0.5
    colours = np.where(lit[:, None], 0.4, 0.12) * np.array([[0.9, 1.0, 0.6]])
    found = estimate_light(points, colours, find_ground(points))
    angle = np.degrees(np.arccos(np.clip(found.light.sun_direction_3 @ sun, -1, 1)))
    assert angle < 12.0 and found.agreement > 0.5


def test_a_place_without_shadows_gets_the_usual_sun():
    points = clearing(0.01)
    colours = np.random.default_rng(0).uniform(0.2, 0.3, (len(points), 3))
    found = estimate_light(points, colours, find_ground(points))
    assert found.agreement < 0.12 and found.light.sun_direction_3[2] > 0.5


def test_shade_lies_behind_a_post_and_not_before_it():
    points, sun = clearing(0.01), direction(45.0, 0.0)
    shade = sun_map(points, sun)
    height = float(true_height(np.array([[1.2, 0.0]]))[0])
    assert shade.lit(np.array([[1.2, 0.0, height]]))[0] < 0.5
    assert shade.lit(np.array([[2.9, 0.0, height + 0.14]]))[0] == 1.0


def is_sure(ground, place) -> bool:
    at = (BOX, place.foot_3[:2], place.yaw_rad)
    return all(
        ground.is_sure(part(*at)).mean() >= share
        for part, share in ((touched, 0.9), (covered, 0.75))
    )


def doubt(ground, place) -> float:
    """0 on sure level ground, 1 on unsure ground and on banks."""
    soles = touched(BOX, place.foot_3[:2], place.yaw_rad)
    slope_deg = np.degrees(np.arccos(ground.normal(soles)[:, 2].mean()))
    steep = np.interp(slope_deg, (LEVEL_DEG, BANK_DEG), (0.0, 1.0))
    return steep if is_sure(ground, place) else 1.0


def is_tight(ground, place) -> bool:
    points = ground.obstacles_N3
    near = points[np.linalg.norm(points[:, :2] - place.foot_3[:2], axis=1) < BOX.radius + WIDE_M]
    return is_inside(BOX, place.foot_3, place.yaw_rad, near, WIDE_M).sum() > 4


def test_free_places_are_those_of_the_grid_where_some_heading_is_free(ground):
    near = np.array([1.0, 1.0])
    found = free_places(BOX, ground, aim=Aim(near), step_m=1.0)
    far = np.array([np.linalg.norm(place.foot_3[:2] - near) for place in found])
    beyond = far - far.min()
    costs = [
        further + UNSURE_M * doubt(ground, one) + TIGHT_M * is_tight(ground, one)
        for further, one in zip(np.maximum(beyond, FAR * beyond - (FAR - 1.0) * BY_M), found)
    ]
    assert costs == sorted(costs)
    for place in found:
        assert why_not(BOX, place.foot_3[:2], place.yaw_rad, ground) is None
    size = np.ceil(np.array(ground.height_GG.shape) * ground.cell_m).astype(int)
    grid = [ground.low_2 + [i + 0.5, j + 0.5] for i in range(size[0]) for j in range(size[1])]
    headings = np.arange(8) * np.pi / 4
    free = [
        spot
        for spot in grid
        if ground.is_known(spot[None])[0]
        and any(why_not(BOX, spot, float(yaw), ground) is None for yaw in headings)
    ]
    assert len(found) == len(free) > 20


def test_a_low_thing_takes_the_ground_inside_of_it_and_does_not_raise_it():
    """A hollow bush: points on its outside alone, down to the ground."""
    draw = np.random.default_rng(4)
    xy = draw.uniform(-4, 4, (16_000, 2))
    xy = xy[np.linalg.norm(xy, axis=1) > 0.6]
    floor = np.column_stack([xy, true_height(xy)])
    angle, rise = draw.uniform(0, 2 * np.pi, 1500), draw.uniform(0, 0.9, 1500)
    rim = 0.7 * np.column_stack([np.cos(angle), np.sin(angle)])
    bush = np.column_stack([rim, true_height(rim) + rise])
    ground = find_ground(np.concatenate([floor, bush]))
    inside = np.array([[0.0, 0.0], [0.3, 0.2], [-0.4, 0.1]])
    assert ground.is_taken(inside).all()
    assert not ground.is_taken(np.array([[1.2, 0.0], [0.0, -1.5], [90.0, 0.0]])).any()
    around = np.concatenate([inside, [[0.9, 0.0], [0.0, -0.9]]])
    np.testing.assert_allclose(ground.height(around), true_height(around), atol=0.02)
    small = Footprint(np.array([-0.1, -0.1, 0.0]), np.array([0.1, 0.1, 0.2]))
    assert why_not(small, inside[0], 0.0, ground) == "something of the scene"
    assert np.linalg.norm(find_place(small, Aim(inside[0]), ground).foot_3[:2]) > 0.7


def test_an_item_stands_on_its_soles_and_not_on_the_middle_of_its_box(ground):
    soles = np.array([[0.4, 0.0], [0.45, 0.1]])
    box = Footprint(BOX.low_3, BOX.high_3, soles)
    spot = np.array([0.0, 1.5])
    expected = ground.height(spot + soles).mean()
    assert foot_height(box, spot, 0.0, ground) == pytest.approx(expected)
    turned = spot + soles * [-1.0, -1.0]
    assert foot_height(box, spot, np.pi, ground) == pytest.approx(ground.height(turned).mean())


def test_a_place_whose_ground_photos_show_under_all_soles_comes_first(ground):
    soles = np.array([[-0.45, 0.0], [0.45, 0.0]])
    print_ = replace(BOX, soles_S2=soles)
    seen = np.ones((40, 40), bool)
    sheet = Sheet(np.array([-4.0, -4.0]), 0.2, np.zeros((40, 40)), seen)
    known = replace(ground, sheet=sheet)
    first = find_place(print_, Aim(np.zeros(2)), known, yaw_rad=0.0).foot_3[:2]
    seen[tuple(np.floor((first + soles[0] + 4.0) / 0.2).astype(int))] = False
    moved = find_place(print_, Aim(np.zeros(2)), known, yaw_rad=0.0).foot_3[:2]
    assert 0 < np.linalg.norm(moved - first) < 0.5
    assert known.is_sure(moved + soles).all()
    seen[:] = False
    again = find_place(print_, Aim(np.zeros(2)), known, yaw_rad=0.0).foot_3[:2]
    assert again == pytest.approx(first)


def test_of_unsure_places_the_one_by_sure_ground_comes_first(ground):
    """Sure ground begins at x = 1, out of reach; both sides of the target are as near."""
    seen = np.zeros((40, 40), bool)
    seen[25:] = True
    sheet = Sheet(np.array([-4.0, -4.0]), 0.2, np.zeros((40, 40)), seen)
    np.testing.assert_allclose(
        sheet.to_sure(np.array([[-0.9, 0.3], [0.5, -1.1], [2.0, 0.0], [-60.0, 0.0]])),
        [2.0, 0.6, 0.0, 5.0],
        atol=0.11,
    )
    full = np.array([[x, y, 0.5] for x in (-0.1, 0.0, 0.1) for y in np.linspace(-2, 2, 81)])
    known = replace(ground, sheet=sheet, obstacles_N3=full)
    print_ = Footprint(np.array([-0.1, -0.1, 0.0]), np.array([0.1, 0.1, 0.8]))
    found = find_place(print_, Aim(np.array([-0.02, 0.0])), known, yaw_rad=0.0, reach_m=0.5)
    assert 0.2 < found.foot_3[0] < 0.5
    unasked = replace(known, sheet=None)
    assert (unasked.to_sure(np.zeros((3, 2))) == 0).all()
    assert find_place(print_, Aim(np.array([-0.02, 0.0])), unasked, reach_m=0.5).foot_3[0] < -0.2


@pytest.mark.parametrize("yaw", [0.0, 0.7])
def test_beside_a_thing_distances_are_those_of_what_is_seen_from_above(yaw):
    """The oracle measures each point of the item against each of the thing."""
    draw = np.random.default_rng(2)
    thing, spots = draw.uniform(-1, 1, (30, 2)), draw.uniform(-3, 3, (40, 2))
    aim, shade = Aim(thing[0], thing), np.array([[-0.5, 0.0], [0.0, 0.1], [0.5, 0.0]])
    found = distances(replace(BOX, shade_K2=shade), aim, spots, yaw)
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    for spot, distance in zip(spots, found):
        parts = [spot + turn @ part for part in shade]
        gap = min(np.linalg.norm(part - point) for part in parts for point in thing)
        expected = abs(gap - ROOM_M) + 0.1 * np.linalg.norm(spot - thing[0])
        assert distance == pytest.approx(expected, abs=0.08)


def test_all_around_a_thing_is_by_it_and_sure_ground_comes_first(ground):
    """A bar of 3 m, meant most at its one end; ground is sure at the other end."""
    bar = np.column_stack([np.linspace(-1.5, 1.5, 61), np.full(61, 2.0)])
    seen = np.zeros((40, 40), bool)
    seen[26:33] = True
    sheet = Sheet(np.array([-4.0, -4.0]), 0.2, np.zeros((40, 40)), seen)
    known = replace(ground, sheet=sheet, obstacles_N3=np.zeros((0, 3)))
    print_ = Footprint(np.array([-0.1, -0.1, 0.0]), np.array([0.1, 0.1, 0.8]))
    aim = Aim(bar[0], bar)
    place = find_place(print_, aim, known)
    corners = covered(print_, place.foot_3[:2], place.yaw_rad)
    assert known.is_sure(corners).all()
    gap = np.linalg.norm(corners[:, None] - bar, axis=-1).min()
    assert 0.05 < gap < ROOM_M + BY_M
    everywhere = replace(known, sheet=replace(sheet, is_sure_XY=np.ones((40, 40), bool)))
    assert np.linalg.norm(find_place(print_, aim, everywhere).foot_3[:2] - bar[0]) < 0.5


def test_by_a_flat_thing_that_passes_for_ground_is_beside_it(ground):
    rim = np.linspace(0, 2 * np.pi, 400)
    ring = np.concatenate(
        [r * np.column_stack([np.cos(rim), np.sin(rim)]) for r in (0.6, 0.65, 0.7)]
    )
    slab = np.column_stack([ring, true_height(ring)])
    high = np.column_stack([ring + [3.0, 1.5], true_height(ring + [3.0, 1.5]) + 1.5])
    taken = beside(ground, np.concatenate([slab, high]))
    assert taken.is_taken(np.array([[0.0, 0.0], [0.65, 0.0], [0.0, -0.3]])).all()
    assert not taken.is_taken(np.array([[0.9, 0.0], [3.0, 1.5]])).any()
    assert (taken.is_taken_KK >= ground.is_taken_KK).all()
    print_ = Footprint(np.array([-0.2, -0.2, 0.0]), np.array([0.2, 0.2, 0.8]))
    assert np.linalg.norm(find_place(print_, Aim(np.zeros(2)), ground).foot_3[:2]) < 0.2
    assert np.linalg.norm(find_place(print_, Aim(np.zeros(2)), taken).foot_3[:2]) > 0.7
    assert (beside(ground, np.zeros((0, 3))).is_taken_KK == ground.is_taken_KK).all()


def test_ground_is_laid_anew_without_a_dome_that_passed_for_it():
    """3 m wide and 35 cm high: seen as ground, with what is around it lifted; asked for by its
    inner part alone."""
    points = clearing()
    away = np.linalg.norm(points[:, :2], axis=1)
    points = points[(away > 1.5) | (points[:, 2] > true_height(points[:, :2]) + 0.3)]
    draw = np.random.default_rng(3)
    dome = draw.uniform(-1.5, 1.5, (6000, 2))
    dome = dome[np.linalg.norm(dome, axis=1) < 1.5]
    rise = 0.35 * np.sqrt(1.0 - np.linalg.norm(dome, axis=1) ** 2 / 2.25)
    dome = np.column_stack([dome, true_height(dome) + rise])
    points = np.concatenate([points, dome])
    before = find_ground(points)
    after = beside(before, dome[np.linalg.norm(dome[:, :2], axis=1) < 1.2])
    rim = np.linspace(0, 2 * np.pi, 60)
    for far in (0.0, 1.0, 1.4, 1.7):
        xy = far * np.column_stack([np.cos(rim), np.sin(rim)])
        lifted = np.median(before.height(xy) - true_height(xy))
        left = np.median(np.abs(after.height(xy) - true_height(xy)))
        assert left < 0.02 and (far > 1.0 or lifted > 0.2)
    # What of the dome is no part of what was asked for is in the way now.
    outer = 1.35 * np.column_stack([np.cos(rim), np.sin(rim)])
    assert before.is_taken(outer).mean() < 0.1 and after.is_taken(outer).all()
    assert before.is_sure(outer).all() and not after.is_sure(outer).any()


def test_ground_below_a_path_stays_as_it_is(ground):
    """What lies flat on the ground is no thing that lifts it."""
    xy = np.random.default_rng(4).uniform([-2.5, -0.4], [2.5, 0.4], (2000, 2))
    by_path = beside(ground, np.column_stack([xy, true_height(xy)]))
    assert (by_path.height_GG == ground.height_GG).all()
    assert by_path.is_sure(xy).all() and by_path.is_taken(xy).mean() > 0.9


def test_a_place_on_level_ground_comes_before_one_on_a_bank(ground):
    cells = ground.low_2[0] + ground.cell_m * (np.arange(ground.height_GG.shape[0]) + 0.5)
    bank = np.broadcast_to(np.minimum(0.0, 0.25 * cells)[:, None], ground.height_GG.shape)
    bare = replace(ground, height_GG=bank, sheet=None, obstacles_N3=np.zeros((0, 3)))
    print_ = Footprint(np.array([-0.1, -0.1, 0.0]), np.array([0.1, 0.1, 0.8]))
    near, nearer = np.array([-0.1, 1.0]), np.array([0.0, 1.0])
    assert find_place(print_, Aim(near), bare, yaw_rad=0.0).foot_3[0] >= 0.0
    # The crest is half as steep, and half as much is done about it.
    assert 0.0 < find_place(print_, Aim(nearer), bare, yaw_rad=0.0).foot_3[0] < 0.15
    far = np.array([-1.9, 1.0])
    np.testing.assert_allclose(find_place(print_, Aim(far), bare, yaw_rad=0.0).foot_3[:2], far)


def test_a_place_with_room_around_it_comes_before_a_tight_one_nearby(ground):
    """0.1 m beside a post an item is free, and stands 0.05 m further off all the same."""
    tight = np.array([2.0 - 0.25 - 0.1 - 0.2, 0.0])
    print_ = Footprint(np.array([-0.2, -0.2, 0.0]), np.array([0.2, 0.2, 0.8]))
    assert why_not(print_, tight, 0.0, ground) is None
    found = find_place(print_, Aim(tight), ground, yaw_rad=0.0).foot_3[:2]
    points = ground.obstacles_N3[ground.obstacles_N3[:, 2] < 0.8]
    beside = np.abs(points[:, :2] - found).max(axis=1) - 0.2
    assert np.sort(beside)[4] > 0.13 and np.linalg.norm(found - tight) < 0.4


def test_rays_that_end_near_the_ground_meet_it_and_others_stay(ground):
    xy = np.random.default_rng(4).uniform(-3.5, 3.5, (200, 2))
    towards = np.array([0.6, 0.0, -0.8])
    true = np.column_stack([xy, ground.height(xy)])
    ends = true + np.random.default_rng(5).uniform(-0.06, 0.06, (200, 1)) * towards
    met, is_near = ground.met(ends, np.tile(towards, (200, 1)))
    assert is_near.mean() > 0.95
    np.testing.assert_allclose(met[is_near], true[is_near], atol=2e-3)
    high = true + [0.0, 0.0, 0.5]
    stayed, is_near = ground.met(high, np.tile(towards, (200, 1)))
    np.testing.assert_array_equal(stayed, high)
    assert not is_near.any()
    assert not ground.met(ends, np.tile([1.0, 0.0, 0.0], (200, 1)))[1].any()


def mushroom():
    """A thin stem of a metre, and over it a crown of 2 m across."""
    stem = Footprint(np.array([-0.1, -0.1, 0.0]), np.array([0.1, 0.1, 1.0]))
    crown = Box(np.array([-1.0, -1.0, 1.5]), np.array([1.0, 1.0, 2.0]))
    return replace(stem, above=(crown,))


def test_a_crown_is_kept_clear_of_what_is_as_high(ground):
    """Posts are 2 m high: a stem has room a metre from one, and its crown has not."""
    beside = np.array([2.0 - 0.8, 0.0])
    stem = replace(mushroom(), above=())
    assert why_not(stem, beside, 0.0, ground) is None
    assert why_not(mushroom(), beside, 0.0, ground) == "something of the scene"
    place = find_place(mushroom(), Aim(beside), ground)
    gaps = [np.abs(place.foot_3[:2] - post).max() for post in TREES]
    assert min(gaps) > 1.0 + 0.25
